"""Block recipes as data: how a tensor is cut into blocks, and how each block gets its scale and its codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from chipmeter._names import unknown_name
from chipmeter.evidence import Evidence
from chipmeter.formats.records import Format, IntegerFormat, TableFormat, format_of

Granularity = Literal["tensor", "row", "block"]
ScaleRule = Literal["amax", "floor", "ceil", "even", "round-up", "headroom", "three-quarters"]
"""From the largest magnitude of a block to its scale. `amax`: amax / element maximum, in the scale's format. The
others give a power of two: `floor` the power of two of amax over that of the element maximum (OCP MX v1.0), `ceil` the
next one unless amax is a power of two, `even` after adding half an element ulp to amax, `round-up` the smallest that
avoids overflow, ceil(log2(amax / element maximum)) (cuBLAS, Transformer Engine), `headroom` twice `floor` (Trainium
quantize_mx since NKI 0.5), `three-quarters` twice `floor` from 1.75 of a power of two on (compressed-tensors)."""


@dataclass(frozen=True)
class Recipe:
    """One way to quantise.

    Parameters
    ----------
    name : str
    element : str
        Format of the codes.
    granularity : {"tensor", "row", "block"}
        What shares a scale: everything, each row along the quantised axis, or `block` consecutive elements.
    block : int
        Elements per block for granularity "block", else 0.
    scale : str
        Format of the stored scales: "float32", "float8_e8m0fnu" or "float8_e4m3fn".
    rule : str
        See `ScaleRule`.
    two_level : bool
        Whether a float32 scale of the whole tensor stands above the block scales (NVFP4): s2 = amax / (6 * 448).
    evidence : Evidence

    Raises
    ------
    ValueError
        If the fields contradict each other.

    Examples
    --------
    >>> recipe_of("mxfp4").block, recipe_of("mxfp4").bits_per_element
    (32, 4.25)
    """

    name: str
    element: str
    granularity: Granularity
    block: int
    scale: str
    rule: ScaleRule
    evidence: Evidence
    two_level: bool = False
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field, value, known in (("granularity", self.granularity, Granularity), ("rule", self.rule, ScaleRule)):
            if value not in get_args(known):
                raise ValueError(
                    f"recipe {self.name!r}: {field} must be one of {', '.join(get_args(known))}, got {value!r}"
                )
        if (self.granularity == "block") != (self.block > 0):
            raise ValueError(
                f"recipe {self.name!r}: block must be positive exactly for granularity 'block', got {self.block}"
            )
        if (self.scale == "float8_e8m0fnu") != (self.rule != "amax"):
            raise ValueError(f"recipe {self.name!r}: the rule {self.rule!r} does not give scales of {self.scale}")
        if self.scale not in ("float32", "float8_e8m0fnu", "float8_e4m3fn"):
            raise ValueError(
                f"recipe {self.name!r}: scales are float32, float8_e8m0fnu or float8_e4m3fn, got {self.scale!r}"
            )
        if (self.scale == "float32") != (self.granularity != "block"):
            raise ValueError(f"recipe {self.name!r}: blocks take 8-bit scales, tensors and rows take float32")
        if self.two_level != (self.scale == "float8_e4m3fn"):
            raise ValueError(f"recipe {self.name!r}: e4m3 block scales stand below a tensor scale, others do not")
        element = self.element_format
        if isinstance(element, TableFormat) or not element.signed or element.bits > 8:
            raise ValueError(
                f"recipe {self.name!r}: elements are of a signed float or integer format of at most 8 bits, got {self.element!r}"
            )
        if self.granularity == "block" and isinstance(element, IntegerFormat):
            raise ValueError(f"recipe {self.name!r}: block elements are of a float format, got {self.element!r}")

    @property
    def element_format(self) -> Format:
        """The record of the element format."""
        return format_of(self.element)

    @property
    def bits_per_element(self) -> float:
        """Stored bits per element, block scales included; per-row and per-tensor scales are negligible and left out."""
        return self.element_format.bits + (8 / self.block if self.block else 0)


_OCP = Evidence("documented", "OCP Microscaling Formats (MX) v1.0, sections 5-6")
_ROUND_UP = Evidence("documented", "NVIDIA cuBLAS block scaling; TransformerEngine mxfp8 cast; torchao to_mx RCEIL")
_NEURON = Evidence("documented", "AWS Neuron nki.isa.quantize_mx, NKI 0.5.0", "2026-07-07")
_CT = Evidence("documented", "compressed-tensors 0.20.0, generate_mx_scales")
_NVFP4 = Evidence("documented", "torchao nvfp4_tensor.py, two-level scaling")
_AMAX = Evidence(
    "documented", "TransformerEngine current scaling; DeepSeek-V3 act_quant divides by amax / element maximum"
)


def _mx(name: str, element: str) -> tuple[Recipe, ...]:
    return (
        Recipe(name, element, "block", 32, "float8_e8m0fnu", "floor", _OCP),
        Recipe(f"{name}-roundup", element, "block", 32, "float8_e8m0fnu", "round-up", _ROUND_UP),
        Recipe(f"{name}-headroom", element, "block", 32, "float8_e8m0fnu", "headroom", _NEURON),
    )


_TABLE: tuple[Recipe, ...] = (
    *_mx("mxfp8", "float8_e4m3fn"),
    *_mx("mxfp8-e5m2", "float8_e5m2"),
    *_mx("mxfp6", "float6_e2m3fn"),
    *_mx("mxfp6-e3m2", "float6_e3m2fn"),
    *_mx("mxfp4", "float4_e2m1fn"),
    Recipe("mxfp8-compressed-tensors", "float8_e4m3fn", "block", 32, "float8_e8m0fnu", "three-quarters", _CT),
    Recipe("mxfp4-compressed-tensors", "float4_e2m1fn", "block", 32, "float8_e8m0fnu", "three-quarters", _CT),
    Recipe("nvfp4", "float4_e2m1fn", "block", 16, "float8_e4m3fn", "amax", _NVFP4, two_level=True),
    Recipe("fp8", "float8_e4m3fn", "tensor", 0, "float32", "amax", _AMAX, aliases=("fp8-tensor",)),
    Recipe("fp8-row", "float8_e4m3fn", "row", 0, "float32", "amax", _AMAX),
    Recipe("fp8-e5m2", "float8_e5m2", "tensor", 0, "float32", "amax", _AMAX),
    Recipe("fp8-240", "float8_e4m3", "tensor", 0, "float32", "amax", _AMAX),
    Recipe("fp8-240-row", "float8_e4m3", "row", 0, "float32", "amax", _AMAX),
    Recipe("int8", "int8", "tensor", 0, "float32", "amax", _AMAX, aliases=("int8-tensor",)),
    Recipe("int8-row", "int8", "row", 0, "float32", "amax", _AMAX),
)

RECIPES: dict[str, Recipe] = {r.name: r for r in _TABLE}
"""Every named recipe. `-roundup` is NVIDIA's scale rule, `-headroom` Trainium's, the bare MX names are OCP's; `fp8-240` is for chips whose
e4m3 ends at 240."""

_BY_NAME = {name: r for r in _TABLE for name in (r.name, *r.aliases)}


def recipe_of(name: str | Recipe) -> Recipe:
    """Find a recipe by name; a record, for instance one of your own, is returned as it is.

    >>> recipe_of("mxfp44")
    Traceback (most recent call last):
    ...
    chipmeter._names.UnknownNameError: unknown recipe 'mxfp44'; did you mean 'mxfp4' or 'mxfp8' or 'mxfp6'?
    """
    if isinstance(name, Recipe):
        return name
    if not isinstance(name, str):
        raise TypeError(f"a recipe is named by a string or given as a record, got {type(name).__name__}")
    found = _BY_NAME.get(name.lower())
    if found is None:
        raise unknown_name("recipe", name, _BY_NAME)
    return found
