"""Rules of libraries that give a block of elements one scale: MX and NVFP4."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray
from chipmeter._names import UnknownNameError
from chipmeter.formats import FloatFormat
from chipmeter.quantize import QuantizedTensor, Recipe, quantize, recipe_of
from chipmeter.quantize.layouts import pack_nibbles
from chipmeter.quantize.recipes import ScaleRule
from chipmeter.verify import torchao018
from chipmeter.verify.case import Case
from chipmeter.verify.compare import Emulated, Mask, UnsupportedError
from chipmeter.verify.elementwise import near_next_power, words

_ELEMENTS = {
    "e4m3fn": "mxfp8", "e5m2": "mxfp8-e5m2", "e2m3": "mxfp6", "e3m2": "mxfp6-e3m2", "e2m1": "mxfp4",
    "e2m1_packed": "mxfp4",
    "fp8_e4m3": "mxfp8", "fp8_e5m2": "mxfp8-e5m2", "fp6_e2m3": "mxfp6", "fp6_e3m2": "mxfp6-e3m2", "fp4_e2m1": "mxfp4",
    "mxfp8_e4m3": "mxfp8", "mxfp8_e5m2": "mxfp8-e5m2", "mxfp6_e2m3": "mxfp6", "mxfp6_e3m2": "mxfp6-e3m2",
    "mxfp4_e2m1": "mxfp4", "float8_e4m3fn": "mxfp8", "float8_e5m2": "mxfp8-e5m2", "float4_e2m1fn": "mxfp4",
}  # fmt: skip
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
    """Emulate gfloat's MX blocks, dequantised; it takes the exponent of amax through log2."""
    if case.text("round") != "TiesToEven" or not case.flag("sat"):
        raise UnsupportedError("MX elements other than to nearest even, saturating")
    x = case.source()
    return _values(x, _recipe(case.text("block"), "floor", 32))


def _values(x: NDArray[np.float32], recipe: Recipe) -> Emulated:
    if x.ndim == 0 or x.shape[-1] % recipe.block:
        raise UnsupportedError(f"an input of shape {x.shape} in blocks of {recipe.block}")
    q = _quantize(x, recipe)
    amax = _amax(x, recipe.block)
    quirk = _spread(near_next_power(amax) & np.isfinite(amax), recipe.block) | (near_next_power(x) & np.isfinite(x))
    return Emulated(words(q.dequantize()), f"quantize by {recipe.name}, dequantize", "float32", unsupported=quirk)


def trainium_mx(case: Case) -> Emulated:
    """Emulate the AWS SDK's golden: 8 partitions x 4 free elements of a bfloat16 tile, OCP's floor rule."""
    if "ocp_floor" not in case.key.split("/"):
        raise UnsupportedError("the scale rule of quantize_mx since NKI 0.5, one above OCP's")
    x = case.source("bfloat16").astype(np.float32)
    if x.ndim != 2 or x.shape[0] % 8 or x.shape[1] % 4:
        raise UnsupportedError(f"a tile of shape {x.shape}")
    groups = (x.shape[0] // 8, x.shape[1] // 4)
    blocks = x.reshape(groups[0], 8, groups[1], 4).transpose(0, 2, 1, 3).reshape(*groups, 32)
    recipe = _recipe(case.text("dst"), "floor", 32)
    q = _quantize(np.ascontiguousarray(blocks), recipe)
    amax = _amax(blocks, 32)[..., 0]
    element = recipe.element_format
    assert isinstance(element, FloatFormat)
    exponent = (amax.view(np.uint32) >> 23).astype(np.int32)
    quirk = ~np.isfinite(amax) | (exponent < element.max_exponent)  # where its uint8 arithmetic wraps
    note = f"quantize by {recipe.name}"
    if case.part == "scale":
        return Emulated(words(q.scales)[..., 0], note, unsupported=quirk)
    codes = words(q.codes).reshape(*groups, 8, 4).transpose(0, 2, 1, 3).reshape(x.shape)
    if element.bits == 4:
        codes = pack_nibbles(codes)
    spread = np.repeat(np.repeat(quirk, 8, axis=0), case.recorded().shape[1] // groups[1], axis=1)
    return Emulated(np.ascontiguousarray(codes).view(case.recorded().dtype), note, unsupported=spread)
