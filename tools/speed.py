"""Measure and write docs/speed.md: `python tools/speed.py` on an idle machine, about five minutes.

Ratios are medians over neighbours: the work and its anchor alternate in one process, on one thread, by the thread's own
clock, and the result is checked before. Rows that miss their goal are written like the others. Each tier runs in a process
of its own, beside the float32 BLAS kernels made for it. mmasim and mmaemu take part where they are installed.
"""

from __future__ import annotations

import datetime
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "speed.md"
TIERS = {"x86-64-v4-vnni": "SkylakeX", "x86-64-v3": "Haswell"}
"""Tiers that are measured, and the OpenBLAS kernels that are the anchor of each."""
ROUNDS, SIZES = 7, (128, 256, 512, 2048)

FLOORS: dict[str, dict[str, float]] = {
    "x86-64-v4-vnni": {
        "v100/fp16": 0.18, "a100/fp16": 0.24, "a100/bf16": 0.24, "ada/fp8": 0.55, "h100/fp16": 0.27, "h100/bf16": 0.27,
        "h100/fp8": 0.55, "b200/fp16": 0.27, "b200/bf16": 0.27, "b200/mxfp8": 0.32, "b200/nvfp4": 0.8, "a100/int8": 3,
        "trn2/bf16": 0.9, "mi300x/fp16": 0.15, "mi300x/bf16": 0.15,
    },
    "x86-64-v3": {"ada/fp8": 0.5, "h100/fp8": 0.5, "h100/fp16": 0.24, "h100/bf16": 0.24, "trn2/bf16": 0.95},
}  # fmt: skip
UNITS = (
    "v100/fp16", "volta/mma.f16.f16.f16.f16", "t4/fp16", "a100/fp16", "a100/bf16", "a100/tf32", "a100/fp64", "a100/int8",
    "ampere/mma-satfinite.s8.s8.s32.s32", "a100/int4", "a100/b1-xor", "ada/fp8", "ada/mma.e4m3.e4m3.f16.f16", "h100/fp16",
    "h100/bf16", "h100/tf32", "h100/fp8", "hopper/mma.e4m3.e4m3.f32.f32", "b200/fp16", "b200/bf16", "b200/fp8", "b200/mxfp8",
    "b200/mxfp6", "b200/mxfp4", "b200/nvfp4", "mi100/fp16", "mi100/bf16", "mi250x/fp16", "mi300x/fp16", "mi300x/bf16",
    "mi300x/tf32", "mi300x/fp8", "trn2/bf16", "trn2/fp32", "trn2/fp8", "trn3/mxfp8", "tpu-v5p/bf16", "cpu/fp32", "cpu/fp64",
)  # fmt: skip
RECIPES = {
    "ue8m0": {"e4m3": "mxfp8-roundup", "e2m3": "mxfp6-roundup", "e2m1": "mxfp4-roundup"},
    "ue4m3": {"e2m1": "nvfp4"},
}


def ratio(work: Callable[[], object], anchor: Callable[[], object], rounds: int = ROUNDS) -> tuple[float, float]:
    """Median of the anchor's time over the work's, and the median of the work's seconds."""
    work(), anchor()
    found, seconds = [], []
    for _ in range(rounds):
        a = time.thread_time()
        anchor()
        b = time.thread_time()
        work()
        c = time.thread_time()
        found.append((b - a) / (c - b))
        seconds.append(c - b)
    return statistics.median(found), statistics.median(seconds)


