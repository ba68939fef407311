"""The decoder computes Llama as a slow scalar version does, takes every linear from the callable, and checks its inputs."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from chipmeter._safetensors_write import write_file
from chipmeter.checkpoint import Checkpoint
from chipmeter.networks import Decoder, DecoderConfig, decoder_shapes, float32_linear

SIZES: dict[str, Any] = {
    "vocab_size": 23, "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 6, "rms_norm_eps": 1e-5,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", "attention_bias": True, "mlp_bias": True, "rope_theta": 100.0},
    "llama3": {"model_type": "llama", "rope_scaling": LLAMA3, "rope_theta": 100.0, "tie_word_embeddings": True},
    "mistral": {"model_type": "mistral", "num_key_value_heads": 4, "sliding_window": 7, "rope_theta": 100.0},
    "qwen2": {"model_type": "qwen2", "rope_parameters": {"rope_type": "default", "rope_theta": 50.0}},
    "qwen3": {"model_type": "qwen3", "num_key_value_heads": 1, "attention_bias": True, "sliding_window": 2},
}
IDS = np.array([[3, 7, 1, 22, 5, 5, 0], [9, 2, 0, 0, 21, 8, 8]])


def made(name: str) -> Decoder:
    config = DecoderConfig(**converted(CONFIGS[name]))
    generator = np.random.default_rng(0)
    shapes = decoder_shapes(config)
    return Decoder(config, {n: generator.normal(size=s).astype(np.float32) for n, s in shapes})


def converted(change: dict[str, Any]) -> dict[str, Any]:
    import msgspec

    return msgspec.structs.asdict(msgspec.convert({**SIZES, **change}, DecoderConfig))


def write(folder: Path, decoder: Decoder, config: dict[str, Any], *, dtype: Any = np.float32, strip: str = "") -> None:
    (folder / "config.json").write_text(json.dumps({**SIZES, **config}))
    tensors = {n.removeprefix(strip): np.asarray(v).astype(dtype) for n, v in decoder.parameters.items()}
    write_file(folder / "model.safetensors", tensors, {}, overwrite=True)


def frequencies(raw: dict[str, Any], depth: int) -> list[float]:
    """The angles per position in the words of the public code, one pair of channels after the other."""
    scaling = raw.get("rope_scaling") or {}
    theta = (raw.get("rope_parameters") or raw).get("rope_theta", 10000.0)
    turns = [1.0 / theta ** (2 * i / depth) for i in range(depth // 2)]
    if not scaling:
        return turns
    old, low, high = (scaling[n] for n in ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor"))
    scaled = []
    for turn in turns:
        wavelength = 2 * math.pi / turn
        if wavelength < old / high:
            scaled.append(turn)
        elif wavelength > old / low:
            scaled.append(turn / scaling["factor"])
        else:
            smooth = (old / wavelength - low) / (high - low)
            scaled.append((1 - smooth) * turn / scaling["factor"] + smooth * turn)
    return scaled


def scalar_llama(decoder: Decoder, raw: dict[str, Any], ids: Sequence[int]) -> NDArray[np.float64]:
    """The logits of one sequence; one head and one token at a time, in float64, from the definition."""
    p = {name: np.asarray(value, np.float64) for name, value in decoder.parameters.items()}
    heads = SIZES["num_attention_heads"]
    shared = {**SIZES, **raw}["num_key_value_heads"]
    depth = SIZES["head_dim"]
    turns = frequencies(raw, depth)

    def norm(row: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return row / math.sqrt(sum(v * v for v in row) / len(row) + SIZES["rms_norm_eps"]) * p[f"{name}.weight"]

    def dense(row: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return p[f"{name}.weight"] @ row + p.get(f"{name}.bias", 0.0)

    def turned(head: NDArray[np.float64], place: int) -> NDArray[np.float64]:
        out = head.copy()
        for i, turn in enumerate(turns):
            pair = complex(head[i], head[i + depth // 2]) * complex(math.cos(place * turn), math.sin(place * turn))
            out[i], out[i + depth // 2] = pair.real, pair.imag
        return out

    rows = [p["model.embed_tokens.weight"][token] for token in ids]
    for index in range(SIZES["num_hidden_layers"]):
        layer = f"model.layers.{index}"
        keys: list[list[NDArray[np.float64]]] = []
        values: list[list[NDArray[np.float64]]] = []
        after = []
        for place, row in enumerate(rows):
            normed = norm(row, f"{layer}.input_layernorm")
            query, key, value = (dense(normed, f"{layer}.self_attn.{c}_proj") for c in "qkv")
            queries = [query[h * depth : (h + 1) * depth] for h in range(heads)]
            own = [key[h * depth : (h + 1) * depth] for h in range(shared)]
            if raw["model_type"] == "qwen3":
                queries = [norm(q, f"{layer}.self_attn.q_norm") for q in queries]
                own = [norm(k, f"{layer}.self_attn.k_norm") for k in own]
            keys.append([turned(k, place) for k in own])
            values.append([value[h * depth : (h + 1) * depth] for h in range(shared)])
            mixed = []
            for h, q in enumerate(queries):
                at = h // (heads // shared)
                scores = [turned(q, place) @ k[at] / math.sqrt(depth) for k in keys]
                weights = [math.exp(s - max(scores)) for s in scores]
                mixed.append(sum(w * v[at] for w, v in zip(weights, values, strict=True)) / sum(weights))
            x = row + dense(np.concatenate(mixed), f"{layer}.self_attn.o_proj")
            normed = norm(x, f"{layer}.post_attention_layernorm")
            gate = [g / (1 + math.exp(-g)) for g in dense(normed, f"{layer}.mlp.gate_proj")]
            after.append(x + dense(np.array(gate) * dense(normed, f"{layer}.mlp.up_proj"), f"{layer}.mlp.down_proj"))
        rows = after
    head = p["model.embed_tokens.weight"] if raw.get("tie_word_embeddings") else p["lm_head.weight"]
    return np.array([head @ norm(row, "model.norm") for row in rows])


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_agree_with_the_scalar_version_in_float64(name: str) -> None:
    decoder = made(name)
    logits = decoder.logits(decoder.forward(IDS))
    assert logits.dtype == np.float32
    for row, scores in zip(IDS, logits, strict=True):
        truth = scalar_llama(decoder, CONFIGS[name], row.tolist())
        # Float32's rounding is 6e-8; what two layers with weights of order 1 make of it was seen to stay within 3e-6 of the largest.
        np.testing.assert_allclose(scores, truth, rtol=0, atol=2e-5 * np.abs(truth).max())


def test_llama3_scaling_divides_long_waves_only() -> None:
    config = made("llama3").config
    plain = 100.0 ** (-np.arange(0, 6, 2) / 6)
    ratio = config.frequencies() / plain
    assert ratio[0] == 1
    assert 0.25 < ratio[1] < 1
    assert ratio[2] == 0.25


def test_a_token_does_not_depend_on_those_after_it() -> None:
    decoder = made("qwen2")
    changed = IDS.copy()
    changed[:, -1] = 4
    before, after = decoder.forward(IDS), decoder.forward(changed)
    np.testing.assert_allclose(before[:, :-1], after[:, :-1], rtol=0, atol=1e-5)
    assert not np.allclose(before[:, -1], after[:, -1], atol=1e-3)


def test_every_weight_matrix_goes_through_the_callable() -> None:
    decoder = made("llama")
    seen: list[str] = []

    def linear(x: Any, weight: Any, bias: Any, name: str) -> Any:
        seen.append(name)
        assert x.shape[0] == IDS.size
        return float32_linear(x, weight, bias, name)

    decoder.logits(decoder.forward(IDS, linear), linear)
    matrices = [n for n, shape in decoder_shapes(decoder.config) if len(shape) == 2 and "embed" not in n]
    assert sorted(f"{name}.weight" for name in seen) == sorted(matrices)
    with pytest.raises(TypeError, match="linear returned float64"):
        decoder.forward(IDS, lambda x, w, b, n: (x @ w.T).astype(np.float64))  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("strip", ["", "model."])
def test_parameters_come_from_a_checkpoint_exactly(tmp_path: Path, dtype: Any, strip: str) -> None:
    decoder = made("llama")
    rounded = {n: np.asarray(v).astype(dtype).astype(np.float32) for n, v in decoder.parameters.items()}
    write(tmp_path, decoder, CONFIGS["llama"], dtype=dtype, strip=strip)
    read = Decoder.from_folder(tmp_path)
    assert dict(read.parameters).keys() == rounded.keys()
    assert len(read.parameters) == len(rounded)
    np.testing.assert_array_equal(read.forward(IDS), Decoder(read.config, rounded).forward(IDS))
    again = Decoder.from_checkpoint(Checkpoint(tmp_path), {**SIZES, **CONFIGS["llama"]})
    np.testing.assert_array_equal(again.forward(IDS), read.forward(IDS))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt2"}, "model_type"),
        ({"hidden_size": 0}, "hidden_size"),
        ({"hidden_size": "12"}, "hidden_size"),
        ({"hidden_size": 13, "head_dim": None}, "not a multiple of num_attention_heads"),
        ({"num_key_value_heads": 3}, "not a multiple of num_key_value_heads"),
        ({"head_dim": 5}, "even number"),
        ({"rms_norm_eps": -1}, "rms_norm_eps is -1"),
        ({"rope_theta": 0}, "rope_theta is 0"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, "yarn"),
        ({"rope_scaling": {**LLAMA3, "factor": None}}, "llama3 scaling needs factor"),
        ({"rope_scaling": {**LLAMA3, "high_freq_factor": 1.0}}, "is not above low_freq_factor"),
        ({"rope_parameters": {"partial_rotary_factor": 0.25}}, "partial_rotary_factor is 0.25"),
        ({"layer_types": ["linear_attention"]}, "layer_types"),
        ({"vocab_size": 10**15}, r"tensor 'model.embed_tokens.weight': found F32 \(23, 12\)"),
        ({"num_hidden_layers": 10**12}, r"no tensor 'model.layers.2.input_layernorm.weight'"),
        ({"head_dim": 2**62}, r"q_proj.weight': found F32"),
    ],
)
def test_a_config_that_is_not_computed_is_one_clear_error(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    config = {**CONFIGS["mistral"], **change}
    write(tmp_path, made("mistral"), config)
    with pytest.raises(ValueError, match=message):
        Decoder.from_folder(tmp_path)


@pytest.mark.parametrize("text", [b"", b"[" * 100_000, b"\xff\xfe", b"[]", b" " * (2**22 + 1)])
def test_a_config_that_is_no_json_object_is_one_clear_error(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "config.json").write_bytes(text)
    with pytest.raises(ValueError, match=r"config\.json"):
        Decoder.from_folder(tmp_path)


def test_a_mapping_that_is_no_config_is_one_clear_error(tmp_path: Path) -> None:
    write(tmp_path, made("mistral"), CONFIGS["mistral"])
    with pytest.raises(ValueError, match=r"config: .*model_type"):
        Decoder.from_checkpoint(Checkpoint(tmp_path), {**SIZES, "model_type": "bert"})


def test_parameters_are_checked() -> None:
    decoder = made("mistral")
    parameters = dict(decoder.parameters)
    norm = parameters.pop("model.norm.weight")
    with pytest.raises(ValueError, match=r"'model.norm.weight' of shape \(12,\); it is missing"):
        Decoder(decoder.config, parameters)
    with pytest.raises(ValueError, match="found float64"):
        Decoder(decoder.config, {**parameters, "model.norm.weight": norm.astype(np.float64)})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("ids", "kind", "message"),
    [
        ([[0.5]], TypeError, "ids are float64"),
        ([1, 2], ValueError, r"ids \(2,\)"),
        (np.zeros((1, 0), int), ValueError, "neither of them 0"),
        ([[23]], ValueError, "token id 23; accepted is 0 to 22"),
        ([[-1]], ValueError, "token id -1"),
        ([[0] * 8], ValueError, "sequences of 8 tokens; the network is computed up to 7"),
    ],
)
def test_wrong_ids_are_refused(ids: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        made("mistral").forward(ids)


def test_a_checkpoint_is_widened_piece_by_piece(tmp_path: Path) -> None:
    config = {**CONFIGS["mistral"], "vocab_size": 16, "num_hidden_layers": 8}
    config |= {"hidden_size": 128, "intermediate_size": 256}
    generator = np.random.default_rng(0)
    large = DecoderConfig(**converted(config))
    shapes = list(decoder_shapes(large))
    decoder = Decoder(large, {n: generator.normal(size=s).astype(np.float32) for n, s in shapes})
    write(tmp_path, decoder, config, dtype=ml_dtypes.bfloat16)
    total = sum(4 * math.prod(shape) for _, shape in shapes)
    read = Decoder.from_folder(tmp_path)
    tracemalloc.start()
    try:
        read.forward([[1, 2, 3]])
        assert tracemalloc.get_traced_memory()[1] < total / 3
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_agree_with_the_public_implementation(name: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    decoder = made(name)
    theirs = transformers.AutoModelForCausalLM.from_config(
        transformers.AutoConfig.for_model(**{**SIZES, **CONFIGS[name]}), attn_implementation="eager"
    ).eval()
    state = {n: torch.from_numpy(np.array(v)) for n, v in decoder.parameters.items()}
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert not unexpected
    assert set(missing) <= {"lm_head.weight"}
    theirs.tie_weights()
    with torch.no_grad():
        truth = theirs(torch.from_numpy(IDS)).logits.numpy()
    np.testing.assert_allclose(decoder.logits(decoder.forward(IDS)), truth, rtol=0, atol=2e-5 * np.abs(truth).max())
