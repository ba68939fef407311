"""Deployments keep the limits, fit the memory and are ranked; what cannot be served says why."""

from __future__ import annotations

import msgspec
import pytest

import chipmeter as cm
from chipmeter.chips import Price
from chipmeter.cost import decode_step, first_token
from chipmeter.cost.predict import prompt_step
from chipmeter.cost.serving import weight_bytes
from chipmeter.cost.shape import Shape
from chipmeter.planning import best_serving
from chipmeter.planning.serving import READERS_BUSY
from chipmeter.workloads import preset

SHAPE = Shape.of(preset("llama-3.1-70b"))
PRICE = Price(kind="on-demand", dollars_per_hour=2.0, chips=1, grade="assumed", source="a test")
ASKED = {"chip": "h100", "chips": 8, "prompt": 1024, "answer": 512, "format": ("bf16", "fp8"), "price": PRICE}


def test_limits_hold_and_the_order_is_that_of_the_objective() -> None:
    found = best_serving(SHAPE, tpot=0.03, ttft=1.0, **ASKED)
    for one in found.deployments:
        assert one.tpot.seconds <= 0.03
        assert one.ttft.seconds <= 1.0
        assert one.load.sequences <= one.room
        assert weight_bytes(SHAPE, one.load.format) <= one.load.chips * 80e9
        assert one.tpot == decode_step(SHAPE, "h100", one.load)
        assert one.ttft.seconds >= first_token(SHAPE, "h100", one.load).seconds
        assert one.load.pools == (one.readers > 0)
        assert one.chips <= 8
        assert one.dollars_per_million_tokens.expected == pytest.approx(
            2.0 * one.chips / 3600 / one.tokens_per_second.expected * 1e6
        )
        assert one.dollars_range.low < one.dollars_range.expected < one.dollars_range.high
    rates = [one.tokens_per_second.expected for one in found.deployments]
    assert rates == sorted(rates, reverse=True)
    quick = best_serving(SHAPE, objective="tpot", **ASKED)
    assert quick.best.tpot.seconds == min(one.tpot.seconds for one in quick.deployments)
    assert quick.best.load.sequences == 1


def test_looser_limits_never_serve_less() -> None:
    rates = [
        best_serving(SHAPE, tpot=limit, **ASKED).best.tokens_per_second.expected for limit in (0.02, 0.03, 0.06, 1.0)
    ]
    assert rates == sorted(rates)


def test_experts_may_be_split_over_chips() -> None:
    found = cm.best_serving("deepseek-v3", chip="h200", chips=16, prompt=1024, answer=512, format="fp8", tpot=0.1)
    assert any(one.load.split_requests and "EP 8" in one.layout for one in found.deployments)


def test_copies_that_read_prompts_keep_up_with_those_that_answer() -> None:
    asked = {**ASKED, "chips": 16, "prompt": 8192, "tpot": 0.03}
    apart = best_serving(SHAPE, disaggregated=True, **asked)
    for one in apart.deployments:
        requests = one.tokens_per_second.expected / one.load.answer
        reading = prompt_step(SHAPE, "h100", msgspec.structs.replace(one.reader, sequences=1.0)).seconds
        assert requests * reading <= READERS_BUSY * one.readers
        assert one.layout.startswith(f"prompts on {one.readers} x TP {one.reader.chips}, answers on {one.copies} x TP")
    together = best_serving(SHAPE, disaggregated=False, **asked)
    assert all(one.reader is None for one in together.deployments)
    either = best_serving(SHAPE, **asked).best
    assert either == max(apart.best, together.best, key=lambda one: one.tokens_per_second.expected)


def test_pools_apart_need_chips_for_both_and_measured_prompts() -> None:
    with pytest.raises(ValueError, match="break 'copies that read prompts'"):
        best_serving("llama-3.1-8b", chip="h100", chips=1, prompt=64, answer=64, disaggregated=True)
    with pytest.raises(ValueError, match="break 'copies that read prompts'"):
        best_serving(SHAPE, chip="tpu-v6e", chips=16, prompt=64, answer=64, disaggregated=True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"chips": 1, "format": "bf16"},
            "no deployment serves llama3.1-70b on 1 x h100_sxm as asked: 1 break 'memory'",
        ),
        ({"tpot": 1e-4}, "break 'limits on time'"),
        ({"tpot": -1.0}, "tpot must be positive, got -1.0"),
        ({"prompt": 0}, "prompt must be an integer of 1 or more, got 0"),
        ({"objective": "speed"}, "objective must be one of tokens_per_second, tpot, ttft, got 'speed'"),
        ({"format": "nvfp4"}, "h100_sxm has no nvfp4 matrix rate"),
    ],
)
def test_what_cannot_be_served_says_why(change: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        best_serving(SHAPE, **{**ASKED, **change})  # type: ignore[arg-type]
