"""Times of training and serving come with intervals that widen where nothing was measured, and parts that add up."""

import msgspec
import pytest

from chipmeter.chips import chip
from chipmeter.cost import Plan, Serving, Shape, decode_step, first_token, training_step
from chipmeter.cost.constants import book, log_bounds
from chipmeter.cost.device import device
from chipmeter.cost.serving import capacity, decode_parts
from chipmeter.cost.software import gradient_bytes
from chipmeter.workloads import preset

PLAN = Plan(chips=64, batch=128, seq=8192, tensor=4, pipeline=4, virtual=5, context=2)
LOAD = Serving(chips=8, sequences=64, prompt=1024, answer=1024, format="fp8")


@pytest.mark.parametrize("name", ["h100", "b200", "gb300", "tpu_v5p", "trn2", "rubin"])
def test_parts_add_up_and_the_interval_holds_the_expectation(name: str) -> None:
    step = training_step("llama-3.1-70b", name, PLAN)
    assert sum(step.parts.values()) == pytest.approx(step.seconds)
    assert step.low < step.seconds < step.high
    assert step.source


def test_chips_and_models_without_measurements_are_flagged_and_less_sure() -> None:
    known, unseen = training_step("llama-3.1-70b", "h100", PLAN), training_step("llama-3.1-70b", "rubin", PLAN)
    assert not known.outside
    assert unseen.outside
    assert unseen.high / unseen.low > known.high / known.low
    other = Shape.of(preset("qwen2.5-72b"))
    assert decode_step(other, "h100", LOAD).outside
    assert not decode_step("llama-3.1-70b", "h100", LOAD).outside


def test_a_third_more_work_of_recomputation_shows() -> None:
    base = training_step(preset("llama-3.1-70b"), chip("h100"), PLAN)
    again = training_step("llama-3.1-70b", "h100", msgspec.structs.replace(PLAN, recompute="full"))
    adapters = training_step("llama-3.1-70b", "h100", msgspec.structs.replace(PLAN, adapters=True))
    assert 1.15 * base.seconds < again.seconds < 1.45 * base.seconds
    assert adapters.seconds < base.seconds


def test_experts_narrow_formats_and_pools_have_factors_of_their_own() -> None:
    moe = training_step("deepseek-v3", "gb200", msgspec.structs.replace(PLAN, chips=256, expert=64, format="fp8"))
    assert moe.parts["experts"] > 0
    apart = msgspec.structs.replace(LOAD, pools=True, split_requests=True, chips=16)
    together, pooled = (
        decode_step("deepseek-v3", "h200", LOAD),
        decode_step("deepseek-v3", "h200", apart, engine="sglang"),
    )
    assert together.parts["prefill"] > 0
    assert pooled.parts["prefill"] == 0
    assert first_token("deepseek-v3", "h200", LOAD).seconds > together.seconds
    crowd = msgspec.structs.replace(LOAD, sequences=512)
    assert first_token("llama-3.1-70b", "h100", crowd).seconds > first_token("llama-3.1-70b", "h100", LOAD).seconds


def test_what_no_run_of_a_family_had_widens_the_interval() -> None:
    # No measured run on a TPU is tensor-parallel, so that part's weight is the prior's, and less sure.
    alone, group = (
        training_step("llama-3.1-70b", "tpu_v5p", Plan(chips=64, batch=64, seq=8192, zero=3, tensor=tensor))
        for tensor in (1, 8)
    )
    assert group.parts["tensor"] > 0
    assert group.high / group.seconds > alone.high / alone.seconds
    assert group.low / group.seconds < alone.low / alone.seconds


def test_software_never_seen_on_a_chip_is_flagged_and_less_sure() -> None:
    seen = decode_step("llama-3.1-70b", "b200", LOAD, engine="vllm")
    unseen = decode_step("llama-3.1-70b", "b200", LOAD, engine="mine")
    assert not seen.outside
    assert unseen.outside
    assert unseen.high / unseen.low > seen.high / seen.low
    assert training_step("llama-3.1-70b", "h100", PLAN, software="torchtitan").outside


def test_a_model_never_seen_is_never_surer_than_those_seen() -> None:
    found = [one for name in ("serving", "training") for kind in book(name).values() for one in kind.values()]
    groups = [(one, group) for one in found for group in one.groups if not group.startswith("new")]
    assert len(groups) > 20
    for one, group in groups:
        (low, high), (below, above) = log_bounds(one, group), log_bounds(one, group, model=False)
        assert below <= low
        assert above >= high


def test_engines_that_give_pages_as_answers_grow_serve_more_at_once() -> None:
    model, load = Shape.of(preset("llama-3.1-70b")), msgspec.structs.replace(LOAD, chips=1, prompt=1024, answer=8192)
    whole, growing = (capacity(model, device("h200"), load, grows=grows) for grows in (False, True))
    assert growing / whole == pytest.approx((1024 + 8192) / (1024 + 4096))


def test_prompts_that_begin_in_one_step_are_read_together() -> None:
    model, short = Shape.of(preset("llama-3.1-70b")), msgspec.structs.replace(LOAD, prompt=128, answer=128)
    parts = [decode_parts(model, device("h100"), short, batch)["prefill"] / (batch - 1) for batch in (64.0, 2048.0)]
    assert parts[1] < 0.7 * parts[0]


def test_the_memory_of_a_plan_follows_what_its_software_keeps_gradients_in() -> None:
    assert {gradient_bytes(name) for name in ("dgxc", "mbridge", "mlperf")} == {2}
    assert {gradient_bytes(name) for name in ("megatron", "torchtitan", "mine")} == {4}
