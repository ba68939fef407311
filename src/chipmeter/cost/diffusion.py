"""Seconds of generating an image or a video: denoiser passes, their attention, traffic between chips, the rest."""

from __future__ import annotations

import numpy as np

from chipmeter.cost.device import Device
from chipmeter.cost.network import collective_seconds
from chipmeter.cost.training import product_seconds
from chipmeter.workloads.pictures import Denoiser, Generation

PARTS = ("linear", "attention", "pointwise", "launch", "exchange", "ring", "decode", "fixed")

WARP_RATE = 2048 * 1.8e9
"""FLOP/s of one core by warp-level matrix instructions in 16 bits: 1,024 fused products a clock."""

PRIORS: dict[str, tuple[float, float]] = {
    "linear": (1.15, 0.1), "attention": (1.4, 0.2), "pointwise": (2.0, 0.25), "launch": (0.8, 0.5),
    "exchange": (0.7, 0.7), "ring": (0.7, 0.7), "decode": (1.0, 0.6), "fixed": (0.2, 0.8),
}  # fmt: skip
"""Weight of each part before any row is seen, and how far (in log units) it may move."""


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
    # Attention kernels of these runtimes issue warp-level products: at most an A100 core's rate on any core. Systolic
    # arrays know no warps.
    rate = chip.rate("bf16") if chip.array else min(chip.rate("bf16"), chip.cores * WARP_RATE)
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
