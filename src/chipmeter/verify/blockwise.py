"""Rules of libraries that give a block of elements one scale: MX and NVFP4."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from chipmeter._names import UnknownNameError
from chipmeter.formats import FloatFormat, IntegerFormat
from chipmeter.quantize import QuantizedTensor, Recipe, quantize, recipe_of
from chipmeter.quantize.layouts import pack_nibbles
from chipmeter.quantize.recipes import ScaleRule
from chipmeter.quantize.rules import powers, scale_bytes
from chipmeter.verify import torchao018
from chipmeter.verify.case import Case
from chipmeter.verify.compare import Emulated, Mask, UnsupportedError
from chipmeter.verify.elementwise import words

_ELEMENTS = {
    "e4m3fn": "mxfp8", "e5m2": "mxfp8-e5m2", "e2m3": "mxfp6", "e3m2": "mxfp6-e3m2", "e2m1": "mxfp4",
    "e2m1_packed": "mxfp4",
    "fp8_e4m3": "mxfp8", "fp8_e5m2": "mxfp8-e5m2", "fp6_e2m3": "mxfp6", "fp6_e3m2": "mxfp6-e3m2", "fp4_e2m1": "mxfp4",
    "mxfp8_e4m3": "mxfp8", "mxfp8_e5m2": "mxfp8-e5m2", "mxfp6_e2m3": "mxfp6", "mxfp6_e3m2": "mxfp6-e3m2",
    "mxfp4_e2m1": "mxfp4", "float8_e4m3fn": "mxfp8", "float8_e5m2": "mxfp8-e5m2", "float4_e2m1fn": "mxfp4",
}  # fmt: skip
_INT8 = IntegerFormat("int8", 8, True, "int8")
_RULES: dict[str, ScaleRule] = {"FLOOR": "floor", "CEIL": "ceil", "EVEN": "even", "RCEIL": "round-up"}


def _recipe(element: str, rule: ScaleRule, block: int) -> Recipe:
    if element not in _ELEMENTS:
        raise UnsupportedError(f"no recipe with elements {element!r}")
    try:
        return replace(recipe_of(_ELEMENTS[element]), rule=rule, block=block)
    except UnknownNameError as error:
        raise UnsupportedError(str(error)) from None


def _block(case: Case, default: int, length: int) -> int:
    block = case.number("block", 1, 1 << 16) if "block" in case.entry.params else default
    if length % block:
        raise UnsupportedError(f"rows of {length} elements in blocks of {block}")
    return block


def _quantize(x: NDArray[np.float32], recipe: Recipe) -> QuantizedTensor:
    if x.ndim == 0 or x.size == 0:
        raise UnsupportedError("an empty input")
    with np.errstate(all="ignore"):
        return quantize(x, recipe)


def _amax(x: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    """Largest magnitude of each block, as float32 (NaN where the block holds one)."""
    blocks: NDArray[np.float32] = np.abs(x.reshape(*x.shape[:-1], -1, block))
    return np.asarray(blocks.max(axis=-1))


def _spread(mask: Mask, block: int) -> Mask:
    """Repeat one flag per block for each of its elements."""
    return np.repeat(mask, block, axis=-1)


def _select(case: Case, q: QuantizedTensor, invalid: Mask, note: str) -> Emulated:
    """Pick the output that this array records: scales, codes or values; `invalid` elements have no number as code."""
    element = q.recipe.element_format
    assert isinstance(element, FloatFormat)
    if case.part == "scale":
        return Emulated(words(q.scales), note)
    without_nan = invalid if element.nan == "none" else None  # codes of NaN mean nothing in a format that has none
    if case.part == "dequant":
        return Emulated(words(q.dequantize()), f"{note}, dequantize", "float32", unspecified=without_nan)
    if case.part == "data" and without_nan is not None:
        codes = words(q.codes)
        if case.recorded().size * 2 == codes.size:
            return Emulated(pack_nibbles(codes), note, unspecified=invalid[..., ::2] | invalid[..., 1::2])
        return Emulated(codes, note, unspecified=invalid)
    if case.part == "data":
        return Emulated(words(q.codes), note, element)
    raise UnsupportedError(f"an output called {case.part!r}")


def torchao_mx(case: Case) -> Emulated:
    """Emulate torchao `to_mx`: its git main follows our rules, release 0.18 departs from them in some blocks."""
    narrow = "bfloat16" in (case.entry.params.get("input"), case.key.split("/")[0].replace("bf16", "bfloat16"))
    x = case.source("bfloat16", "x_bf16").astype(np.float32) if narrow else case.source()
    mode = case.text("scaling_mode")
    if mode not in _RULES:
        raise UnsupportedError(f"no scale rule {mode!r}")
    recipe = _recipe(case.text("elem"), _RULES[mode], _block(case, 32, x.shape[-1]))
    q = _quantize(x, recipe)
    invalid = _spread(words(q.scales) == 0xFF, recipe.block)
    if case.entry.library == "torchao":
        element = recipe.element_format
        assert isinstance(element, FloatFormat)
        byte, codes, y = torchao018.quantize_blocks(x.reshape(*x.shape[:-1], -1, recipe.block), element, recipe.rule)
        q = replace(q, codes=codes.reshape(x.shape), scales=byte.view(q.scales.dtype))
        invalid = np.isnan(y).reshape(x.shape)
    return _select(case, q, invalid, f"quantize by {recipe.name}, rule={recipe.rule!r}")


def gfloat_mx(case: Case) -> Emulated:
    """Emulate gfloat's MX blocks, dequantised; in float64, so that its logarithms give the exponents that bits do."""
    if case.text("round") != "TiesToEven" or not case.flag("sat"):
        raise UnsupportedError("MX elements other than to nearest even, saturating")
    x, name = case.source(), case.text("block")
    if x.ndim == 0 or x.shape[-1] % 32:
        raise UnsupportedError(f"an input of shape {x.shape} in blocks of 32")
    if name == "mxint8":
        return Emulated(words(_mxint8(x)), "MXINT8, dequantised", "float32")
    recipe = _recipe(name, "floor", 32)
    return Emulated(words(_quantize(x, recipe).dequantize()), f"quantize by {recipe.name}, dequantize", "float32")


def _mxint8(x: NDArray[np.float32]) -> NDArray[np.float32]:
    blocks = x.reshape(-1, 32)
    scale = powers(scale_bytes(np.abs(blocks).max(axis=1), _INT8, "floor")).astype(np.float64)[:, None]
    whole = np.clip(np.rint(blocks / scale * 64), -128, 127) + 0.0  # gfloat uses -2; an integer has no -0
    return np.asarray(whole / 64 * scale, np.float32).reshape(x.shape)
