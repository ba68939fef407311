"""Measure and write docs/quantize-speed.md: `python tools/quantize_speed.py` on an idle machine, under three minutes.

Conversions of 16 Mi float32 beside every library at hand that makes the same bits: ml_dtypes, torch, torchao and gfloat,
those that are installed. Bits are compared before anything is timed. Each figure is the median of ratios to a copy of
the float32 bytes that alternates with the work, on one thread, by the thread's own clock. Rows that we lose are in bold.
"""

from __future__ import annotations

import datetime
import importlib
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

import chipmeter as cm
from chipmeter._packing import pack_codes
from chipmeter.cli.info import cpu_name
from chipmeter.quantize import quantize_measured
from chipmeter.quantize.restore import dequantize

PAGE = Path(__file__).parent.parent / "docs" / "quantize-speed.md"
LIBRARIES = ("ml_dtypes", "torch", "torchao", "gfloat")
SLOW = 0.3
"""Seconds of one call from which three repetitions are enough."""

Work = Callable[[], Any]


@dataclass
class Row:
    """One conversion: ours, our goal, and the same by others."""

    name: str
    ours: Work
    goal: float | None = None
    others: dict[str, Work] = field(default_factory=dict)


def bits(x: Any) -> np.ndarray:
    """Give the bytes of an array or tensor, whatever its dtype."""
    array = np.ascontiguousarray(
        x if isinstance(x, np.ndarray) else x.contiguous().view(sys.modules["torch"].uint8).numpy()
    )
    return array.reshape(-1).view(np.uint8)


def ratio(work: Work, copy: Work) -> float:
    """Median of the work's time over a copy's."""
    copy()
    start = time.perf_counter()
    work()
    rounds = 3 if time.perf_counter() - start > SLOW else 7
    found = []
    for _ in range(rounds):
        a = time.thread_time()
        copy()
        b = time.thread_time()
        work()
        found.append((time.thread_time() - b) / (b - a))
    return statistics.median(found)


def library(name: str) -> Any:
    """Import what is installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def casts(x: np.ndarray, torch: Any, gfloat: Any) -> list[Row]:
    """Element casts and decodes."""
    rows = []
    for name, goal in {
        "bfloat16": 1.0, "float8_e4m3fn": 1.0, "float8_e5m2": 1.0, "float8_e4m3fnuz": None, "float8_e3m4": None,
        "float6_e2m3fn": 1.0, "float6_e3m2fn": 1.0, "float4_e2m1fn": None, "float8_e8m0fnu": None,
    }.items():  # fmt: skip
        row = Row(f"cast to {name}", lambda name=name: cm.cast(x, name), goal)
        dtype = np.dtype(getattr(ml_dtypes, name))
        row.others["ml_dtypes"] = lambda dtype=dtype: x.astype(dtype)
        if torch is not None and hasattr(torch, name):
            source, kind = torch.from_numpy(x), getattr(torch, name)
            row.others["torch"] = lambda source=source, kind=kind: source.to(kind)
            if name == "float8_e8m0fnu":  # torch drops the sign
                row.ours = lambda: cm.cast(x, "float8_e8m0fnu", overflow="torch")
                del row.others["ml_dtypes"]
        if gfloat is not None and name == "float8_e4m3fn":
            fmt = importlib.import_module("gfloat.formats").format_info_ocp_e4m3
            row.others["gfloat"] = lambda fmt=fmt: gfloat.encode_ndarray(fmt, gfloat.round_ndarray(fmt, x)).astype(
                np.uint8
            )
        rows.append(row)
    for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2", "float6_e3m2fn", "float4_e2m1fn"):
        codes = cm.cast(x, name)
        row = Row(
            f"decode {name}",
            lambda codes=codes: cm.decode(codes),
            1.2,
            {"ml_dtypes": lambda c=codes: c.astype(np.float32)},
        )
        if torch is not None and hasattr(torch, name):
            held = torch.from_numpy(codes.view(np.int16 if codes.itemsize == 2 else np.uint8)).view(
                getattr(torch, name)
            )
            row.others["torch"] = lambda held=held: held.to(torch.float32)
        rows.append(row)
    rows.append(
        Row("cast to float8_e4m3fn, stochastic", lambda: cm.cast(x, "float8_e4m3fn", rounding="stochastic"), 3.0)
    )
    return rows


def blocks(x: np.ndarray, torch: Any, torchao: Any) -> list[Row]:
    """Block recipes and back; torchao's own functions where it is installed."""
    found: list[Row] = []
    mx = importlib.import_module("torchao.prototype.mx_formats.mx_tensor") if torchao else None
    nv = importlib.import_module("torchao.prototype.mx_formats.nvfp4_tensor") if torchao else None
    source = torch.from_numpy(x) if torch else None
    for name, goal, element in (
        ("mxfp8", 1.2, "float8_e4m3fn"), ("mxfp6-e3m2", None, "fp6_e3m2"), ("mxfp4", 1.5, "float4_e2m1fn_x2"), ("nvfp4", 1.5, ""),
        ("fp8-1x128", 1.2, None), ("fp8-row", None, None), ("int8-row", None, None), ("int4-group128", None, None),
    ):  # fmt: skip
        q = cm.quantize(x, name)
        packed = q.recipe.element_format.bits == 4
        forward, back = (
            Row(f"quantize {name}", lambda name=name: cm.quantize(x, name), goal),
            Row(f"dequantize {name}", q.dequantize, 1.2),
        )
        if packed:
            codes = pack_codes(q.codes, 4)
            forward.name += ", packed"
            forward.ours = lambda name=name: pack_codes(cm.quantize(x, name).codes, 4)
            back.name += ", packed"
            back.ours = lambda q=q, codes=codes: dequantize(
                codes, q.scales, q.recipe, shape=x.shape, tensor_scale=float(q.tensor_scale)
            )
        if mx is not None and element:
            kind = getattr(torch, element, element)
            if element == "fp6_e3m2":
                kind = importlib.import_module("torchao.prototype.mx_formats.constants").DTYPE_FP6_E3M2
            forward.others["torchao"] = lambda kind=kind: mx.to_mx(source, kind, 32)[1]
            scale, data = mx.to_mx(source, kind, 32)
            if name != "mxfp6-e3m2":
                back.others["torchao"] = lambda scale=scale, data=data, kind=kind: mx.to_dtype(
                    data, scale, kind, 32, torch.float32
                )
        if nv is not None and name == "nvfp4":
            second = nv.per_tensor_amax_to_scale(source.abs().max())
            forward.others["torchao"] = lambda second=second: nv.nvfp4_quantize(
                source, 16, nv.per_tensor_amax_to_scale(source.abs().max())
            )[1]
        found += [forward, back]
    for name in ("mxfp8", "nvfp4"):
        column = cm.quantize(x, name, axis=0)
        found.append(Row(f"dequantize {name}, columns", column.dequantize, 2.4))
    return found


