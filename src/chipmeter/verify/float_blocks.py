"""Rules of libraries that give blocks float32 scales: DeepGEMM, Transformer Engine."""

from __future__ import annotations

import numpy as np

from chipmeter.evidence import Evidence
from chipmeter.formats import FORMATS, FloatFormat, IntegerFormat
from chipmeter.quantize import QuantizedTensor, Recipe, quantize
from chipmeter.quantize.affine import Mapping
from chipmeter.quantize.float_tiles import ScaleForm
from chipmeter.quantize.layouts import pack_nibbles
from chipmeter.quantize.recipe import ElementRounding
from chipmeter.quantize.rules import Floats, power_of_two_up
from chipmeter.verify.case import Case
from chipmeter.verify.compare import Emulated, UnsupportedError
from chipmeter.verify.elementwise import words

RULES = Evidence("documented", "recorded outputs of DeepGEMM and Transformer Engine")

_SHAPES = {"per_token": (False, True), "per_channel": (True, False), "per_block": (True, True)}
"""Whether tiles are as high, and as wide, as the granularity."""


def deepgemm(case: Case) -> Emulated:
    """Emulate DeepGEMM's casts: amax at least 1e-4, x times the reciprocal of the scale."""
    function, _, target = case.entry.op.rpartition(".")[2].partition("_cast_to_")
    if function not in _SHAPES or target not in ("fp8", "fp4"):
        raise UnsupportedError(f"no rule for {case.entry.op!r}")
    size = case.number("gran_k", 1, 1 << 12)
    rows, columns = (size if whole else 1 for whole in _SHAPES[function])
    element = FORMATS["float8_e4m3fn" if target == "fp8" else "float4_e2m1fn"]
    assert isinstance(element, FloatFormat)
    found = float_tiles(
        case.source(), element, "reciprocal", rows, columns, smallest=1e-4, power_of_two=case.flag("use_ue8m0"),
        rounding="nearest-even" if target == "fp8" else "nearest-zero",
    )  # fmt: skip
    note = f"tiles {rows} x {columns} of {element.name}, reciprocal"
    if case.part == "sf":
        return Emulated(words(found.scales), note, "float32")
    return (
        Emulated(words(found.codes), note, element)
        if target == "fp8"
        else Emulated(pack_nibbles(words(found.codes)), note)
    )


def float_tiles(
    x: Floats, element: FloatFormat | IntegerFormat, form: ScaleForm, rows: int, columns: int, *, smallest: float = 0.0,
    power_of_two: bool = False, rounding: ElementRounding = "nearest-even", mapping: Mapping | None = None,
) -> QuantizedTensor:  # fmt: skip
    """Quantise a matrix in tiles with a float32 scale each, as `quantize` does for everyone."""
    tall = columns == 1 < rows
    recipe = Recipe(
        name="tiles", element=element.name, granularity="block", block=rows if tall else columns, scale="float32", rule="amax",
        evidence=RULES, rows=1 if tall else rows, form=form, smallest=smallest, power_of_two=power_of_two, rounding=rounding,
        mapping=mapping,
    )  # fmt: skip
    return quantize(x, recipe, axis=0 if tall else -1)


def ceil_to_ue8m0(case: Case) -> Emulated:
    """Emulate DeepGEMM's rounding of scales up to powers of two."""
    x = case.source("float32", f"{case.key.rpartition('/')[0]}/x")
    return Emulated(words(power_of_two_up(x)), "power_of_two_up")


def transformer_engine(case: Case) -> Emulated:
    """Emulate Transformer Engine's Float8BlockScaling: S = max / amax, stored as 1 / S."""
    tile, eps = case.entry.params.get("tile"), case.entry.params.get("eps")
    if tile not in ([1, 128], [128, 128]) or not isinstance(eps, float):
        raise UnsupportedError(f"tiles {tile!r}")
    element, x = case.float_format(case.text("dtype")), case.source()
    if not np.isfinite(x).all():
        raise UnsupportedError("NaN or infinity, of which the Python reference and the kernels differ")
    found = float_tiles(x, element, "multiplier", *tile, smallest=eps, power_of_two=case.flag("pow_2_scales"))
    note = f"tiles {tile[0]} x {tile[1]} of {element.name}, multiplier"
    if case.part == "scale_inv":
        return Emulated(words(found.scales), note, "float32")
    return Emulated(words(found.codes), note, element)
