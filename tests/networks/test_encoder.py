"""The encoder computes BERT as a slow scalar version does, takes every linear from the callable, and checks its inputs."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from chipmeter.checkpoint import Checkpoint
from chipmeter.networks import Encoder, EncoderConfig, float32_linear, parameter_shapes, synthetic
from chipmeter.networks.layers import gelu, mean_pool

CONFIG = EncoderConfig(
    vocab_size=23,
    hidden_size=12,
    intermediate_size=20,
    num_hidden_layers=2,
    num_attention_heads=3,
    max_position_embeddings=9,
)
IDS = np.array([[3, 7, 1, 22, 5], [9, 2, 0, 0, 0], [4, 4, 4, 0, 0]])
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]], bool)


def random_parameters(seed: int = 0) -> dict[str, NDArray[np.float32]]:
    generator = np.random.default_rng(seed)
    return {name: generator.normal(size=shape).astype(np.float32) for name, shape in parameter_shapes(CONFIG)}


ENCODER = Encoder(CONFIG, random_parameters())


def scalar_bert(ids: Sequence[int]) -> NDArray[np.float64]:
    """One sentence, one head and one token at a time, in float64, from the definition."""
    p = {name: value.astype(np.float64) for name, value in ENCODER.parameters.items()}

    def norm(row: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        mean = sum(row) / len(row)
        variance = sum((value - mean) ** 2 for value in row) / len(row)
        return (row - mean) / math.sqrt(variance + CONFIG.layer_norm_eps) * p[f"{name}.weight"] + p[f"{name}.bias"]

    def dense(row: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return p[f"{name}.weight"] @ row + p[f"{name}.bias"]

    word, place, kind = (p[f"embeddings.{part}_embeddings.weight"] for part in ("word", "position", "token_type"))
    rows = [norm(word[token] + place[i] + kind[0], "embeddings.LayerNorm") for i, token in enumerate(ids)]
    depth = CONFIG.hidden_size // CONFIG.num_attention_heads
    for index in range(CONFIG.num_hidden_layers):
        layer = f"encoder.layer.{index}"
        query, key, value = (
            [dense(r, f"{layer}.attention.self.{part}") for r in rows] for part in ("query", "key", "value")
        )
        after = []
        for i, row in enumerate(rows):
            mixed = np.zeros(CONFIG.hidden_size)
            for head in range(CONFIG.num_attention_heads):
                part = slice(head * depth, (head + 1) * depth)
                weights = [math.exp(query[i][part] @ k[part] / math.sqrt(depth)) for k in key]
                mixed[part] = sum(w * v[part] for w, v in zip(weights, value, strict=True)) / sum(weights)
            x = norm(row + dense(mixed, f"{layer}.attention.output.dense"), f"{layer}.attention.output.LayerNorm")
            inner = [h / 2 * (1 + math.erf(h / math.sqrt(2))) for h in dense(x, f"{layer}.intermediate.dense")]
            after.append(norm(x + dense(np.array(inner), f"{layer}.output.dense"), f"{layer}.output.LayerNorm"))
        rows = after
    return np.array(rows)


def test_forward_agrees_with_the_scalar_version_in_float64() -> None:
    hidden = ENCODER.forward(IDS, MASK)
    assert hidden.dtype == np.float32
    for row, kept, states in zip(IDS, MASK, hidden, strict=True):
        # States are of order 1; float32 through two layers was seen to stay within 1e-6 of float64.
        np.testing.assert_allclose(states[kept], scalar_bert(row[kept].tolist()), rtol=0, atol=1e-5)
        assert (states[~kept] == 0).all()


def test_what_stands_in_padded_places_is_never_read() -> None:
    other = np.where(MASK, IDS, 10**9)
    assert ENCODER.forward(other, MASK).tobytes() == ENCODER.forward(IDS, MASK).tobytes()


def test_every_linear_goes_through_the_callable_in_order_and_without_padding() -> None:
    seen: list[tuple[str, tuple[int, ...], str]] = []

    def spy(x, weight, bias, name):  # type: ignore[no-untyped-def]
        assert weight is ENCODER.parameters[f"{name}.weight"]
        assert bias is ENCODER.parameters[f"{name}.bias"]
        seen.append((name, x.shape, x.dtype.name))
        return float32_linear(x, weight, bias, name)

    assert ENCODER.forward(IDS, MASK, spy).tobytes() == ENCODER.forward(IDS, MASK).tobytes()
    assert tuple(name for name, _, _ in seen) == ENCODER.linears
    assert len(seen) == 6 * CONFIG.num_hidden_layers
    assert {(shape[0], dtype) for _, shape, dtype in seen} == {(int(MASK.sum()), "float32")}


def test_the_result_of_the_callable_is_what_goes_on() -> None:
    def zeros(x, weight, bias, name):  # type: ignore[no-untyped-def]
        return np.zeros((len(x), len(weight)), np.float32)

    # With linears of nothing only the norms act, so tokens of one id and place give one state.
    hidden = ENCODER.forward([[3, 7], [3, 8]], [[1, 1], [1, 1]], zeros)
    assert hidden[0, 0].tobytes() == hidden[1, 0].tobytes()
    assert hidden[0, 1].tobytes() != hidden[1, 1].tobytes()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, weight, bias, name: x @ weight.T.astype(np.float64),
        lambda x, weight, bias, name: x,
        lambda x, weight, bias, name: None,
    ],
)
def test_a_callable_that_returns_something_else_is_named(wrong) -> None:  # type: ignore[no-untyped-def]
    message = r"linear returned .* for 'encoder.layer.0.*; accepted: float32 \(10, (12|20)\)"
    with pytest.raises(TypeError, match=message):
        ENCODER.forward(IDS, MASK, wrong)


@pytest.mark.parametrize(
    ("ids", "mask", "kind", "message"),
    [
        (IDS.astype(float), MASK, TypeError, "ids are float64; integers"),
        (IDS, MASK.astype(float), ValueError, r"mask \(float64\) has other values than 0 and 1"),
        (IDS, MASK * 2, ValueError, "other values than 0 and 1"),
        (IDS[0], MASK[0], ValueError, r"ids \(5,\) and mask \(5,\)"),
        (IDS, MASK[:, :4], ValueError, r"ids \(3, 5\) and mask \(3, 4\)"),
        (IDS, MASK & [[True], [False], [True]], ValueError, "sentence 1 has no token"),
        (np.ones((1, 10), int), np.ones((1, 10), bool), ValueError, "10 places; the network has 9 positions"),
        (IDS + 1, MASK, ValueError, "token id 23; accepted is 0 to 22"),
        (IDS - 2, MASK, ValueError, "token id -1; accepted"),
    ],
)
def test_bad_batches_are_refused(ids: object, mask: object, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        ENCODER.forward(ids, mask)  # type: ignore[arg-type]


def test_embeddings_are_means_of_tokens_of_length_one() -> None:
    class Fixed:
        def encode(self, sentences: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
            return IDS[: len(sentences)], MASK[: len(sentences)]

    embedded = ENCODER.embed(["one", "two", "three"], Fixed())
    for row, kept, got in zip(IDS, MASK, embedded, strict=True):
        mean = scalar_bert(row[kept].tolist()).mean(axis=0)
        np.testing.assert_allclose(got, mean / np.linalg.norm(mean), rtol=0, atol=5e-6)


def test_mean_pool_divides_by_tokens_and_leaves_zero_alone() -> None:
    hidden = np.array([[[3, 0], [0, 4], [0, 0]], [[0, 0], [0, 0], [0, 0]]], np.float32)
    pooled = mean_pool(hidden, np.array([[1, 1, 0], [1, 0, 0]], bool))
    np.testing.assert_array_equal(pooled, np.array([[0.6, 0.8], [0, 0]], np.float32))


def test_gelu_is_the_exact_one() -> None:
    x = np.linspace(-20, 20, 80005, dtype=np.float32)
    true = np.array([value * 0.5 * math.erfc(-value / math.sqrt(2)) for value in x.tolist()])
    assert (np.abs(gelu(x) - true) <= 2**-22 * np.maximum(1, np.abs(x))).all()
    assert gelu(x.reshape(5, -1)).shape == (5, 16001)


def save(folder: Path, parameters: dict[str, NDArray[np.generic]], config: object) -> None:
    """Write a model's folder by hand."""
    kinds = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64"}
    header, data = {}, b""
    for name, value in parameters.items():
        raw = value.tobytes()
        span = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": kinds[value.dtype.name], "shape": value.shape, "data_offsets": span}
        data += raw
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    (folder / "model.safetensors").write_bytes(len(encoded).to_bytes(8, "little") + encoded + data)
    (folder / "config.json").write_text(json.dumps(config))


