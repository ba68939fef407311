"""Encoder-decoders, vision transformers and adapters have the published parameters and the FLOPs of their closed forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipmeter.workloads import Attention, Gemm, preset, read_config, workload
from chipmeter.workloads.training import adapter_parameters

T5 = {
    "model_type": "t5",
    "d_model": 512,
    "d_ff": 2048,
    "d_kv": 64,
    "num_layers": 6,
    "num_heads": 8,
    "vocab_size": 32128,
}
BART = {
    "model_type": "bart", "d_model": 768, "encoder_layers": 6, "decoder_layers": 6, "encoder_attention_heads": 12,
    "decoder_attention_heads": 12, "encoder_ffn_dim": 3072, "decoder_ffn_dim": 3072, "vocab_size": 50265,
    "max_position_embeddings": 1024,
}  # fmt: skip
OPT = {
    "model_type": "opt", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "ffn_dim": 3072,
    "vocab_size": 50272, "max_position_embeddings": 2048, "word_embed_proj_dim": 768,
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (T5, 60_506_624),
        (T5 | {"d_model": 768, "num_heads": 12, "num_layers": 12, "feed_forward_proj": "gated-gelu",
               "tie_word_embeddings": False}, 247_577_856),
        (BART, 139_420_416),
        (OPT, 125_239_296),
        ({"model_type": "clip", "vision_config": {"patch_size": 32}}, 87_456_000),
    ],
)  # fmt: skip
def test_parameters_of_the_published_checkpoints(config: dict[str, object], parameters: int) -> None:
    assert read_config(config).parameters == parameters


@given(
    st.integers(1, 3), st.sampled_from([64, 128]), st.integers(1, 4), st.integers(1, 40), st.integers(1, 30),
    st.sampled_from(["encode", "decode", "train"]),
)  # fmt: skip
def test_encoder_decoder_flops(layers: int, hidden: int, batch: int, seq: int, source: int, phase: str) -> None:
    model = read_config(
        T5 | {"d_model": hidden, "d_kv": hidden // 8, "d_ff": 3 * hidden, "num_layers": layers, "num_decoder_layers": 2}
    )
    given_source = {} if phase == "encode" else {"source": source}
    context = {"context": seq} if phase == "decode" else {"seq": seq}
    step = workload(model, phase, batch=batch, **context, **given_source)  # type: ignore[arg-type]
    h, s, passes = hidden, seq if phase == "encode" else source, 3 if phase == "train" else 1
    new = {"encode": 0, "decode": 1, "train": seq}[phase]
    linear = 0 if phase == "decode" else 2 * s * (layers * (4 * h * h + 6 * h * h) + 2 * 2 * h * h)
    linear += 2 * new * 2 * (4 * h * h + 2 * h * h + 6 * h * h)
    linear += 2 * (new if phase == "train" else min(new, 1)) * h * 32128
    assert sum(op.flops for op in step.ops if isinstance(op, Gemm)) == passes * batch * linear
    pairs = 0 if phase == "decode" else layers * s * s
    own = {"encode": 0, "decode": seq + 1, "train": seq * (seq + 1) // 2}[phase]
    attention = 4 * h * (pairs + 2 * own + 2 * new * s)
    core = sum(op.flops for op in step.ops if isinstance(op, Attention))
    assert core == pytest.approx((3.5 if phase == "train" else 1) * batch * attention)


def test_an_encoder_decoder_caches_its_source() -> None:
    step = workload(preset("whisper-large-v3"), "decode", batch=2, context=9)
    assert step.kv_elements == 2 * 32 * 2 * 1280 * (10 + 1500)


def test_an_image_is_its_patches() -> None:
    model = preset("vit-base")
    step = workload(model, batch=4)
    assert (step.unit, step.units, step.seq) == ("image", 4, 197)
    linear = 12 * (4 * 768**2 + 8 * 768**2) + 768 * 3 * 16**2
    assert sum(op.flops for op in step.ops if isinstance(op, Gemm)) == 2 * 4 * 197 * linear
    with pytest.raises(ValueError, match="turns every image into 197 tokens, got seq = 100"):
        workload(model, seq=100)


def test_windows_follow_the_list_of_layers() -> None:
    assert preset("gpt-oss-20b").windowed_layers == tuple(range(0, 24, 2))
    kinds = ["full_attention", "sliding_attention"]
    config = {
        "model_type": "mistral", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 96, "vocab_size": 100, "sliding_window": 8, "layer_types": kinds,
    }  # fmt: skip
    assert read_config(config).windowed_layers == (1,)
    with pytest.raises(ValueError, match="layer_types must name the kind of each of the 2 layers"):
        read_config(config | {"layer_types": kinds[:1]})


def test_a_projected_embedding_is_refused() -> None:
    with pytest.raises(ValueError, match="word_embed_proj_dim is 512 where hidden_size is 768"):
        read_config(OPT | {"word_embed_proj_dim": 512})


def test_recomputation_adds_a_forward_pass() -> None:
    model, sizes = preset("llama-3.2-1b"), {"batch": 4, "seq": 64}
    none, selective, full = (
        workload(model, "train", recompute=policy, **sizes) for policy in ("none", "selective", "full")
    )
    forward = workload(model, "prefill", **sizes)
    core = sum(op.flops for op in forward.ops if isinstance(op, Attention))
    assert selective.matrix_flops - none.matrix_flops == pytest.approx(core)
    gemms = sum(op.flops for op in none.ops if isinstance(op, Gemm)) / 3
    assert full.matrix_flops - none.matrix_flops == pytest.approx(gemms + core)
    assert none.model_flops == pytest.approx(selective.model_flops)
    assert none.model_flops == pytest.approx(full.model_flops)


def test_accumulation_repeats_smaller_batches() -> None:
    model = preset("llama-3.2-1b")
    whole, parts = (workload(model, "train", batch=8, seq=64, accumulate=n) for n in (1, 4))
    assert parts.matrix_flops == whole.matrix_flops
    assert max(op.m for op in parts.ops if isinstance(op, Gemm)) == 2 * 64
    with pytest.raises(ValueError, match="accumulate must divide the batch of 8, got 3"):
        workload(model, "train", batch=8, accumulate=3)


def test_frozen_weights_need_no_gradient() -> None:
    model = preset("llama-2-7b")
    assert adapter_parameters(model, 16) == 39_976_960
    full, lora = (workload(model, "train", seq=64, lora=rank) for rank in (0, 16))
    base = sum(op.flops for op in full.ops if isinstance(op, Gemm))
    added = 3 * 2 * 64 * 39_976_960
    assert sum(op.flops for op in lora.ops if isinstance(op, Gemm)) == base * 2 / 3 + added
