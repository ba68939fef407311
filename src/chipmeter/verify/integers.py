"""Rules of libraries that quantise to integers and to 4-bit tables."""

from __future__ import annotations

from typing import Literal

import numpy as np

from chipmeter._arrays import AnyArray
from chipmeter.formats import FORMATS, IntegerFormat, TableFormat
from chipmeter.quantize import affine
from chipmeter.quantize.layouts import pack_nibbles
from chipmeter.verify.case import Case
from chipmeter.verify.compare import Emulated, UnsupportedError
from chipmeter.verify.elementwise import words
from chipmeter.verify.float_blocks import float_tiles

_MAPPINGS: dict[str, affine.Mapping] = {
    "SYMMETRIC": "symmetric", "SYMMETRIC_NO_CLIPPING_ERR": "symmetric-no-clipping", "ASYMMETRIC": "affine",
}  # fmt: skip


def torchao_affine(case: Case) -> Emulated:
    """Emulate torchao's integer groups."""
    block, mode = case.entry.params.get("block"), case.text("mapping")
    low, high = case.number("quant_min", -128, 0), case.number("quant_max", 1, 255)
    x = case.source()
    if mode not in _MAPPINGS or x.ndim != 2 or not np.isfinite(x).all():
        raise UnsupportedError(f"integers by {mode!r} of shape {x.shape}")
    if not (isinstance(block, list) and len(block) == 2 and all(isinstance(b, int) and b > 0 for b in block)):
        raise ValueError(f"params.block must be two lengths, got {str(block)[:80]}")
    if x.shape[0] % block[0] or x.shape[1] % block[1]:
        raise UnsupportedError(f"{x.shape} in blocks of {block}")
    fits = [f for f in FORMATS.values() if isinstance(f, IntegerFormat) and (f.min, f.max) == (low, high)]
    if not fits:
        raise UnsupportedError(f"integers in {low}..{high}, which no format holds")
    found = float_tiles(x, fits[0], "divide", *block, mapping=_MAPPINGS[mode])
    note = f"integers in {low}..{high}, {_MAPPINGS[mode]}"
    grid = tuple(n for n in found.scales.shape if n > 1) or (1,)
    if case.part == "scale":
        return Emulated(words(found.scales.reshape(grid)), note)
    if case.part == "zp":
        assert found.zero_points is not None
        return Emulated(words(found.zero_points.reshape(grid)), note)
    if case.part == "q":
        return Emulated(words(found.codes.astype(case.recorded().dtype)), note)
    return Emulated(words(found.dequantize()), note)


def bnb_4bit(case: Case) -> Emulated:
    """Emulate bitsandbytes' 4-bit blocks."""
    kind, block = _kind(case), case.number("blocksize", 16, 1 << 14)
    x = case.source()
    if x.size % block or not np.isfinite(x).all():
        raise UnsupportedError(f"{x.size} elements in blocks of {block}, NaN or infinity")
    codes, amax = affine.quantize_bnb4(x.reshape(-1, block), kind)
    note = f"{kind} in blocks of {block}"
    if case.part == "absmax":
        return Emulated(words(amax), note)
    if case.part == "dq":
        values: AnyArray = _table(kind)[codes] * amax[:, None]
        return Emulated(words(values.reshape(case.recorded().shape)), note)
    return Emulated(pack_nibbles(codes, high_first=True).reshape(-1), note)


def bnb_table(case: Case) -> Emulated:
    """Emulate the tables of bitsandbytes."""
    kind = _kind(case)
    return Emulated(words(_table(kind)[: case.recorded().size]), f"table of {kind}")


def _kind(case: Case) -> Literal["nf4", "fp4"]:
    kind = case.text("quant_type")
    if kind == "nf4":
        return "nf4"
    if kind == "fp4":
        return "fp4"
    raise UnsupportedError(f"no format {kind!r} of bitsandbytes")


def _table(kind: str) -> AnyArray:
    if kind == "nf4":
        table = FORMATS["nf4"]
        assert isinstance(table, TableFormat)
        return np.asarray(table.values, np.float32)
    return affine.fp4_table()


def torchao_nf4(case: Case) -> Emulated:
    """Emulate torchao's NF4Tensor: the first n elements, blocks of 64, 32 scalers to a factor."""
    folder = case.key.rpartition("/")[0]
    params = case.arrays[f"{folder}/q"].params if f"{folder}/q" in case.arrays else {}
    sizes = [params.get(k) for k in ("n", "block", "scaler_block")]
    if not all(isinstance(s, int) and s > 0 for s in sizes):
        raise UnsupportedError(f"NF4 with sizes {sizes}")
    n, block, scaler_block = (int(s) for s in sizes if isinstance(s, int))
    x = case.source().reshape(-1)[:n]
    if x.size % (block * scaler_block):
        raise UnsupportedError(f"NF4 of {x.size} elements")
    codes, scalers, factors, mean = affine.quantize_nf4_double(x, block, scaler_block)
    note = "nf4 with double-quantised scales"
    outputs = {
        "q": pack_nibbles(codes, high_first=True),
        "qscalers": words(scalers),
        "qfactor": words(factors),
        "mean": words(np.asarray([mean], np.float32)),
    }
    if case.part not in outputs:
        raise UnsupportedError(f"an output called {case.part!r}")
    return Emulated(outputs[case.part], note)