JSON_CONFIG = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "hidden_act": "gelu",
    "vocab_size": 23,
    "hidden_size": 12,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "max_position_embeddings": 9,
}


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_a_model_folder_gives_the_same_encoder_on_the_files_own_pages(tmp_path: Path, prefix: str) -> None:
    save(tmp_path, {prefix + name: value for name, value in random_parameters().items()}, JSON_CONFIG)
    encoder = Encoder.from_folder(tmp_path)
    assert encoder.config == CONFIG
    assert encoder.forward(IDS, MASK).tobytes() == ENCODER.forward(IDS, MASK).tobytes()
    assert not any(value.flags.owndata for value in encoder.parameters.values())


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_parameters_are_widened_exactly(tmp_path: Path, dtype: type) -> None:
    halves = {name: value.astype(dtype) for name, value in random_parameters().items()}
    save(tmp_path, halves, JSON_CONFIG)
    encoder = Encoder.from_checkpoint(Checkpoint(tmp_path), JSON_CONFIG)
    for name, value in encoder.parameters.items():
        assert value.dtype == np.float32
        assert value.astype(dtype).tobytes() == halves[name].tobytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 24}, r"'embeddings.word_embeddings.weight': found F32 \(23, 12\); .* shape \(24, 12\)"),
        ({"num_hidden_layers": 10**12}, r"no tensor 'encoder.layer.2.attention.self.query.weight'; .* \(12, 12\)"),
        ({"hidden_size": 13}, "hidden_size 13 is not a multiple of num_attention_heads 3"),
        ({"hidden_act": "gelu_new"}, r"Invalid enum value 'gelu_new' - at `\$.hidden_act`"),
        ({"model_type": "roberta"}, r"'roberta' - at `\$.model_type`"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"is_decoder": True}, "only encoders are accepted"),
        ({"layer_norm_eps": 0}, "layer_norm_eps is 0"),
        ({"num_attention_heads": 0}, r"`int` >= 1 - at `\$.num_attention_heads`"),
        ({"hidden_size": "12"}, "got `str`"),
    ],
)
def test_configs_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    save(tmp_path, dict(random_parameters()), JSON_CONFIG | changes)
    with pytest.raises(ValueError, match=message):
        Encoder.from_folder(tmp_path)
    with pytest.raises(ValueError, match=message):
        Encoder.from_checkpoint(Checkpoint(tmp_path), JSON_CONFIG | changes)


