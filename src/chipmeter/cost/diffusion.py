"""Seconds of generating an image or a video: denoiser passes, their attention, traffic between chips, the rest."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from chipmeter.cost.device import Device
from chipmeter.cost.network import collective_seconds
from chipmeter.cost.training import product_seconds

PARTS = ("linear", "attention", "pointwise", "launch", "exchange", "ring", "decode", "fixed")

WARP_RATE = 2048 * 1.8e9
"""FLOP/s of one core by warp-level matrix instructions in 16 bits: 1,024 fused products a clock."""

PRIORS: dict[str, tuple[float, float]] = {
    "linear": (1.15, 0.1), "attention": (1.4, 0.2), "pointwise": (2.0, 0.25), "launch": (0.8, 0.5),
    "exchange": (0.7, 0.7), "ring": (0.7, 0.7), "decode": (1.0, 0.6), "fixed": (0.2, 0.8),
}  # fmt: skip
"""Weight of each part before any row is seen, and how far (in log units) it may move."""


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


def generation_parts(model: Denoiser, chip: Device, job: Generation) -> dict[str, float]:
    """Parts of the time to generate one picture, before weights; see `PRIORS`.

    Returns
    -------
    dict of str to float
        In the order of `PARTS`.
    """
    tokens = model.tokens(job.width, job.height, job.frames)
    guided = model.guided if job.guided is None else job.guided
    passes = job.steps * (2.0 if guided else 1.0)
    n = float(job.chips)
    wide = model.per_token / model.blocks / model.hidden
    one = np.array([tokens / n]), np.array([wide]), np.array([float(model.hidden)])
    linear = passes * model.blocks * float(product_seconds(chip, job.format, *one)[0])
    # Attention kernels of these runtimes issue warp-level products: at most an A100 core's rate on any core.
    rate = min(chip.rate("bf16"), chip.cores * WARP_RATE)
    attention = passes * model.blocks * 4.0 * tokens**2 * model.hidden / n / rate
    width = 2.0 * tokens * model.hidden / n
    shared = tokens * model.hidden * 2.0
    pixels = job.width * job.height * job.frames
    return {
        "linear": linear,
        "attention": attention,
        "pointwise": passes * model.blocks * 30.0 * width / chip.bandwidth,
        "launch": passes * model.blocks * 1e-3 * (0.0 if job.compiled else 1.0),
        "exchange": passes
        * model.blocks
        * 4.0
        * collective_seconds(chip, "all-to-all", shared / n, float(job.ulysses)),
        "ring": passes
        * model.blocks
        * 2.0
        * collective_seconds(chip, "all-gather", shared / n * job.ring, float(job.ring)),
        "decode": 0.0 if job.step_only else 2.5e6 * pixels / chip.rate("bf16"),
        "fixed": 0.0 if job.step_only else 1.0,
    }
