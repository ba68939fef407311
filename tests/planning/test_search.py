"""A search finds what trying every plan one by one finds, obeys physics and prices, and says why nothing works."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter.chips import Price, chip
from chipmeter.cost import Plan, Plans, Shape, break_even, training_step, training_steps
from chipmeter.cost.device import device
from chipmeter.cost.money import price_range
from chipmeter.cost.plan import RECOMPUTE, SCHEDULES
from chipmeter.cost.training import model_flops
from chipmeter.planning import Site, Space, best_plan, evaluate, faults, in_full, layout, price_plan
from chipmeter.planning.space import BLOCK, Tally, blocks
from chipmeter.workloads import preset, workload

SMALL = Shape.of(preset("llama-3.1-8b"))
MODELS = {name: Shape.of(preset(name)) for name in ("llama-3.1-8b", "llama-3.1-405b", "mixtral-8x7b", "deepseek-v3")}
PRICE = Price(kind="on-demand", dollars_per_hour=2.0, chips=1, grade="assumed", source="a test")
plans = st.builds(
    Plan,
    chips=st.sampled_from([64, 256, 16384]),
    batch=st.sampled_from([512, 2048]),
    seq=st.sampled_from([2048, 8192]),
    micro=st.sampled_from([1, 2, 4]),
    tensor=st.sampled_from([1, 2, 8]),
    pipeline=st.sampled_from([1, 2, 8]),
    virtual=st.sampled_from([1, 4]),
    context=st.sampled_from([1, 2, 4]),
    expert=st.sampled_from([1, 8]),
    schedule=st.sampled_from(sorted(SCHEDULES)),
    recompute=st.sampled_from(sorted(RECOMPUTE)),
    zero=st.sampled_from([0, 1, 2, 3]),
    sequence_parallel=st.booleans(),
    gradient_bytes=st.just(2),
)


@settings(max_examples=30)
@given(
    model=st.sampled_from(sorted(MODELS)), name=st.sampled_from(["h100", "gb200", "tpu_v5p", "trn2"]),
    some=st.lists(plans, min_size=1, max_size=8),
)  # fmt: skip
def test_many_plans_at_once_are_priced_as_each_alone(model: str, name: str, some: list[Plan]) -> None:
    together = training_steps(MODELS[model], device(name), Plans.of(some))
    site = Site(MODELS[model], chip(name), device(name), PRICE, price_range(PRICE), "mbridge")
    outcome = evaluate(site, Plans.of(some))
    for place, plan in enumerate(some):
        alone = training_step(MODELS[model], name, plan)
        assert together.one(place).seconds == pytest.approx(alone.seconds, rel=1e-12)
        assert together.one(place).parts == pytest.approx(alone.parts, rel=1e-12)
        full = in_full(site, plan)
        assert outcome.bytes[place] == pytest.approx(full.bytes, rel=1e-12)
        assert max(full.stages) == pytest.approx(full.bytes, rel=1e-12)
        assert (Plans.of(some).plan(place), full.dollars) == (plan, pytest.approx(outcome.dollars[place], rel=1e-12))


@given(model=st.sampled_from(sorted(MODELS)), name=st.sampled_from(["h100", "b200", "tpu_v5e", "trn2"]), plan=plans)
def test_no_plan_beats_the_roofline(model: str, name: str, plan: Plan) -> None:
    step, shape = training_step(MODELS[model], name, plan), MODELS[model]
    flops = plan.batch * plan.seq * model_flops(shape, plan.seq)
    assert step.low >= flops / plan.chips / device(name).rate("bf16") * (1 - 1e-12)


def every_plan(space: Space, chips: int, batch: int, seq: int) -> list[Plan]:
    axes = itertools.product(
        space.tensor or (), space.pipeline or (), space.virtual or (), space.context or (), space.micro or (),
        space.schedule, space.recompute, space.zero,
    )  # fmt: skip
    found = []
    for tensor, pipeline, virtual, context, micro, schedule, recompute, zero in axes:
        if (virtual > 1) != (schedule == "interleaved") or (pipeline == 1) > (schedule == "1f1b"):
            continue
        found.append(
            Plan(
                chips=chips, batch=batch, seq=seq, micro=micro, tensor=tensor, pipeline=pipeline, virtual=virtual,
                context=context, schedule=schedule, recompute=recompute, zero=zero,
                gradient_bytes=2,
            )
        )  # fmt: skip
    return found


def test_gradients_take_what_the_software_keeps_unless_said() -> None:
    asked = {"chip": "h100", "chips": 16, "batch": 32, "seq": 8192}
    kept = {
        name: best_plan(SMALL, software=name, **asked).best.plan.gradient_bytes for name in ("mbridge", "torchtitan")
    }
    assert kept == {"mbridge": 2, "torchtitan": 4}
    assert best_plan(SMALL, gradient_bytes=4, **asked).best.plan.gradient_bytes == 4
    plan = Plan(chips=16, batch=32, seq=8192, tensor=2)
    assert price_plan(SMALL, plan, chip="h100").plan.gradient_bytes == 2
    assert price_plan(SMALL, plan, chip="h100", software="megatron").memory["gradients"] == pytest.approx(
        2 * price_plan(SMALL, plan, chip="h100").memory["gradients"]
    )


def test_the_search_is_exhaustive() -> None:
    choices = {
        "tensor": (2, 4), "pipeline": (1, 4), "virtual": (1, 2), "context": (1,), "micro": (1, 2, 4),
        "recompute": ("none", "full"), "zero": (1, 3),
    }  # fmt: skip
    one = best_plan(SMALL, chip="h100", chips=16, batch=32, seq=8192, top=10**6, distinct=False, **choices)
    tried = every_plan(Space(**choices), 16, 32, 8192)
    working = [plan for plan in tried if not faults(SMALL, device("h100"), plan)]
    assert (one.examined, one.legal) == (len(tried), len(working))
    assert {msgspec.json.encode(found.plan) for found in one.plans} == {msgspec.json.encode(plan) for plan in working}
    seconds = [found.seconds for found in one.plans]
    assert seconds == sorted(seconds)
    assert seconds[0] == pytest.approx(min(training_step(SMALL, "h100", plan).seconds for plan in working), rel=1e-12)


def test_distinct_plans_are_the_best_of_their_degrees_and_the_search_repeats_itself() -> None:
    given_ = {
        "chip": "h100",
        "chips": 16,
        "batch": 32,
        "seq": 4096,
        "zero": (1, 3),
        "recompute": "none",
        "micro": (1, 4),
    }
    given_ |= {"context": (1, 2), "virtual": (1, 2)}
    every = best_plan(SMALL, top=10**6, distinct=False, **given_)
    apart = best_plan(SMALL, top=5, **given_)
    assert best_plan(SMALL, top=5, **given_) == apart
    best: dict[tuple[int, ...], float] = {}
    for one in every.plans:
        plan = one.plan
        best.setdefault((plan.tensor, plan.pipeline, plan.context), one.seconds)
    assert [one.seconds for one in apart.plans] == pytest.approx(sorted(best.values())[:5], rel=1e-12)
    assert every.examined == every.legal + every.unfit + sum(every.broken.values())


@settings(max_examples=12)
@given(by=st.floats(1.0, 4.0), what=st.sampled_from(["memory_bandwidth", "peak", "scale_up", "scale_out"]))
def test_a_better_chip_never_makes_the_best_plan_slower(by: float, what: str) -> None:
    base = chip("h100")

    def more(figure: object) -> object:
        return msgspec.structs.replace(figure, value=figure.value * by)  # type: ignore[attr-defined]

    field = getattr(base, what)
    better = (
        {name: more(one) for name, one in field.items()} if what == "peak"
        else msgspec.structs.replace(field, bandwidth=more(field.bandwidth)) if what.startswith("scale") else more(field)
    )  # fmt: skip
    sizes = {"chips": 16, "batch": 16, "seq": 4096, "zero": (1, 3), "context": (1, 2)}
    slow = best_plan(SMALL, chip=base, **sizes).best
    fast = best_plan(SMALL, chip=msgspec.structs.replace(base, **{what: better}), **sizes).best
    assert fast.seconds <= slow.seconds * (1 + 1e-9)


def test_dollars_follow_the_price_and_stay_unknown_without_one() -> None:
    sizes = {"chips": [8, 16], "batch": 16, "seq": 4096, "objective": "dollars"}
    cheap = best_plan(SMALL, chip="h100", price=PRICE, **sizes)
    dear = best_plan(SMALL, chip="h100", price=msgspec.structs.replace(PRICE, dollars_per_hour=6.0), **sizes)
    assert [one.dollars * 3 for one in cheap.plans if one.dollars] == pytest.approx([one.dollars for one in dear.plans])
    assert cheap.best.dollars == pytest.approx(cheap.best.seconds * cheap.best.plan.chips * 2 / 3600)
    unknown = best_plan(SMALL, chip="trn3", chips=16, batch=16, seq=4096)
    assert (unknown.best.dollars, unknown.best.joules) == (None, None)
    with pytest.raises(ValueError, match="no price of trn3 is known"):
        best_plan(SMALL, chip="trn3", **sizes)
    with pytest.raises(ValueError, match="no power of trn3 is known"):
        best_plan(SMALL, chip="trn3", chips=16, batch=16, seq=4096, objective="joules")


def test_nothing_on_the_pareto_front_beats_another() -> None:
    front = best_plan(SMALL, chip="h100", price=PRICE, chips=(8, 16, 32), batch=32, seq=4096, objective="pareto")
    costs = np.array([(one.seconds, one.dollars, one.joules) for one in front.plans])
    assert len(front.plans) > 1
    for row in costs:
        assert not ((costs <= row).all(axis=1) & (costs < row).any(axis=1)).any()
    for place, objective in enumerate(("seconds", "dollars", "joules")):
        alone = best_plan(SMALL, chip="h100", price=PRICE, chips=(8, 16, 32), batch=32, seq=4096, objective=objective)
        assert costs[:, place].min() == pytest.approx(getattr(alone.best, objective), rel=1e-12)


def test_blocks_are_bounded_and_cover_the_space_once() -> None:
    tally, seen = Tally(), 0
    for some, kept in blocks(MODELS["llama-3.1-405b"], device("h100"), 4096, 1024, 8192, Space(), tally):
        assert kept.shape == some.shape
        assert kept.size <= BLOCK
        seen += int(np.count_nonzero(kept))
    assert seen + sum(tally.broken.values()) == tally.examined


def test_an_impossible_search_says_why_and_what_would_do() -> None:
    with pytest.raises(
        ValueError, match=r"no plan trains llama3.1-405b on 8 x h100_sxm .* do not fit 80 GB.*; \d+ chips"
    ):
        best_plan("llama-3.1-405b", chip="h100", chips=8, batch=64, seq=8192)
    with pytest.raises(ValueError, match="4 break 'heads'"):
        best_plan(SMALL, chip="h100", chips=9, batch=9, seq=4095, tensor=3, pipeline=1, context=1, micro=1, zero=1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"chips": 0}, "chips must be an integer of 1 or more, got 0"),
        ({"batch": -4}, "batch must be an integer of 1 or more, got -4"),
        ({"objective": "speed"}, "objective must be one of seconds, dollars, joules, pareto, got 'speed'"),
        ({"schedule": "1f2b"}, "unknown schedule '1f2b'"),
        ({"format": "mxfp4"}, "h100_sxm has no mxfp4 matrix rate"),
        ({"zero": 4}, "zero must be 0, 1, 2 or 3, got 4"),
        ({"tensor": 0}, "tensor must be integers of 1 or more, got 0"),
        ({"tensr": 2}, "unknown choice 'tensr'"),
        ({"chip": None}, "give a chip or a system"),
        ({"memory": 0.0}, "memory must be a positive number of bytes, got 0.0"),
        ({"gradient_bytes": 3}, "gradient_bytes must be 2 or 4, got 3"),
    ],
)
def test_bad_input_is_one_clear_error(change: dict[str, object], says: str) -> None:
    given_ = {"chip": "h100", "chips": 8, "batch": 8, "seq": 4096, **change}
    with pytest.raises((ValueError, TypeError), match=says):
        best_plan(SMALL, **given_)  # type: ignore[arg-type]


def test_more_memory_and_shorter_gradients_never_slow_the_best_plan() -> None:
    sizes = {"chip": "h100", "chips": 16, "batch": 32, "seq": 8192, "context": 1, "zero": (1, 3)}
    seconds = [
        best_plan("llama-3.1-70b", memory=memory, gradient_bytes=bytes_of, **sizes).best.seconds
        for memory, bytes_of in ((80e9, 4), (86e9, 4), (86e9, 2))
    ]
    assert seconds == sorted(seconds, reverse=True)


def test_a_workload_brings_its_batch_and_tokens() -> None:
    train = workload(preset("llama-3.1-8b"), "train", batch=16, seq=4096)
    by_size = best_plan(SMALL, chip="h100", chips=16, batch=16, seq=4096, zero=1)
    assert best_plan(train, chip="h100", chips=16, zero=1).plans == by_size.plans
    with pytest.raises(ValueError, match="best_serving plans serving"):
        best_plan(workload(preset("llama-3.1-8b"), "decode", batch=16), chip="h100", chips=16)
    with pytest.raises(ValueError, match="give batch and seq"):
        best_plan(SMALL, chip="h100", chips=16)


def test_doubt_of_time_price_and_power_reaches_dollars_and_joules() -> None:
    best = best_plan("llama-3.1-70b", chip="h100", chips=64, batch=128, seq=8192).best
    assert best.dollars_range is not None
    assert best.joules_range is not None
    assert (best.dollars_range.expected, best.joules_range.expected) == pytest.approx((best.dollars, best.joules))
    for one in (best.dollars_range, best.joules_range):
        assert one.log[0] <= 0.999 * best.seconds_range.log[0]
    assert best.dollars_range.log[1] > best.seconds_range.log[1]
    elsewhere = best_plan("llama-3.1-70b", chip="trn3", chips=64, batch=128, seq=8192).best
    even = break_even(elsewhere, best, 0.5).dollars_per_chip_hour
    assert even is not None
    assert even.expected == pytest.approx(0.5 * best.dollars / 64 * 3600 / elsewhere.seconds)


def test_a_plan_asked_about_is_judged() -> None:
    asked = Plan(chips=64, batch=128, seq=8192, tensor=3, pipeline=4)
    found = cm.best_plan("llama-3.1-70b", "p5.48xlarge", chips=64, batch=128, seq=8192, asked=asked)
    assert found.asked is not None
    assert any("attention heads" in fault for fault in found.asked.faults)
    assert found.asked.nearest is not None
    assert found.asked.nearest.seconds >= found.best.seconds
    assert "TP" in layout(found.asked.nearest.plan)
    works = best_plan("llama-3.1-70b", chip="h100", chips=64, batch=128, seq=8192, asked=found.best.plan).asked
    assert works is not None
    assert (works.faults, works.nearest) == ((), found.best.__class__(**{
        **{name: getattr(found.best, name) for name in found.best.__struct_fields__},
        "dollars": works.nearest.dollars if works.nearest else None,
        "dollars_range": works.nearest.dollars_range if works.nearest else None,
    }))  # fmt: skip


def test_experts_are_divided_where_that_pays() -> None:
    found = best_plan("mixtral-8x7b", chip="h100", chips=64, batch=256, seq=4096)
    assert found.best.plan.expert > 1
    assert found.best.memory["weights"] < 80e9


def test_one_plan_is_priced_or_refused_with_the_nearest_that_works() -> None:
    best = best_plan("llama-3.1-70b", chip="h100", chips=64, batch=128, seq=8192, zero=1, context=1).best
    assert price_plan("llama-3.1-70b", best.plan, chip="h100") == best
    wrong = msgspec.structs.replace(best.plan, tensor=3)
    with pytest.raises(
        ValueError, match=r"tensor 3 must divide the 64 attention heads; .*; the nearest plan that works: "
    ):
        price_plan("llama-3.1-70b", wrong, chip="h100")
    with pytest.raises(ValueError, match="no plan for these chips works"):
        price_plan("llama-3.1-405b", Plan(chips=8, batch=8, seq=8192, tensor=8), chip="h100")


def test_a_workload_is_priced_under_a_plan_of_its_size_alone() -> None:
    plan = Plan(chips=16, batch=32, seq=4096, tensor=2)
    job = workload(preset("llama-3.1-8b"), phase="train", batch=32, seq=4096)
    assert price_plan(job, plan, chip="h100") == price_plan("llama-3.1-8b", plan, chip="h100")
    with pytest.raises(ValueError, match="the workload has batch 32 and seq 4096, the plan 64 and 4096"):
        price_plan(job, msgspec.structs.replace(plan, batch=64), chip="h100")
    with pytest.raises(ValueError, match="expected a workload of training"):
        price_plan(workload(preset("llama-3.1-8b"), phase="decode", batch=32), plan, chip="h100")