def operands(unit: Any, x: Any, y: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Turn float32 matrices into operands of a unit, and scales where it takes them."""
    import numpy as np

    import chipmeter as cm
    from chipmeter.matmul.units import OPERANDS

    if unit.scale is not None:
        recipe = RECIPES[unit.scale][unit.a]
        a, b = cm.quantize(x, recipe), cm.quantize(y, recipe, axis=0)
        return a.codes, b.codes, {"scale_a": a.scales, "scale_b": b.scales}
    if unit.a == "b1":
        return x > 0, y > 0, {}
    if unit.a in ("f32", "tf32", "f64"):
        kind = np.float64 if unit.a == "f64" else np.float32
        return x.astype(kind), y.astype(kind), {}
    grow = {"s8": 32, "s4": 2}.get(unit.a, 1)
    return cm.cast(x * np.float32(grow), OPERANDS[unit.a]), cm.cast(y * np.float32(grow), OPERANDS[unit.a]), {}


def check(unit: Any, a: Any, b: Any, scales: dict[str, Any]) -> None:
    """Compare a few outputs with exact arithmetic before anything is timed."""
    import chipmeter as cm

    some = {k: v[:8] if k == "scale_a" else v[:, :8] for k, v in scales.items()}
    found = cm.error_analysis(a[:8].copy(), b[:, :8].copy(), unit=unit, **some)
    if not (found.max_error == 0 or found.sqnr > 30):
        raise AssertionError(f"{unit.name}: {found}")


def measure(name: str) -> dict[str, Any]:
    """Time one unit: speed at 1024, cost per multiply-add at other sizes, hard inputs, extra memory."""
    import numpy as np

    import chipmeter as cm
    from chipmeter import _recycle
    from chipmeter.matmul import unit as find

    u, rng = find(name), np.random.default_rng(1)

    def product(n: int, spread: float = 0.0, fill: float | None = None) -> tuple[Callable[[], Any], Any, Any, Any, Any]:
        x, y = (rng.standard_normal((n, n), np.float32) for _ in "xy")
        if spread:
            x, y = (np.ldexp(v, rng.integers(-int(spread), int(spread), v.shape)).astype(np.float32) for v in (x, y))
        if fill is not None:
            x, y = np.full_like(x, fill), np.full_like(y, fill)
        a, b, scales = operands(u, x, y)
        return (lambda: cm.matmul(a, b, unit=u, threads=1, **scales)), x, y, (a, b, scales), a.nbytes + b.nbytes

    work, x, y, given, size = product(1024)
    check(u, *given)
    speed, seconds = ratio(work, lambda: x @ y)
    _recycle._free.clear()  # memory of earlier results counts as new
    tracemalloc.start()
    d = work()
    extra = (tracemalloc.get_traced_memory()[1] - d.nbytes) / (size + sum(s.nbytes for s in given[2].values()))
    tracemalloc.stop()
    row: dict[str, Any] = {"name": name, "speed": speed, "rate": 1024**3 / seconds / 1e9, "memory": extra, "size": {}}
    for n in SIZES:
        run = product(n)[0]
        run()
        times = []
        for _ in range(max(1, min(9, (1024 // n) ** 3))):
            begin = time.thread_time()
            run()
            times.append(time.thread_time() - begin)
        row["size"][str(n)] = statistics.median(times) / n**3 / (seconds / 1024**3)
    if u.d != "s32" and u.scale is None:
        plain = product(512)[0]
        reach = 30 if u.a in ("bf16", "f32", "tf32", "f64") else 6
        row["wide"] = 1 / ratio(product(512, spread=reach)[0], plain, 3)[0]
        row["nan"] = 1 / ratio(product(512, fill=np.nan)[0], plain, 3)[0]
    return row


def others() -> list[dict[str, Any]]:
    """Run bench/bench_others.py and read its ratios; empty where neither rival is installed."""
    if not any(importlib.util.find_spec(name) for name in ("mmasim", "mmaemu")):
        return []  # nothing runs, which pytest-benchmark takes for an error
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "others.json"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--benchmark-json={report}"]
        subprocess.run([*command, str(ROOT / "bench" / "bench_others.py")], check=True, stdout=sys.stderr)
        return json.loads(report.read_text())["benchmarks"] if report.exists() and report.stat().st_size else []


def part(what: str, tier: str) -> Any:
    """Run a part of this script in a process of its own: a tier's kernels beside the BLAS kernels made for it."""
    env = os.environ | {"OPENBLAS_CORETYPE": TIERS[tier], "OPENBLAS_NUM_THREADS": "1", "CHIPMETER_TIER": tier}
    done = subprocess.run([sys.executable, __file__, what], env=env, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def _met(found: float, floor: float | None) -> str:
    return "" if floor is None else "met" if found >= floor else "**missed**"


def _cost(found: float) -> str:
    return f"{found:.2f}" if 0.75 <= found <= 1.25 else f"**{found:.2f}**"


def _times(row: dict[str, Any], key: str) -> str:
    return f"{row[key]:.1f}" + (" **missed**" if row[key] > 4 else "") if key in row else ""


def products(tier: str) -> list[str]:
    """Write the table of one tier."""
    sizes = [str(n) for n in SIZES]
    lines = [
        f"## Products of 1024 x 1024 matrices, tier {tier}\n",
        (
            f"Float32 BLAS ({TIERS[tier]} kernels) takes 1, packing included. Extra memory is the peak of what a product allocates "
            "beside its result, over the bytes of its operands (bar: 3). The columns of sizes are time per multiply-add over "
            "that at 1024 (bar: 0.75 to 1.25, bold where missed); wide and NaN are times of wide exponents and of nothing but NaN over those of "
            "ordinary numbers, at 512 (bar: 4).\n"
        ),
        f"| unit | GMAC/s | of sgemm | floor | | memory | {' | '.join(sizes)} | wide | NaN |",
        f"| --- | ---: | ---: | ---: | --- | ---: | {'---: | ' * len(sizes)}---: | ---: |",
    ]
    for row in part("units", tier):
        floor = FLOORS[tier].get(row["name"])
        scaling = " | ".join(_cost(row["size"][n]) for n in sizes)
        memory = f"{row['memory']:.1f}" + (" **missed**" if row["memory"] > 3 else "")
        lines.append(
            f"| `{row['name']}` | {row['rate']:.1f} | {row['speed']:.2f} | {'' if floor is None else floor} | "
            f"{_met(row['speed'], floor)} | {memory} | "
            f"{scaling} | {_times(row, 'wide')} | {_times(row, 'nan')} |"
        )
    return [*lines, ""]


def main() -> int:
    """Measure everything and write the page; with an argument, one part as JSON."""
    if sys.argv[1:] == ["units"]:
        print(json.dumps([measure(name) for name in UNITS]))
        return 0
    import numpy as np

    import chipmeter as cm
    from chipmeter.cli.info import cpu_name

    parts = [
        "# Speed\n\nWritten by `tools/speed.py`. One thread, medians of interleaved pairs; nothing here is a test. Conversions have a [page of their own](quantize-speed.md).\n",
        (
            f"{datetime.date.today().isoformat()}, {cpu_name()}, {platform.system()}, Python {platform.python_version()}, NumPy "
            f"{np.__version__}, chipmeter {cm.__version__}.\n"
        ),
    ]
    tiers = [t for t in TIERS if t in cm.tiers()]
    for tier in tiers:
        parts += products(tier)
    parts.append("## Beside other emulators\n")
    rivals = others()
    parts.append(
        "`bench/bench_others.py`, 256 x 256 x 256, one thread; every output has the same bits, asserted before the times.\n"
        if rivals
        else "mmasim and mmaemu were not installed: `pip install mmasim mmaemu`, then `bench/bench_others.py`.\n"
    )
    if rivals:
        parts.append("| unit | beside | how much faster |\n| --- | --- | ---: |")
        for row in rivals:
            info = row["extra_info"]
            rival = info["meaning"].removeprefix("times as fast as ").removesuffix(", same bits")
            parts.append(f"| `{row['param']}` | {rival} | {info['ratio']:.0f} |")
        parts.append("")
    PAGE.write_text("\n".join(parts))
    print(PAGE.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
