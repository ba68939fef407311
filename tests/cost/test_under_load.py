"""A serving curve obeys Little's law, its limits and monotonicity; bad input gives one clear error."""

import pytest

from chipmeter.cost import Draft, serve
from chipmeter.workloads import preset

SMALL = {"prompt": 512, "answer": 64}


def test_latency_and_throughput_rise_with_load_and_obey_littles_law() -> None:
    curve = serve("llama-3.1-8b", "h100", concurrency=[1, 8, 64], **SMALL)
    for less, more in zip(curve.points, curve.points[1:], strict=False):
        assert more.tokens_per_second.expected > less.tokens_per_second.expected
        assert more.tpot.expected > less.tpot.expected
        assert more.ttft.expected > less.ttft.expected
    for point in curve.points:
        cycle = point.ttft.expected + 63 * point.tpot.expected
        assert point.requests_per_second.expected == pytest.approx(point.concurrency / cycle)
        assert point.tokens_per_second.expected == pytest.approx(64 * point.requests_per_second.expected)
        assert point.dollars_per_million_tokens is not None
        assert point.joules_per_token is not None


def test_a_rate_is_met_or_said_to_be_too_much() -> None:
    met = serve("llama-3.1-8b", "h100", request_rate=3.0, concurrency=[1], **SMALL).asked
    assert met is not None
    assert met.requests_per_second.expected == pytest.approx(3.0, rel=0.02)
    over = serve("llama-3.1-8b", "h100", request_rate=1e6, concurrency=[1], **SMALL)
    assert over.asked is None
    assert "1e+06 requests per second are more than it keeps up with" in over.notes[0]


def test_best_point_keeps_limits() -> None:
    curve = serve("llama-3.1-8b", "h100", concurrency=[1, 8, 64], **SMALL)
    assert curve.best() is curve.points[-1]
    assert curve.best(tpot=curve.points[1].tpot.expected) is curve.points[1]
    assert curve.best(tpot=1e-9) is None


def test_a_narrow_cache_holds_more_requests() -> None:
    wide, narrow = (serve("llama-3.1-8b", "h100", kv_format=f, concurrency=[8], **SMALL) for f in ("bf16", "fp8"))
    assert narrow.room == pytest.approx(2 * wide.room, abs=2)
    assert narrow.points[0].tpot.expected < wide.points[0].tpot.expected


def test_whole_pages_hold_fewer_requests() -> None:
    fine, coarse = (serve("llama-3.1-8b", "h100", page=p, concurrency=[1], prompt=500, answer=20) for p in (1, 512))
    assert coarse.room == pytest.approx(fine.room * 520 / 1024, abs=1)


def test_chunks_shorten_gaps_and_lengthen_the_first_token() -> None:
    whole, chunked = (
        serve("llama-3.1-8b", "h100", chunk=c, concurrency=[8], prompt=4096, answer=64).points[0] for c in (None, 512)
    )
    assert chunked.stall < whole.stall
    assert chunked.ttft.expected > whole.ttft.expected


def test_a_draft_helps_as_far_as_it_is_accepted() -> None:
    def tpot(acceptance: float | None) -> float:
        draft = None
        if acceptance is not None:
            draft = Draft(model=preset("llama-3.2-1b"), tokens=3, acceptance=acceptance)
        curve = serve("llama-3.1-70b", "h100", draft=draft, tensor_parallel=4, concurrency=[1], **SMALL)
        return curve.points[0].tpot.expected

    assert tpot(0.9) < tpot(0.5) < tpot(0.0)
    assert tpot(0.9) < tpot(None) < tpot(0.0)


def test_pools_apart_are_bound_by_the_slower() -> None:
    curve = serve("llama-3.1-70b", "b200", format="nvfp4", prefill_copies=1, copies=4, concurrency=[4, 512])
    assert curve.chips == 5
    rates = [point.requests_per_second.expected for point in curve.points]
    note = next(line for line in curve.notes if "copies read prompts" in line)
    assert f"{rates[-1]:.3g} per second at most" in note
    assert rates[0] < rates[1]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"model": "bert-base"}, "bert-base is of kind encoder; only decoders are served"),
        ({"prompt": 0}, "prompt must be an integer from 1 to"),
        ({"answer": -4}, "answer must be an integer from 2"),
        ({"request_rate": -1.0}, "request_rate must be a positive number"),
        ({"copies": True}, "copies must be an integer"),
        ({"model": "llama-3.1-405b", "tensor_parallel": 1}, "405b takes 812 GB in bf16, and one request of 1280 tokens does not fit"),
        ({"format": "fp9"}, "unknown number format 'fp9'"),
    ],
)  # fmt: skip
def test_refusals(arguments: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        serve(**({"model": "llama-3.1-8b", "chip": "h100"} | arguments))  # type: ignore[arg-type]


@pytest.mark.parametrize("broken", [{"tokens": 0}, {"acceptance": 1.0}, {"acceptance": -0.1}])
def test_drafts_in_range(broken: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must lie from"):
        Draft(**({"model": preset("llama-3.2-1b"), "tokens": 3, "acceptance": 0.5} | broken))  # type: ignore[arg-type]
