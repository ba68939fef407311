"""A recipe as the plain numbers that the kernel of tiles reads."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from chipmeter._kernels import TileSpec
from chipmeter.formats.policies import Rounding, decode_spec, encode_spec
from chipmeter.formats.records import FORMATS, FloatFormat, IntegerFormat, TableFormat
from chipmeter.quantize.nvfp4 import Adaptive, Flavour, SecondLevel
from chipmeter.quantize.recipe import Recipe
from chipmeter.quantize.rules import carry_from, largest_exponent

_POWER = 0
_FORMS = {"divide": 1, "reciprocal": 2, "multiplier": 3}
_MAPPINGS = {"symmetric": 4, "symmetric-no-clipping": 5, "affine": 6}
_TABLE = 7
_FLAVOURS: dict[Flavour, int] = {"torchao": 8, "transformer-engine": 9, "modelopt": 10, "compressed-tensors": 11}
_ADAPTIVE: dict[Adaptive, int] = {"none": 0, "mae": 1, "mse": 2}
_LEAST_SCALE = {"torchao": 2.0**-6, "modelopt": 2.0**-9}
_FLOAT, _INTEGER, _IN_TABLE = 0, 1, 2
_KEPT, _NUMBERS_POSITIVE, _CODES_POSITIVE = 0, 1, 2
_ZERO_SCALE = 0x20
"""0.125, the epsilon of e4m3: what compressed-tensors stores for a scale that rounds to zero."""


@lru_cache(maxsize=256)
def tile_spec(rule: Recipe, second: SecondLevel | None = None) -> TileSpec:
    """Build the record of a recipe and, of two levels, the second."""
    return TileSpec(**_scale(rule, second), **_element(rule))


def _scale(rule: Recipe, second: SecondLevel | None) -> dict[str, Any]:
    element = rule.element_format
    if isinstance(element, TableFormat):
        return {"scale": _TABLE}
    if rule.mapping is not None:
        return {"scale": _MAPPINGS[rule.mapping]}
    if rule.scale == "float32":
        limit = float(element.max) if rule.limit is None else rule.limit
        return {
            "scale": _FORMS[rule.form],
            "limit": limit,
            "smallest": rule.smallest,
            "power_of_two": rule.power_of_two,
        }
    if rule.scale == "float8_e8m0fnu":
        return {
            "scale": _POWER,
            "max_exponent": largest_exponent(element),
            "carry_from": carry_from(element, rule.rule),
            "carry_overflows": rule.rule == "even",
        }
    fmt = FORMATS[rule.scale]
    assert isinstance(fmt, FloatFormat)
    return {
        "scale": _FLAVOURS[rule.flavour],
        "limit": float(element.max),
        "tensor": 1.0 if second is None else float(second.factor),
        "adaptive": _ADAPTIVE[rule.adaptive],
        "tensor_amax": 0.0 if second is None else float(second.amax),
        "top": 1.0 if second is None else float(second.top),
        "scale_min": _LEAST_SCALE.get(rule.flavour, 0.0),
        "scale_max": float(fmt.max),
        "zero_scale": _ZERO_SCALE,
        "scale_encode": encode_spec(fmt, "nearest-even", "saturate"),
        "scale_decode": decode_spec(fmt),
    }


def _element(rule: Recipe) -> dict[str, Any]:
    element = rule.element_format
    if isinstance(element, TableFormat):
        values = np.asarray(element.values)
        midpoints = ((values[1:] + values[:-1]) / 2).astype(np.float32)
        return {"element_kind": _IN_TABLE, "midpoints": midpoints, "nan_code": int(np.argmin(np.abs(values)))}
    if isinstance(element, IntegerFormat):
        low = element.min if rule.mapping is not None else -element.max
        zero = 0 if rule.mapping is None else (element.max + element.min + 1) // 2
        return {
            "element_kind": _INTEGER,
            "low": low,
            "high": element.max,
            "zero_point": zero,
            "unit": 1 / rule.element_unit,
        }
    to_zero = rule.rounding == "nearest-zero"
    rounding: Rounding = "nearest-away" if rule.rounding == "nearest-zero" else rule.rounding
    zeros = _KEPT
    if rule.scale == "float8_e4m3fn" and rule.flavour in ("transformer-engine", "modelopt"):
        zeros = _NUMBERS_POSITIVE
    elif to_zero and rule.scale == "float32":
        zeros = _CODES_POSITIVE
    return {
        "element_kind": _FLOAT,
        "element": encode_spec(element, rounding, "saturate"),
        "ties_to_zero": to_zero,
        "zeros": zeros,
    }
