"""Diffusion transformers for images and video, and what is generated with them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from chipmeter.workloads.architecture import Architecture
from chipmeter.workloads.config import config_object
from chipmeter.workloads.ops import Attention, Gemm, Op, Pointwise
from chipmeter.workloads.weights import Weight
from chipmeter.workloads.workload import Workload


class Denoiser(msgspec.Struct, frozen=True, kw_only=True):
    """A diffusion transformer, or a U-Net reduced to one.

    Attributes
    ----------
    blocks, hidden : int
    per_token : float
        Weights that a token passes through.
    text : int
        Tokens of the prompt that go through every block.
    patch : int
        Pixels per token side: 8 for the autoencoder times the patch.
    frames : int
        Frames per token; 1 for images.
    guided : bool
        Whether each step runs the denoiser twice, with and without the prompt.
    weights, encoders : float
        Parameters of the denoiser, and of text encoders and autoencoder.
    """

    name: str
    blocks: int
    hidden: int
    per_token: float
    text: int = 512
    patch: int = 16
    frames: int = 1
    guided: bool = False
    weights: float = 0.0
    encoders: float = 0.0

    def tokens(self, width: float, height: float, frames: float) -> float:
        """Tokens of a picture: those of the prompt and ``ceil(w / patch) * ceil(h / patch)`` for each latent frame.

        >>> DENOISERS["hunyuanvideo"].tokens(1280, 720, 129) - DENOISERS["hunyuanvideo"].text
        118800.0
        """
        latent = 1.0 if frames <= 1 else math.floor((frames - 1) / self.frames) + 1.0
        return self.text + latent * math.ceil(width / self.patch) * math.ceil(height / self.patch)


DENOISERS: dict[str, Denoiser] = {
    one.name: one
    for one in (
        Denoiser(name="flux", weights=1.19e10, encoders=5e09, blocks=57, hidden=3072, per_token=57 * 12 * 3072**2),
        Denoiser(
            name="hunyuanvideo",
            weights=1.28e10,
            encoders=8e09,
            blocks=60,
            hidden=3072,
            per_token=60 * 12 * 3072**2,
            text=256,
            frames=4,
        ),
        Denoiser(
            name="wan2.1-14b",
            weights=1.43e10,
            encoders=5.9e09,
            blocks=40,
            hidden=5120,
            per_token=14e9,
            text=512,
            frames=4,
            guided=True,
        ),
        Denoiser(
            name="wan2.1-1.3b",
            weights=1.4e09,
            encoders=5.9e09,
            blocks=30,
            hidden=1536,
            per_token=1.3e9,
            text=512,
            frames=4,
            guided=True,
        ),
        Denoiser(
            name="ltx",
            weights=1.9e09,
            encoders=5.6e09,
            blocks=28,
            hidden=2048,
            per_token=1.9e9,
            text=128,
            patch=32,
            frames=8,
            guided=True,
        ),
        Denoiser(
            name="stable-diffusion-3",
            weights=2.1e09,
            encoders=5.6e09,
            blocks=24,
            hidden=1536,
            per_token=2.0e9,
            text=154,
            guided=True,
        ),
        Denoiser(
            name="pixart", weights=6e08, encoders=4.8e09, blocks=28, hidden=1152, per_token=0.6e9, text=0, guided=True
        ),
        Denoiser(
            name="cogvideox",
            weights=5.6e09,
            encoders=5e09,
            blocks=42,
            hidden=3072,
            per_token=5e9,
            text=226,
            frames=4,
            guided=True,
        ),
        # U-Nets by their published FLOPs: 6.0 TFLOP per pass at 1024 x 1024, 0.8 at 512 x 512.
        Denoiser(
            name="sdxl",
            weights=2.6e09,
            encoders=9e08,
            blocks=70,
            hidden=1280,
            per_token=6.0e12 / 2 / 4096,
            text=77,
            guided=True,
        ),
        Denoiser(
            name="stable-diffusion",
            weights=8.6e08,
            encoders=2e08,
            blocks=16,
            hidden=1280,
            per_token=0.8e12 / 2 / 1024,
            text=77,
            guided=True,
        ),
    )
}
"""Denoisers by the name that begins a model's; sizes from their published configurations."""


