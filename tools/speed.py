"""Measure and write docs/speed.md: `python tools/speed.py` on an idle machine, about two minutes.

Each figure is the median of ratios of neighbours: the work and its anchor alternate in one process, on one thread, by the
thread's own clock, and the result is checked before. Rows that miss their goal are written like the others.
"""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "speed.md"
CORE = "SkylakeX"
ROUNDS = 9

if os.environ.get("OPENBLAS_CORETYPE") != CORE or os.environ.get("OPENBLAS_NUM_THREADS") != "1":
    os.environ |= {"OPENBLAS_CORETYPE": CORE, "OPENBLAS_NUM_THREADS": "1"}
    os.execv(sys.executable, [sys.executable, *sys.argv])

import numpy as np

import chipmeter as cm
from chipmeter.cli.info import cpu_name

UNITS = {
    "h100/fp8": ("float8_e4m3fn", 0.55), "ada/fp8": ("float8_e4m3fn", 0.55), "h100/fp16": ("float16", 0.27),
    "h100/bf16": ("bfloat16", 0.27), "b200/bf16": ("bfloat16", 0.27), "a100/bf16": ("bfloat16", 0.24),
    "v100/fp16": ("float16", 0.18), "b200/mxfp8": ("mxfp8", 0.32), "b200/nvfp4": ("nvfp4", 0.8), "h100/int8": ("int8", 3.0),
    "trn2/bf16": ("bfloat16", 0.9), "mi300x/fp16": ("float16", 0.15), "mi250x/fp16": ("float16", None),
}  # fmt: skip
AVX2 = {"h100/fp8": 0.5, "h100/fp16": 0.24, "h100/bf16": 0.24, "trn2/bf16": 0.95}
"""Floors of the tier without AVX-512."""
CASTS = {"float8_e4m3fn": 1.0, "bfloat16": 1.0, "float16": 1.0, "float6_e2m3fn": 1.0}
RECIPES = {"mxfp8": 1.2, "mxfp4": 1.5, "nvfp4": 1.5, "fp8-row": 1.2}


def ratio(work: Callable[[], object], anchor: Callable[[], object]) -> float:
    """Median of the anchor's time over the work's."""
    work(), anchor()
    found = []
    for _ in range(ROUNDS):
        a = time.thread_time()
        anchor()
        b = time.thread_time()
        work()
        found.append((b - a) / (time.thread_time() - b))
    return statistics.median(found)


def operands(kind: str, x: np.ndarray, y: np.ndarray) -> tuple[object, object]:
    """Prepare two operands of a unit."""
    if kind in ("mxfp8", "nvfp4"):
        return cm.quantize(x, kind), cm.quantize(y, kind, axis=0)
    if kind == "int8":
        return (x * 40).astype(np.int8), (y * 40).astype(np.int8)
    return cm.cast(x, kind), cm.cast(y, kind)


def products(n: int, floors: dict[str, float | None]) -> list[str]:
    """Time products of n x n matrices, packing included, over float32 BLAS."""
    rng = np.random.default_rng(1)
    x, y = (rng.standard_normal((n, n), np.float32) for _ in "xy")
    rows = []
    for name, (kind, _) in UNITS.items():
        a, b = operands(kind, x, y)
        exact = cm.error_analysis(a[:8], b[:, :8], unit=name).sqnr if kind not in ("mxfp8", "nvfp4") else None
        assert exact is None or exact > 10
        found = ratio(lambda a=a, b=b, name=name: cm.matmul(a, b, unit=name), lambda: x @ y)
        rows.append(_row(f"`{name}`", found, floors.get(name), at_least=True))
    return rows


def conversions() -> list[str]:
    """Time casts, quantisers and decodes of 16 Mi float32 over a copy of the same bytes."""
    x = np.random.default_rng(1).standard_normal((4096, 4096), np.float32)
    z = np.empty_like(x)
    jobs: list[tuple[str, Callable[[], object], float | None]] = [
        *((f"cast to {f}", lambda f=f: cm.cast(x, f), goal) for f, goal in CASTS.items()),
        *((f"quantize {r}", lambda r=r: cm.quantize(x, r), goal) for r, goal in RECIPES.items()),
    ]
    for name in ("float8_e4m3fn", "bfloat16"):
        codes = cm.cast(x, name)
        jobs.append((f"decode {name}", lambda codes=codes: cm.decode(codes), 1.2))
    jobs.append(("cast to float8_e4m3fn, stochastic", lambda: cm.cast(x, "float8_e4m3fn", rounding="stochastic"), 3.0))
    return [_row(name, 1 / ratio(work, lambda: np.copyto(z, x)), goal, at_least=False) for name, work, goal in jobs]


def _row(name: str, found: float, goal: float | None, *, at_least: bool) -> str:
    met = "" if goal is None else "met" if (found >= goal if at_least else found <= goal) else "**missed**"
    return f"| {name} | {found:.2f} | {'' if goal is None else goal} | {met} |"


def main() -> int:
    """Measure everything on the best tier, products also on AVX2, and write the page."""
    best = cm.tier()
    parts = [
        "# Speed\n\nWritten by `tools/speed.py`. One thread, medians of interleaved pairs; nothing here is a test.\n",
        (
            f"{datetime.date.today().isoformat()}, {cpu_name()}, {platform.system()}, Python {platform.python_version()}, NumPy "
            f"{np.__version__}, chipmeter {cm.__version__}.\n"
        ),
    ]
    for tier, size, floors in ((best, 1024, {n: f for n, (_, f) in UNITS.items()}), ("x86-64-v3", 512, AVX2)):
        if tier in cm.tiers():
            cm.use_tier(tier)
            head = f"## Products of {size} x {size} matrices, tier {tier}\n\nFloat32 BLAS ({CORE} kernels) takes 1; packing included.\n"
            parts += [head, "| unit | speed | floor | |\n| --- | ---: | ---: | --- |", *products(size, floors), ""]
            cm.use_tier(best)
    head = "## Conversions of 16 Mi float32\n\nTime over `numpy.copyto` of the same bytes; the output's allocation included.\n"
    parts += [head, "| work | time | goal | |\n| --- | ---: | ---: | --- |", *conversions(), ""]
    PAGE.write_text("\n".join(parts))
    print(PAGE.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
