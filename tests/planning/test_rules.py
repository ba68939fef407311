"""Rules tell the plans that work from those that do not, in words, and the nearest plan that works is found."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chipmeter.cost.device import device
from chipmeter.cost.plan import RECOMPUTE, SCHEDULES, Plan, Plans
from chipmeter.cost.residency import fullest_stage, stage_bytes, total_bytes
from chipmeter.cost.shape import Shape
from chipmeter.planning import RULES, faults, legal, nearest
from chipmeter.workloads import preset

MODELS = {name: Shape.of(preset(name)) for name in ("llama-3.1-8b", "llama-3.1-70b", "mixtral-8x7b")}
GOOD = Plan(chips=64, batch=128, seq=8192, tensor=4, pipeline=4, virtual=5, context=2)
plans = st.builds(
    Plan,
    chips=st.sampled_from([8, 16, 48, 64]),
    batch=st.sampled_from([16, 64, 120]),
    seq=st.sampled_from([2048, 4096]),
    micro=st.sampled_from([1, 2, 3]),
    tensor=st.sampled_from([1, 2, 3, 8, 16]),
    pipeline=st.sampled_from([1, 2, 3, 4, 8, 40]),
    virtual=st.sampled_from([1, 2, 4]),
    context=st.sampled_from([1, 2]),
    expert=st.sampled_from([1, 2, 8]),
    schedule=st.sampled_from(sorted(SCHEDULES)),
    recompute=st.sampled_from(sorted(RECOMPUTE)),
    zero=st.sampled_from([0, 1, 2, 3]),
    sequence_parallel=st.booleans(),
)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tensor": 3}, "tensor 3 must divide the 64 attention heads"),
        ({"chips": 48}, "tensor 4 x pipeline 4 x context 2 must divide the 48 chips"),
        ({"pipeline": 128, "chips": 4096}, "pipeline 128 has more stages than the model has layers, 80"),
        ({"virtual": 40}, "4 x 40 virtual stages are more than the model has layers, 80"),
        ({"virtual": 19}, "4 x 19 stages must divide the 80 layers"),
        ({"batch": 7}, "microbatch 1 x the 2 replicas must divide the batch of 7 sequences"),
        ({"seq": 8190}, "twice context 2 must divide the 8190 tokens"),
        ({"expert": 2}, "expert 2 must divide the 0 experts; 1 for a model without"),
        ({"schedule": "gpipe"}, "schedule gpipe does not go with pipeline 4 and 5 virtual stages"),
        ({"schedule": "zb-h2", "virtual": 1, "batch": 8}, "schedule zb-h2 on 4 stages needs more than 4 microbatches"),
        ({"batch": 12}, "pipeline 4 must divide the 6 microbatches to interleave"),
        ({"chips": 16, "pipeline": 2, "batch": 16, "zero": 0}, "GB on the fullest chip, h100_sxm has 80.0 GB"),
    ],
)
def test_each_rule_is_said_in_words(change: dict[str, object], says: str) -> None:
    assert faults(MODELS["llama-3.1-70b"], device("h100"), GOOD) == ()
    found = faults(MODELS["llama-3.1-70b"], device("h100"), msgspec.structs.replace(GOOD, **change))
    assert any(says in fault for fault in found), found


@given(model=st.sampled_from(sorted(MODELS)), some=st.lists(plans, min_size=1, max_size=8))
def test_counts_and_words_agree(model: str, some: list[Plan]) -> None:
    shape, huge = MODELS[model], msgspec.structs.replace(device("h100"), memory=1e18)
    kept, broken = legal(shape, Plans.of(some))
    assert kept.tolist() == [not faults(shape, huge, plan) for plan in some]
    assert sum(broken.values()) == int(np.count_nonzero(~kept))
    assert set(broken) <= {rule.name for rule in RULES}


@settings(max_examples=25)
@given(model=st.sampled_from(sorted(MODELS)), plan=plans)
def test_the_nearest_plan_works_and_a_plan_that_works_is_its_own(model: str, plan: Plan) -> None:
    shape, chip = MODELS[model], device("h200")
    found = nearest(shape, chip, plan)
    assume(found is not None)
    assert found is not None
    assert faults(shape, chip, found) == ()
    assert (found.chips, found.batch, found.seq) == (plan.chips, plan.batch, plan.seq)
    if not faults(shape, chip, plan):
        assert found == plan


@given(model=st.sampled_from(sorted(MODELS)), plan=plans)
def test_the_fullest_stage_holds_no_less_than_any(model: str, plan: Plan) -> None:
    laid = Plans.of([plan])
    stages = total_bytes(stage_bytes(MODELS[model], laid, np.arange(float(plan.pipeline))))
    assert total_bytes(fullest_stage(MODELS[model], laid))[0] >= stages.max() * (1 - 1e-12)


@given(model=st.sampled_from(sorted(MODELS)), plan=plans)
def test_dividing_and_recomputing_never_take_memory(model: str, plan: Plan) -> None:
    def bytes_of(**change: object) -> float:
        laid = Plans.of([msgspec.structs.replace(plan, **change)])
        return float(total_bytes(fullest_stage(MODELS[model], laid))[0])

    assert bytes_of(zero=0) >= bytes_of(zero=1) >= bytes_of(zero=2)
    assert bytes_of(recompute="none") >= bytes_of(recompute="selective op")
    assert bytes_of(sequence_parallel=False) >= bytes_of(sequence_parallel=True)


def test_state_takes_the_bytes_of_the_closed_forms() -> None:
    # 18 bytes per parameter, or 6 + 12 / dp with the optimizer's state divided, or 16 / dp with all of it.
    model = MODELS["llama-3.1-8b"]
    base = Plan(chips=16, batch=16, seq=2048)
    for zero, expected in ((0, 18.0), (1, 6 + 12 / 16), (2, 2 + 16 / 16), (3, 16 / 16)):
        parts = fullest_stage(model, Plans.of([msgspec.structs.replace(base, zero=zero)]))
        state = sum(parts[name].item() for name in ("weights", "gradients", "optimizer")) / 1.03
        assert state == pytest.approx(expected * model.parameters, rel=1e-12)


def test_schedules_hold_the_microbatches_of_their_papers() -> None:
    def held(rank: int, **change: object) -> float:
        plan = msgspec.structs.replace(GOOD, **{"virtual": 1, "schedule": "1f1b", "batch": 1024, **change})
        return float(Plans.of([plan]).in_flight(np.array([float(rank)]))[0])

    assert [held(rank) for rank in range(4)] == [4, 3, 2, 1]
    assert held(0, schedule="gpipe") == held(3, schedule="gpipe") == 512
    assert (held(0, schedule="zb-h1"), held(0, schedule="zb-h2")) == (4, 7)
    interleaved = Plans.of([msgspec.structs.replace(GOOD, batch=1024)])
    # Korthikanti et al.: 1 + (p - 1) / (p v) times the layers of a stage, p microbatches.
    assert interleaved.in_flight(np.zeros(1))[0] == pytest.approx(4 * (1 + 3 / (4 * 5)))