def test_a_config_that_is_no_json_is_refused_by_name(tmp_path: Path) -> None:
    save(tmp_path, dict(random_parameters()), JSON_CONFIG)
    for raw in (b"", b"\xff", b'{"a":' + b"[" * 100_000, b'{"vocab_size": "\xff"}'):
        (tmp_path / "config.json").write_bytes(raw)
        with pytest.raises(ValueError, match=r"config.json: .*accepted is a BERT encoder's config.json"):
            Encoder.from_folder(tmp_path)


def test_parameters_of_another_dtype_or_none_are_refused(tmp_path: Path) -> None:
    name = "encoder.layer.1.output.dense.bias"
    save(tmp_path, random_parameters() | {name: np.zeros(12)}, JSON_CONFIG)
    with pytest.raises(ValueError, match=rf"'{name}': found F64 \(12,\); accepted: F32, F16, BF16 of shape \(12,\)"):
        Encoder.from_folder(tmp_path)
    with pytest.raises(ValueError, match=rf"'{name}': found float64 \(12,\)"):
        Encoder(CONFIG, random_parameters() | {name: np.zeros(12)})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"needs a parameter 'embeddings.word_embeddings.weight'"):
        Encoder(CONFIG, {})


def test_synthetic_parameters_make_an_encoder() -> None:
    encoder = Encoder(CONFIG, synthetic.tensors(parameter_shapes(CONFIG)))
    assert np.isfinite(encoder.forward(IDS, MASK)).all()
