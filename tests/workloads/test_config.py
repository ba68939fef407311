"""A configuration of a known family is read whatever its sizes; a hostile one gives one clear error."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipmeter.workloads import read_config
from chipmeter.workloads.config import LARGEST_FILE, families

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "vocab_size": 100,
}
MOE: dict[str, Any] = LLAMA | {
    "model_type": "qwen2_moe",
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 48,
}


def test_parameters_by_hand() -> None:
    attention = 64 * (64 + 32 + 32 + 64)
    layer = attention + 3 * 64 * 96 + 2 * 64
    assert read_config(LLAMA).parameters == 2 * layer + 2 * 100 * 64 + 64


def test_missing_key_value_heads_mean_one_per_head() -> None:
    config = {key: value for key, value in LLAMA.items() if key != "num_key_value_heads"}
    assert read_config(config).kv_heads == 4


def test_bias_switches() -> None:
    plain, biased = read_config(LLAMA), read_config(LLAMA | {"attention_bias": True, "mlp_bias": True})
    assert biased.parameters - plain.parameters == 2 * ((64 + 32 + 32 + 64) + (96 + 96 + 64))


def test_tied_embeddings_count_once() -> None:
    tied = read_config(LLAMA | {"tie_word_embeddings": True})
    assert read_config(LLAMA).parameters - tied.parameters == 100 * 64
    assert tied.weight("head") is None


def test_mixture_of_experts_by_hand() -> None:
    model = read_config(MOE)
    attention = 64 * (64 + 32 + 32 + 64) + (64 + 32 + 32)
    experts = 4 * 3 * 64 * 32 + 4 * 64 + 3 * 64 * 48 + 64
    assert model.parameters == 2 * (attention + experts + 2 * 64) + 2 * 100 * 64 + 64
    assert model.parameters - model.active_parameters == 2 * 2 * 3 * 64 * 32


def test_sparse_step_and_dense_layers() -> None:
    assert read_config(MOE | {"num_hidden_layers": 6, "decoder_sparse_step": 2}).moe_layers == (1, 3, 5)
    mixed = read_config(MOE | {"num_hidden_layers": 3, "mlp_only_layers": [1]})
    assert (mixed.moe_layers, mixed.dense_layers, mixed.ffn) == ((0, 2), (1,), 96)


def test_file_and_folder(tmp_path: Path) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA))
    assert read_config(folder) == read_config(str(folder / "config.json"))
    assert read_config(folder).name == "my-model"


def test_every_family_is_complete() -> None:
    for name, family in families().items():
        assert {"hidden", "layers", "heads", "vocab"} <= set(family.fields) | set(family.fixed), name
        assert {"gated", "norm", "norms_per_layer"} <= set(family.fixed), name
        assert {"o", "down" if "down" in family.weights else "expert_down"} <= set(family.weights), name
        assert family.encoder is None or family.encoder in families(), name
        assert family.bias is not None, name


@pytest.mark.parametrize("model_type", ["mamba", None, 3, ["llama"], "x" * 10_000])
def test_unknown_model_type_lists_those_known(model_type: object) -> None:
    with pytest.raises(
        ValueError, match=r"unknown model_type .*architectures \['Odd'\].*accepted: bart, bert, .*qwen3"
    ) as error:
        read_config(LLAMA | {"model_type": model_type, "architectures": ["Odd"]})
    assert len(str(error.value)) < 700


@pytest.mark.parametrize("value", [0, -1, 2**22 + 1, 10**400, 64.0, "64", True, [64], {}])
def test_bad_sizes_are_refused_by_name(value: object) -> None:
    with pytest.raises(ValueError, match="hidden_size must"):
        read_config(LLAMA | {"hidden_size": value})


def test_missing_field_is_named() -> None:
    with pytest.raises(ValueError, match="hidden_size is missing; a llama configuration needs it"):
        read_config({key: value for key, value in LLAMA.items() if key != "hidden_size"})
    with pytest.raises(ValueError, match="num_local_experts is missing"):
        read_config(LLAMA | {"model_type": "mixtral"})
    with pytest.raises(ValueError, match="max_position_embeddings is missing"):
        read_config(LLAMA | {"model_type": "bert"})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"hidden_size": 66}, "hidden_size must be a multiple of the 4 heads, got 66"),
        ({"num_key_value_heads": 3}, "num_key_value_heads must divide the 4 heads, got 3"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings must be true or false"),
        ({"num_hidden_layers": 2**12, "hidden_size": 2**22, "intermediate_size": 2**22}, "parameters; at most"),
        ({"model_type": "qwen2_moe"}, "num_experts is missing"),
    ],
)
def test_contradictions_are_refused(change: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_config(LLAMA | change)


@pytest.mark.parametrize("dense", [[2], [-1], [True], "0", {"0": 1}])
def test_layer_lists_are_checked(dense: object) -> None:
    with pytest.raises(ValueError, match="mlp_only_layers must be a list of layers from 0 to 1"):
        read_config(MOE | {"mlp_only_layers": dense})


def test_more_active_experts_than_experts() -> None:
    with pytest.raises(ValueError, match="num_experts_per_tok cannot exceed the 4 experts, got 5"):
        read_config(MOE | {"num_experts_per_tok": 5})


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"3", b'"llama"', b"{", b"\xff\xfe", b"[" * 1_000_000, b'{"a":' * 500_000, b'{"hidden_size": NaN}'],
)
def test_files_that_hold_no_object(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(text)
    with pytest.raises(ValueError, match="not a JSON object"):
        read_config(path)


def test_huge_file_is_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b" " * (LARGEST_FILE + 1))
    with pytest.raises(ValueError, match="larger than 4194304 bytes"):
        read_config(path)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(families())), st.data())
def test_junk_gives_an_architecture_or_a_value_error(model_type: str, data: st.DataObject) -> None:
    fields = sorted(set(families()[model_type].fields.values()) | {"attention_bias", "use_sliding_window"})
    values = st.one_of(st.sampled_from([1, 2, 4, 64]), JUNK)
    config = {field: data.draw(values) for field in fields}
    try:
        model = read_config(config | {"model_type": model_type})
    except ValueError:
        return
    assert 0 < model.active_parameters <= model.parameters
