"""Seconds of matrix products on chips that deal tiles to cores: tiles, waves, split of k, and the power limit.

All functions work on arrays of shapes at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from chipmeter.cost.device import Device
from chipmeter.cost.fitting import Array, Parameter

TILES = (
    *((16, 64), (16, 128), (32, 128), (64, 64), (64, 128), (128, 64), (128, 128)),
    *((64, 256), (128, 192), (128, 256), (256, 128), (256, 192), (256, 256)),
)
"""Output tiles (rows, columns) that one core works on at a time."""

SPLITS = np.array([1, 2, 3, 4, 6, 8, 16], dtype=np.float64)
"""Cores that may share the inner dimension of one tile."""

WIDTH = {"bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "fp8_block": 1.0, "mxfp8": 1.03125, "int8": 1.0}
WIDTH |= {"nvfp4": 0.5625, "mxfp4": 0.53125, "fp32": 4.0, "tf32": 4.0}
"""Bytes of an operand element."""

_ROWS = np.array([rows for rows, _ in TILES], dtype=np.float64)
_COLUMNS = np.array([columns for _, columns in TILES], dtype=np.float64)


def _tile_names() -> tuple[str, ...]:
    return tuple(f"tile_{rows}x{columns}" for rows, columns in TILES)


def parameters(split_us: float = 3.0, launch_us: float = 3.0, energy_pj: float = 0.5) -> list[Parameter]:
    """List the constants of a chip and number format, with the priors of the fit.

    ``tile_RxC`` is the time of a tile beyond peak speed as a share of it; ``launch_us`` what every product adds;
    ``memory`` the time of memory beyond full bandwidth; ``wave_us`` what a tile adds; ``split_us`` what sharing k
    adds; ``blend`` how sharply the slower of arithmetic and memory wins; ``energy_pj`` the joules per FLOP that the
    power limit must pay; ``quantise`` passes over the activations that narrow them; ``step_ns`` the latency of one
    step along k.
    """
    prior = 1 / (0.85 * np.minimum(1, (_ROWS * _COLUMNS / 32768) ** 0.35)) - 1
    tiles = [Parameter(name, float(start), 0.5) for name, start in zip(_tile_names(), prior, strict=True)]
    return [
        *tiles,
        Parameter("launch_us", launch_us, 0.7),
        Parameter("memory", 0.25, 0.6),
        Parameter("wave_us", 0.2, 1.0),
        Parameter("split_us", split_us, 1.0),
        Parameter("blend", 3.0, 0.7),
        Parameter("energy_pj", energy_pj, 0.25),
        Parameter("quantise", 1.3, 0.5),
        Parameter("step_ns", 0.6, 0.7),
    ]


class GemmTime(NamedTuple):
    """Seconds by part, (n,) each: `total` is the blend of `compute` and `memory`, and `launch`."""

    total: Array
    compute: Array
    memory: Array
    launch: Array


def traffic(m: Array, n: Array, k: Array, width: float) -> Array:
    """Bytes of the operands in and of a 16-bit result out, each once."""
    return width * (m * k + k * n) + 2.0 * m * n


def gemm_seconds(
    values: Mapping[str, float], chip: Device, format: str, m: Array, n: Array, k: Array, weight: float | None = None
) -> GemmTime:
    """Time (m, k) x (k, n) products, one kernel each.

    For each tile and each split s of k, ``ceil(tiles * s / cores)`` waves of tiles follow one another; a tile takes
    its FLOPs at the core's share of the peak rate times ``1 + tile_RxC``, or the latency of its steps along k if
    that is longer, plus ``wave_us``. Memory takes the bytes at the bandwidth times ``1 + memory``. Arithmetic is
    never faster than the power limit allows: ``FLOPs * energy / (limit - idle)``. The fastest tile and split counts.

    Parameters
    ----------
    values : mapping of str to float
        Constants; see `parameters`.
    chip : Device
    format : str
        Of the operands.
    m, n, k : ndarray, shape (rows,)
    weight : float, optional
        Bytes of a stored weight where it is not stored in `format`.

    Returns
    -------
    GemmTime

    Examples
    --------
    >>> import numpy as np
    >>> from chipmeter.cost.constants import constants
    >>> from chipmeter.cost.device import device
    >>> size = np.array([4096.0, 8192.0])
    >>> found, _ = constants("h100_sxm", "gemm", "bf16")
    >>> time = gemm_seconds(found.values, device("h100"), "bf16", size, size, size)
    >>> bool((time.total > 2 * size**3 / device("h100").rate("bf16")).all())
    True
    """
    rate, cores = chip.rate(format), float(chip.cores)
    width = WIDTH.get(format, 2.0)
    slow = 1.0 + np.array([values[name] for name in _tile_names()])
    per_k = np.maximum(2 * _ROWS * _COLUMNS * slow * cores / rate, values["step_ns"] * 1e-9)
    tiles = np.ceil(m[:, None] / _ROWS) * np.ceil(n[:, None] / _COLUMNS)
    waves = np.ceil(tiles[:, :, None] * SPLITS / cores)
    compute = waves * (k[:, None, None] / SPLITS * per_k[:, None] + values["wave_us"] * 1e-6)
    flops = 2.0 * m * n * k
    if chip.limit is not None and chip.idle is not None:
        paid = flops * values["energy_pj"] * 1e-12 / (chip.limit - chip.idle)
        compute = np.maximum(compute, paid[:, None, None])
    share = values["memory"] + 1.0
    moved = traffic(m, n, k, width) + ((weight or width) - width) * k * n
    memory = moved / chip.bandwidth * share
    partial = (m * n)[:, None] * (SPLITS - 1) * (8.0 * share / chip.bandwidth) + (SPLITS > 1) * values[
        "split_us"
    ] * 1e-6
    q = 1.0 + values["blend"]
    body = _blend(compute, memory[:, None, None], q) + partial[:, None, :]
    flat = body.reshape(len(m), -1)
    best = flat.argmin(axis=1)
    row = np.arange(len(m))
    launch = np.full(len(m), values["launch_us"] * 1e-6)
    if width < 2.0:
        launch = launch + values["quantise"] * m * k * (2.0 + width) / chip.bandwidth
    return GemmTime(flat[row, best] + launch, compute.reshape(len(m), -1)[row, best], memory, launch)


def _blend(first: Array, second: Array, q: float) -> Array:
    top = np.maximum(first, second)
    return top * (1.0 + (np.minimum(first, second) / np.maximum(top, 1e-30)) ** q) ** (1.0 / q)