def find_denoiser(name: str) -> Denoiser:
    """Find the denoiser that a model's name means; a 12-billion-parameter transformer where none is known.

    >>> find_denoiser("FLUX.1-dev-12B").name, find_denoiser("stable-diffusion-xl").name
    ('flux', 'sdxl')
    """
    low = name.lower().replace("stable-diffusion-xl", "sdxl").replace("_", "-").replace("wan-", "wan")
    low = low.replace("wan2.1-t2v", "wan2.1").replace("wan2.2", "wan2.1")
    if low.startswith("wan") and "1.3b" not in low:
        low = "wan2.1-14b"
    near = [known for known in DENOISERS if known in low]
    return DENOISERS[max(near, key=len)] if near else DENOISERS["flux"]


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """What is generated, and how: steps of the denoiser on `chips` that share each pass.

    `ulysses` and `ring` are the chips that split heads and sequences; `compiled` says that passes do not wait for
    kernel launches.
    """

    width: float = 1024.0
    height: float = 1024.0
    frames: float = 1.0
    steps: float = 28.0
    chips: int = 1
    ulysses: int = 1
    ring: int = 1
    compiled: bool = False
    guided: bool | None = None
    format: str = "bf16"
    step_only: bool = False

    def __post_init__(self) -> None:
        for name in ("width", "height", "frames", "steps", "chips", "ulysses", "ring"):
            if not 0 < getattr(self, name) <= 1e6:
                raise ValueError(f"{name} must lie above 0 and at most a million, got {getattr(self, name)}")


class _Kind(msgspec.Struct, frozen=True):
    """How a class of published denoisers reads: `text` tokens pass through the blocks, `pixels` make a latent."""

    text: int
    pixels: int = 8
    frames: int = 1
    guided: bool = True
    cross: bool = False


_CLASSES = {
    "FluxTransformer2DModel": _Kind(512, guided=False),
    "HunyuanVideoTransformer3DModel": _Kind(256, frames=4, guided=False),
    "WanTransformer3DModel": _Kind(512, frames=4, cross=True),
    "LTXVideoTransformer3DModel": _Kind(128, pixels=32, frames=8, cross=True),
    "SD3Transformer2DModel": _Kind(154),
    "PixArtTransformer2DModel": _Kind(0, cross=True),
    "CogVideoXTransformer3DModel": _Kind(226, frames=4),
    "DiTTransformer2DModel": _Kind(0),
}
"""By the class name that a diffusers configuration states."""

ENCODERS = 5e9
"""Parameters of text encoder and autoencoder that a denoiser's configuration does not state (assumed)."""


def read_denoiser(config: Mapping[str, Any], name: str) -> Denoiser:
    """Derive a denoiser from its diffusers configuration.

    A token passes through 12 h^2 weights of a block (attention 4 h^2, feed-forward part 8 h^2 or as stated), 2 h^2 more
    where the prompt is attended to apart, whose keys and values hold another 2 h^2. Blocks of two streams hold both, and
    their modulation 12 h^2; single ones 3 h^2.

    Raises
    ------
    ValueError
        If the class is unknown or a size is missing.

    Examples
    --------
    >>> config = {"_class_name": "FluxTransformer2DModel", "num_layers": 19, "num_single_layers": 38,
    ...           "num_attention_heads": 24, "attention_head_dim": 128, "patch_size": 1}
    >>> flux = read_denoiser(config, "flux")
    >>> flux.per_token == DENOISERS["flux"].per_token, flux.patch
    (True, 16)
    """
    kind = _CLASSES.get(str(config.get("_class_name")))
    if kind is None:
        raise ValueError(f"{name}: unknown denoiser {config.get('_class_name')!r}; accepted: {', '.join(_CLASSES)}")

    def size(field: str, usual: int | None = None) -> int:
        value = config.get(field, usual)
        if isinstance(value, list):
            value = value[-1] if value else None
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 2**20:
            raise ValueError(f"{name}: {field} must be an integer from 0 to {2**20}, got {value!r}")
        return value

    hidden = size("num_attention_heads") * size("attention_head_dim")
    double, single = size("num_layers"), size("num_single_layers", 0)
    inner = size("ffn_dim", 0) or 4 * hidden
    block = 4 * hidden**2 + 2 * hidden * inner + (2 * hidden**2 if kind.cross else 0)
    beside = 2 * hidden**2 if kind.cross else (12 if kind.text else 6) * hidden**2
    streams = 2 if single or (kind.text and not kind.cross) else 1
    # Flux packs two by two latents into a token outside its own patch.
    patch = 2 if "Flux" in str(config["_class_name"]) else size("patch_size", 1)
    if not (hidden and double and patch):
        raise ValueError(f"{name}: heads, layers and patches must be at least 1")
    return Denoiser(
        name=name,
        blocks=double + single,
        hidden=hidden,
        per_token=float((double + single) * block),
        text=kind.text,
        patch=kind.pixels * patch,
        frames=kind.frames,
        guided=kind.guided,
        weights=float(double * (streams * block + beside) + single * (block + 3 * hidden**2)),
        encoders=ENCODERS,
    )


