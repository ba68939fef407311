"""Times of training and serving come with intervals that widen where nothing was measured, and parts that add up."""

import pytest

from chipmeter.chips import chip
from chipmeter.cost import Plan, Serving, Shape, decode_step, first_token, training_step
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
    import msgspec

    base = training_step(preset("llama-3.1-70b"), chip("h100"), PLAN)
    again = training_step("llama-3.1-70b", "h100", msgspec.structs.replace(PLAN, recompute="full"))
    adapters = training_step("llama-3.1-70b", "h100", msgspec.structs.replace(PLAN, adapters=True))
    assert 1.15 * base.seconds < again.seconds < 1.45 * base.seconds
    assert adapters.seconds < base.seconds


def test_experts_narrow_formats_and_pools_have_factors_of_their_own() -> None:
    import msgspec

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