def metrics(x: np.ndarray, copy: Work) -> list[str]:
    """Time what error metrics, taken in the same pass, add to a quantisation."""
    lines = []
    for name in ("mxfp8", "mxfp4", "nvfp4", "fp8-1x128"):
        alone = ratio(lambda name=name: cm.quantize(x, name), copy)
        both = ratio(lambda name=name: quantize_measured(x, name), copy)
        lines.append(_line(f"metrics with {name}, added to the time of quantize", both / alone - 1, 0.3, {}))
    return lines


def check(row: Row) -> None:
    """Refuse to time different results."""
    ours = bits(row.ours()) if not hasattr(row.ours(), "codes") else bits(row.ours().codes)
    for name, work in row.others.items():
        np.testing.assert_array_equal(bits(work()), ours, err_msg=f"{row.name}: {name}")


def _line(name: str, ours: float, goal: float | None, others: dict[str, float]) -> str:
    lost = any(other < ours for other in others.values())
    met = "" if goal is None else "met" if ours <= goal else "**missed**"
    cells = [f"{others[o]:.2f}" if o in others else "" for o in LIBRARIES]
    return f"| {name} | {f'**{ours:.2f}**' if lost else f'{ours:.2f}'} | {goal or ''} | {met} | {' | '.join(cells)} |"


def main() -> int:
    """Compare, time and write the page."""
    torch, torchao, gfloat = library("torch"), library("torchao"), library("gfloat")
    if torch is not None:
        torch.set_num_threads(1)
    x = np.random.default_rng(1).standard_normal((4096, 4096), np.float32)
    z = np.empty_like(x)

    def copy() -> None:
        np.copyto(z, x)

    small = x[:64]
    for row in [*casts(small, torch, gfloat), *blocks(small, torch, torchao)]:
        check(row)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES if library(name))
    parts = [
        "# Speed of conversions, beside other libraries\n\nWritten by `tools/quantize_speed.py`.\n",
        (
            f"16 Mi float32, standard normal; time over `numpy.copyto` of the same bytes, one thread, each result's allocation "
            f"included, equal bits asserted before. A bold figure is a row we lose; empty cells have no such conversion or were "
            f"not installed. {datetime.date.today().isoformat()}, {cpu_name()}, {platform.system()}, {versions}, chipmeter "
            f"{cm.__version__}.\n"
        ),
    ]
    for tier in dict.fromkeys((cm.tiers()[0], "x86-64-v3")):
        if tier not in cm.tiers():
            continue
        cm.use_tier(tier)
        best = tier == cm.tiers()[0]
        head = f"| work | chipmeter | goal | | {' | '.join(LIBRARIES)} |"
        parts += [f"## Tier {tier}\n", head, "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |"]
        for row in [*casts(x, torch, gfloat), *blocks(x, torch, torchao)]:
            others = {name: ratio(work, copy) for name, work in row.others.items()} if best else {}
            wide = row.goal is None or tier.startswith("x86-64-v4")
            goal = row.goal if wide else 2 * row.goal if row.goal != 1.2 else 2.5
            parts.append(_line(row.name, ratio(row.ours, copy), goal, others))
        parts += [*metrics(x, copy), ""]
    cm.use_tier(cm.tiers()[0])
    PAGE.write_text("\n".join(parts))
    print(PAGE.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
