"""Diffusion transformers read from their configuration have the sizes of the published models."""

import json
from pathlib import Path
from typing import Any

import pytest

from chipmeter.workloads.pictures import DENOISERS, Generation, denoiser, generation, read_denoiser

FLUX: dict[str, Any] = {
    "_class_name": "FluxTransformer2DModel", "num_layers": 19, "num_single_layers": 38, "num_attention_heads": 24,
    "attention_head_dim": 128, "patch_size": 1,
}  # fmt: skip
HUNYUAN = FLUX | {
    "_class_name": "HunyuanVideoTransformer3DModel",
    "num_layers": 20,
    "num_single_layers": 40,
    "patch_size": 2,
}
WAN = {
    "_class_name": "WanTransformer3DModel", "num_layers": 40, "num_attention_heads": 40, "attention_head_dim": 128,
    "ffn_dim": 13824, "patch_size": [1, 2, 2],
}  # fmt: skip


@pytest.mark.parametrize(("config", "name"), [(FLUX, "flux"), (HUNYUAN, "hunyuanvideo"), (WAN, "wan2.1-14b")])
def test_configurations_agree_with_the_known(config: dict[str, Any], name: str) -> None:
    read, known = read_denoiser(config, name), DENOISERS[name]
    assert (read.blocks, read.hidden, read.patch, read.frames) == (
        known.blocks,
        known.hidden,
        known.patch,
        known.frames,
    )
    assert read.guided == known.guided
    assert read.per_token == pytest.approx(known.per_token, rel=0.15)
    assert read.weights == pytest.approx(known.weights, rel=0.15)
    assert read.tokens(1280, 720, 129) == known.tokens(1280, 720, 129)


def test_published_flops() -> None:
    # xDiT counts 603 PFLOP for 50 steps of HunyuanVideo at 1280 x 720 x 129, 87 % of them attention.
    step = generation(DENOISERS["hunyuanvideo"], Generation(width=1280, height=720, frames=129, steps=50))
    assert step.matrix_flops == pytest.approx(603e15, rel=0.02)
    assert (step.unit, step.units) == ("frame", 129)


def test_found_by_name_or_folder(tmp_path: Path) -> None:
    assert denoiser("FLUX") is DENOISERS["flux"]
    assert denoiser("llama-3.1-8b") is None
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(FLUX))
    for path in (folder, folder / "config.json"):
        found = denoiser(path)
        assert found is not None
        assert found.name == "mine"
    (folder / "config.json").write_text('{"model_type": "llama"}')
    assert denoiser(folder) is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"_class_name": "UNet"}, "unknown denoiser 'UNet'; accepted: Flux"),
        ({"num_layers": None}, "num_layers must be an integer from 0"),
        ({"attention_head_dim": -1}, "attention_head_dim must be an integer"),
        ({"num_attention_heads": 0}, "heads, layers and patches must be at least 1"),
    ],
)
def test_broken_configurations(change: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_denoiser(FLUX | change, "mine")
