"""A step of a model adds up: its GEMMs multiply every active parameter, its phases differ as they should."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipmeter.workloads import AllReduce, Attention, Formats, Gemm, Op, Optimizer, Workload, preset, presets, workload
from chipmeter.workloads.layers import experts_hit

BF16 = Formats.of("bf16")
DECODERS = [name for name in presets() if preset(name).kind == "decoder"]


def named(step: Workload, name: str) -> Op:
    (op,) = (op for op in step.ops if op.name == name)
    return op


def gemms(step: Workload) -> list[Gemm]:
    return [op for op in step.ops if isinstance(op, Gemm)]


@pytest.mark.parametrize("name", DECODERS)
def test_decoding_one_token_multiplies_every_active_matrix_once(name: str) -> None:
    model = preset(name)
    step = workload(model, "decode", batch=1, context=10)
    active = 0
    for weight in model.weights:
        each = weight.matrices * weight.n * weight.k
        used = each * model.active_experts // model.experts if weight.experts else each
        active += used if weight.role != "embed" or model.tied else 0
    assert sum(op.flops for op in gemms(step)) == 2 * active


@pytest.mark.parametrize("name", DECODERS)
def test_decoding_reads_each_weight_once(name: str) -> None:
    step = workload(preset(name), "decode", batch=1, context=10)
    for op in gemms(step):
        if op.weights and not op.weights[0].experts and op.split != "groups":
            assert op.n * op.k == sum(weight.n * weight.k for weight in op.weights)
            assert op.count == max(1, len(op.weights[0].layers))


def test_latent_attention_absorbs_the_up_projection_without_reading_more() -> None:
    model = preset("deepseek-v3")
    expand = model.weight("kv_b")
    assert expand is not None
    step = workload(model, "decode", batch=4, context=100)
    absorbed = [op for op in gemms(step) if expand in op.weights]
    assert sum(op.groups * op.n * op.k for op in absorbed) == expand.n * expand.k
    (core,) = (op for op in step.ops if isinstance(op, Attention))
    assert core.flops == 61 * 2 * 4 * 101 * 128 * (576 + 512)


def test_prefill_by_hand() -> None:
    step = workload(preset("llama-3.1-8b"), "prefill", batch=2, seq=100)
    assert (step.unit, step.units, step.tokens) == ("token", 200, 200)
    assert named(step, "qkv").flops == 32 * 2 * 200 * 4096 * (4096 + 2048)
    assert named(step, "mlp up").flops == 32 * 2 * 200 * 4096 * 2 * 14336
    assert named(step, "attention").flops == 32 * 4 * 2 * (100 * 101 // 2) * 32 * 128
    assert named(step, "logits").flops == 2 * 2 * 4096 * 128256


def test_chunked_prefill_attends_to_the_context() -> None:
    whole = workload(preset("llama-3.1-8b"), "prefill", seq=100)
    first = workload(preset("llama-3.1-8b"), "prefill", seq=60)
    second = workload(preset("llama-3.1-8b"), "prefill", seq=40, context=60)
    attention = [named(step, "attention").flops for step in (whole, first, second)]
    assert attention[0] == attention[1] + attention[2]
    assert whole.kv_elements == second.kv_elements


def test_training_is_three_forwards_and_an_optimizer() -> None:
    model = preset("llama-3.1-8b")
    forward, step = workload(model, "prefill", batch=2, seq=64), workload(model, "train", batch=2, seq=64)
    assert named(step, "mlp down").flops == 3 * named(forward, "mlp down").flops
    assert named(step, "attention").flops == 3.5 * named(forward, "attention").flops
    assert named(step, "logits").flops == 3 * 64 * named(forward, "logits").flops  # every token, not the last only
    assert isinstance(step.ops[-1], Optimizer)
    assert step.ops[-1].parameters == model.parameters
    assert step.kv_elements == 0
    assert sum(op.flops for op in gemms(step)) == 6 * 128 * sum(
        weight.parameters for weight in model.weights if weight.role != "embed"
    )


def test_encoder_counts_sequences() -> None:
    step = workload(preset("minilm"), batch=32, seq=128)
    assert (step.phase, step.unit, step.units, step.tokens) == ("encode", "sequence", 32, 4096)
    attention = named(step, "attention")
    assert isinstance(attention, Attention)
    assert not attention.causal
    assert attention.flops == 6 * 4 * 32 * 128 * 128 * 384
    assert named(step, "pooler").flops == 2 * 32 * 384 * 384


def test_windowed_layers_attend_less() -> None:
    step = workload(preset("gemma-2-9b"), "decode", batch=1, context=9999)
    full, windowed = named(step, "attention"), named(step, "windowed attention")
    assert (full.count, windowed.count) == (21, 21)
    assert full.flops * 4096 == windowed.flops * 10_000


def test_two_all_reduces_per_layer() -> None:
    for name in ("llama-3.1-8b", "mixtral-8x7b", "deepseek-v3", "minilm"):
        model = preset(name)
        step = workload(model)
        assert sum(op.count for op in step.ops if isinstance(op, AllReduce)) == 2 * model.layers


def test_experts_hit() -> None:
    assert experts_hit(256, 8, 1) == 8.0
    assert experts_hit(4, 2, 2) == 3.0  # 4 x (1 - 1/2 x 1/2)
    assert experts_hit(8, 8, 5) == 8.0


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(DECODERS), st.integers(1, 64), st.integers(0, 900))
def test_a_larger_batch_or_context_never_costs_less(name: str, batch: int, context: int) -> None:
    model = preset(name)
    small = workload(model, "decode", batch=batch, context=context)
    for large in (
        workload(model, "decode", batch=2 * batch, context=context),
        workload(model, "decode", batch=batch, context=context + 100),
    ):
        assert large.flops >= small.flops
        assert sum(op.bytes(BF16) for op in large.ops) >= sum(op.bytes(BF16) for op in small.ops)
        assert large.kv_elements >= small.kv_elements


@pytest.mark.parametrize(
    ("model", "arguments", "problem"),
    [
        ("minilm", {"phase": "decode"}, "phase 'decode' does not apply to minilm, .* encoder; accepted: encode, train"),
        ("gpt2", {"phase": "encode"}, "does not apply to gpt2, .* decoder; accepted: prefill, decode, train"),
        ("gpt2", {"phase": "sleep"}, "phase must be one of prefill, decode, encode, train, got 'sleep'"),
        ("gpt2", {"batch": 0}, "batch must lie from 1"),
        ("gpt2", {"batch": 2**40}, "batch must lie from 1 to 1048576"),
        ("gpt2", {"phase": "decode", "seq": 2}, "seq must lie from 1 to 1, got 2"),
        ("gpt2", {"phase": "train", "context": 5}, "context must lie from 0 to 0"),
        ("gpt2", {"phase": "decode", "context": 1024}, "gpt2 has 1024 positions; context . seq = 1025"),
        ("gpt2", {"phase": "decode", "context": -1}, "context must lie from 0"),
    ],
)
def test_refusals(model: str, arguments: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        workload(preset(model), **arguments)  # type: ignore[arg-type]


def test_defaults_respect_the_position_table() -> None:
    assert (workload(preset("gpt2")).context, workload(preset("gpt2"), "prefill").seq) == (1023, 1024)
    assert (workload(preset("llama-3.1-8b")).context, workload(preset("minilm")).seq) == (2048, 256)


def test_numpy_integers_are_taken_as_integers() -> None:
    step = workload(preset("gpt2"), "prefill", batch=np.int64(3), seq=np.int32(7))  # type: ignore[arg-type]
    assert (type(step.batch), type(step.seq), step.units) == (int, int, 21)


def test_sizes_must_be_integers() -> None:
    with pytest.raises(TypeError, match=r"batch must be an integer, got 1\.5"):
        workload(preset("gpt2"), batch=1.5)  # type: ignore[arg-type]


def test_training_attends_within_the_window_alone() -> None:
    """Each token sees itself and what comes before, at most a window; forward, and 2.5 times that backward."""
    model, tokens, batch = preset("gemma-2-9b"), 10_000, 2
    step = workload(model, "train", batch=batch, seq=tokens)
    assert model.window is not None
    seen = sum(min(token, model.window) for token in range(1, tokens + 1))
    windowed = named(step, "windowed attention")
    assert windowed.flops == 3.5 * len(model.windowed_layers) * batch * seen * 4 * model.heads * model.head_dim
    whole = named(step, "attention")
    assert isinstance(whole, Attention)
    assert whole.pairs == tokens * (tokens + 1) // 2