def denoiser(model: Denoiser | Architecture | str | os.PathLike[str]) -> Denoiser | None:
    """Find a denoiser: one given, that of a well-known name, or of a diffusers ``config.json`` or its folder; else None.

    >>> denoiser("hunyuanvideo").blocks, denoiser("llama-3.1-8b") is None
    (60, True)
    """
    if isinstance(model, Denoiser):
        return model
    if isinstance(model, Architecture):
        return None
    name = str(model).lower()
    if name in DENOISERS or any(name.startswith((f"{known}.", f"{known}-")) for known in DENOISERS):
        return find_denoiser(name)
    path = Path(model)
    file = path / "config.json" if path.is_dir() else path
    if file.suffix != ".json" or not file.is_file():
        return None
    config, where = config_object(file)
    return read_denoiser(config, file.parent.name or where) if "_class_name" in config else None


def generation(model: Denoiser, job: Generation) -> Workload:
    """List the operations of generating a picture, on all chips that share each pass.

    >>> step = generation(DENOISERS["flux"], Generation(steps=1))
    >>> round(step.matrix_flops / 1e12, 1)
    74.4
    """
    tokens = model.tokens(job.width, job.height, job.frames)
    passes = job.steps * (2.0 if (model.guided if job.guided is None else job.guided) else 1.0)
    rows = math.ceil(tokens)
    heads = max(1, model.hidden // 128)
    ops: tuple[Op, ...] = (
        Gemm(
            rows, math.ceil(model.per_token / model.blocks / model.hidden), model.hidden, name="linear",
            count=model.blocks, passes=passes, split="column",
        ),
        Attention(
            batch=1, queries=rows, keys=rows, heads=heads, kv_heads=heads, head_dim=model.hidden // heads,
            value_dim=model.hidden // heads, causal=False, count=model.blocks, passes=passes,
        ),
        Pointwise(
            tokens=rows, width=model.hidden, name="pointwise", reads=15, writes=15, split="column",
            count=model.blocks, passes=passes,
        ),
    )  # fmt: skip
    held = (("denoiser", model.weights), ("encoders", model.encoders))
    shape = Architecture(
        name=model.name, model_type="denoiser", kind="graph", hidden=model.hidden, layers=0, heads=heads, kv_heads=heads,
        head_dim=128, value_dim=128, ffn=0, vocab=0, gated=False, norm="layer", norms_per_layer=0, norms_outside=0,
        weights=tuple(Weight(role=role, pattern=role, n=int(size), k=1) for role, size in held if size),
    )  # fmt: skip
    frames = max(1, round(job.frames))
    return Workload(
        model=shape, phase="generate", batch=1, seq=rows, context=0, unit="frame" if frames > 1 else "image",
        units=frames, ops=ops,
    )  # fmt: skip
