"""Training, serving and picture times obey physics: faster parts never slow a step, and no step beats its floor."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipmeter.cost.device import Device, device
from chipmeter.cost.diffusion import generation_parts
from chipmeter.cost.network import collective_seconds
from chipmeter.cost.plan import RECOMPUTE, SCHEDULES, Plan, Plans
from chipmeter.cost.residency import (
    classic_activations,
    fullest_stage,
    layer_activations,
    static_bytes,
    total_bytes,
)
from chipmeter.cost.serving import Serving, capacity, decode_parts, first_parts, prompt_seconds, weight_bytes
from chipmeter.cost.shape import Shape
from chipmeter.cost.terms import Terms, evaluate, fit_terms, flags
from chipmeter.cost.training import PARTS, model_flops, step_parts
from chipmeter.workloads import preset
from chipmeter.workloads.pictures import DENOISERS, Generation, find_denoiser

CHIPS = ["a100_80", "h100_sxm", "b200", "gb300", "tpu_v5e", "tpu_v7", "trn2", "mi300x"]
MODELS = {name: Shape.of(preset(name)) for name in ("llama-3.1-8b", "llama-3.1-70b", "mixtral-8x7b", "deepseek-v3")}
plans = st.builds(
    Plan,
    chips=st.sampled_from([64, 256, 1024]),
    batch=st.sampled_from([128.0, 512.0, 2048.0]),
    seq=st.sampled_from([2048, 8192]),
    micro=st.sampled_from([1.0, 2.0]),
    tensor=st.sampled_from([1, 2, 8]),
    pipeline=st.sampled_from([1, 2, 8]),
    virtual=st.sampled_from([1, 4]),
    context=st.sampled_from([1, 2]),
    expert=st.sampled_from([1, 8]),
    schedule=st.sampled_from(sorted(SCHEDULES)),
    recompute=st.sampled_from(sorted(RECOMPUTE)),
    zero=st.sampled_from([0, 1, 2, 3]),
    sequence_parallel=st.booleans(),
    adapters=st.booleans(),
)


def parts_of(model: Shape, chip: Device, plan: Plan) -> dict[str, float]:
    return {name: float(part.max()) for name, part in step_parts(model, chip, Plans.of([plan])).items()}


def faster(chip: Device, by: float) -> list[Device]:
    return [
        msgspec.structs.replace(chip, bandwidth=chip.bandwidth * by),
        msgspec.structs.replace(chip, peak={name: rate * by for name, rate in chip.peak.items()}),
        msgspec.structs.replace(chip, link=chip.link * by),
        msgspec.structs.replace(chip, network=chip.network * by),
        msgspec.structs.replace(chip, limit=None),
    ]


@given(name=st.sampled_from(CHIPS), model=st.sampled_from(sorted(MODELS)), plan=plans, by=st.floats(1.0, 6.0))
def test_a_faster_part_never_slows_a_training_step(name: str, model: str, plan: Plan, by: float) -> None:
    chip = device(name)
    base = parts_of(MODELS[model], chip, plan)
    assert tuple(base) == PARTS
    assert min(base.values()) >= 0
    for better in faster(chip, by):
        assert sum(parts_of(MODELS[model], better, plan).values()) <= sum(base.values()) * (1 + 1e-9)


@given(name=st.sampled_from(CHIPS), plan=plans)
def test_products_and_attention_take_at_least_their_flops(name: str, plan: Plan) -> None:
    plan = msgspec.structs.replace(plan, adapters=False, recompute="none", context=1)
    chip, model = device(name), MODELS["llama-3.1-70b"]
    parts = parts_of(model, chip, plan)
    tokens = plan.microbatches * plan.micro * plan.seq
    linear = 6.0 * model.dense_weights * tokens / plan.tensor / plan.pipeline
    assert parts["linear"] >= linear / chip.rate("bf16") * (1 - 1e-9)
    assert parts["head"] >= 6.0 * model.vocab * model.hidden * tokens / plan.tensor / chip.rate("bf16") * (1 - 1e-9)


def test_model_flops_equal_the_closed_form() -> None:
    # 72 B s L h^2 (1 + s / 6h + V / 12 L h), Narayanan et al. 2021, for a plain model with full attention.
    h, layers, vocab, seq = 6144, 48, 51200, 2048
    shape = Shape(
        name="gpt",
        layers=layers,
        hidden=h,
        ffn=4 * h,
        heads=64,
        kv_heads=64,
        head_dim=h // 64,
        vocab=vocab,
        gated=False,
    )
    closed = 72.0 * layers * h**2 * (1 + seq / (6 * h) + vocab / (12 * layers * h))
    assert model_flops(shape, seq, causal=False) == pytest.approx(closed, rel=1e-12)


@pytest.mark.parametrize("name", ["llama-3.1-8b", "llama-3.1-70b", "mixtral-8x7b", "deepseek-v3"])
def test_shapes_count_the_parameters_of_their_architecture(name: str) -> None:
    assert MODELS[name].parameters == pytest.approx(preset(name).parameters, rel=2e-3)


@given(
    chips=st.sampled_from([1, 2, 8]), batch=st.integers(1, 512), prompt=st.integers(16, 16384),
    answer=st.integers(16, 4096), split=st.booleans(), pools=st.booleans(), by=st.floats(1.0, 6.0),
    name=st.sampled_from(CHIPS), model=st.sampled_from(sorted(MODELS)),
)  # fmt: skip
def test_serving_obeys_bandwidth_and_load(
    chips: int, batch: int, prompt: int, answer: int, split: bool, pools: bool, by: float, name: str, model: str
) -> None:
    chip, shape = device(name), MODELS[model]
    load = Serving(
        chips=chips, sequences=batch, prompt=prompt, answer=answer, format="fp8", split_requests=split, pools=pools
    )
    parts = decode_parts(shape, chip, load, batch)
    total = sum(parts.values())
    more = sum(decode_parts(shape, chip, load, batch * 2).values())
    assert more >= total * (1 - 1e-9)
    for better in faster(chip, by):
        assert sum(decode_parts(shape, better, load, batch).values()) <= total * (1 + 1e-9)
    assert prompt_seconds(shape, chip, load) > 0
    first = first_parts(shape, chip, load, total, capacity(shape, chip, load), bundles=True)
    assert min(first.values()) >= 0


def test_prompts_wait_to_be_read_together_where_the_engine_gathers_them() -> None:
    chip, shape, step = device("h200"), MODELS["llama-3.1-70b"], 0.02
    load = Serving(chips=8, sequences=8, prompt=1024, answer=1024, format="fp8")
    alone, few = (first_parts(shape, chip, load, step, 1000.0, bundles=bundles) for bundles in (False, True))
    assert (alone["bundle"], alone["balance"]) == (0.0, 0.0)
    assert (few["bundle"], few["balance"]) == (step, 0.0)
    many = msgspec.structs.replace(load, sequences=1024, split_requests=True)
    parts = first_parts(shape, chip, many, step, 1024.0, bundles=True)
    # Eight prompts fill a chunk, and as many requests end in a step as one: half of the 16 steps at most.
    assert parts["bundle"] == step * 8 / 16
    assert parts["balance"] == step
    apart = first_parts(shape, chip, msgspec.structs.replace(many, pools=True), step, 1024.0, bundles=True)
    assert (apart["bundle"], apart["balance"]) == (0.0, 0.0)


def test_weights_are_read_at_the_bandwidth_at_best() -> None:
    chip, shape = device("h100"), MODELS["llama-3.1-8b"]
    load = Serving(chips=1, sequences=1, prompt=1, answer=1, format="bf16")
    read = 2.0 * (shape.dense_weights + shape.vocab * shape.hidden) / chip.bandwidth
    assert decode_parts(shape, chip, load, 1)["linear"] >= read
    assert weight_bytes(shape, "bf16") == 2.0 * shape.parameters


@given(
    frames=st.sampled_from([1.0, 17.0, 129.0]), side=st.sampled_from([256.0, 512.0, 1280.0]), chips=st.sampled_from([1, 2, 4]),
    compiled=st.booleans(), by=st.floats(1.0, 6.0), model=st.sampled_from(sorted(DENOISERS)),
)  # fmt: skip
def test_pictures_take_longer_when_larger_and_shorter_on_faster_chips(
    frames: float, side: float, chips: int, compiled: bool, by: float, model: str
) -> None:
    chip, denoiser = device("h100"), DENOISERS[model]
    job = Generation(width=side, height=side, frames=frames, steps=4, chips=chips, ulysses=chips, compiled=compiled)
    total = sum(generation_parts(denoiser, chip, job).values())
    larger = msgspec.structs.replace(job, width=side * 2)
    assert sum(generation_parts(denoiser, chip, larger).values()) >= total
    for better in faster(chip, by):
        assert sum(generation_parts(denoiser, better, job).values()) <= total * (1 + 1e-9)


def test_unknown_denoisers_are_taken_for_a_transformer_of_twelve_billion() -> None:
    assert find_denoiser("nobody knows").name == "flux"
    assert find_denoiser("Wan-AI/Wan2.1-T2V-1.3B").name == "wan2.1-1.3b"


@given(size=st.floats(1, 1e10), ranks=st.integers(2, 1024), by=st.floats(1.0, 8.0))
def test_collectives_grow_with_size_and_shrink_with_rate(size: float, ranks: int, by: float) -> None:
    chip = device("h100")
    for op in ("all-reduce", "all-gather", "reduce-scatter", "all-to-all"):
        time = collective_seconds(chip, op, size, ranks)
        assert collective_seconds(chip, op, size * by, ranks) >= time
        for better in faster(chip, by):
            assert collective_seconds(better, op, size, ranks) <= time


def test_published_activation_memory_is_met() -> None:
    # Korthikanti et al. 2022, Figs 1 and 7, in GiB: 22B none 59.25, selective with sequence parallelism 9.5625.
    shape = Shape(
        name="22b", layers=48, hidden=6144, ffn=24576, heads=64, kv_heads=64, head_dim=96, vocab=51200, gated=False
    )
    plan = Plan(chips=8, batch=4, seq=2048, micro=4, tensor=8)
    for policy, parallel, expected in (("none", False, 59.25), ("selective", True, 9.5625)):
        found = classic_activations(shape, plan, recompute=policy, sequence_parallel=parallel) / 2**30
        assert found == pytest.approx(expected, rel=0.005)
    assert classic_activations(shape, plan, recompute="full", sequence_parallel=True) < 2**30
    assert static_bytes(shape, plan) / 2**30 == pytest.approx(45.56, rel=0.02)


def test_sharded_peaks_order_by_policy() -> None:
    model = MODELS["llama-3.1-8b"]
    layouts = [
        Plan(chips=8, batch=16, seq=8192, micro=2, zero=3, recompute=policy)
        for policy in ("full", "selective op", "none")
    ]
    peaks = total_bytes(fullest_stage(model, Plans.of(layouts))).tolist()
    assert peaks == sorted(peaks)
    assert peaks[1] / 2**30 == pytest.approx(82.4, rel=0.07)
    assert layer_activations(model, 2.0, 1.0) == 2 * layer_activations(model, 1.0, 1.0)


def test_fitted_terms_recover_weights_and_factors() -> None:
    rng = np.random.default_rng(5)
    parts = {"a": rng.uniform(1, 5, 80), "b": rng.uniform(1, 5, 80)}
    labels = ["x" if flag else "" for flag in rng.integers(0, 2, 80)]
    terms = Terms(parts, flags("kind", labels), np.zeros(80))
    true = {"a": 1.5, "b": 0.5, "kind:x": 1.3}
    found = fit_terms(terms, evaluate(true, terms), {"a": (1.0, 3.0), "b": (1.0, 3.0)}, factor_spread=3.0)
    for name, value in true.items():
        assert found[name] == pytest.approx(value, rel=0.03)
    assert evaluate(true, terms._replace(floor=np.full(80, 100.0))).tolist() == [100.0] * 80
    assert evaluate({"a": 1.0, "b": 1.0}, terms.take(np.arange(3))).shape == (3,)
