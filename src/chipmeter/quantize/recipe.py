"""Recipe: how a tensor is cut into blocks, and how each block gets its scale and its codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NoReturn, get_args

from chipmeter.evidence import Evidence
from chipmeter.formats.records import FloatFormat, Format, IntegerFormat, TableFormat, format_of
from chipmeter.quantize.affine import Mapping
from chipmeter.quantize.float_tiles import ScaleForm
from chipmeter.quantize.nvfp4 import Adaptive, Flavour

Granularity = Literal["tensor", "row", "block"]
ScaleRule = Literal["amax", "floor", "ceil", "even", "round-up", "three-quarters", "headroom", "floor-log2"]
"""From the largest magnitude of a block to its scale. `amax`: amax / element maximum, in the scale's format. The
others give a power of two: `floor` the power of two of amax over that of the element maximum (OCP MX v1.0), `ceil` the
next one unless amax is a power of two, `even` after adding half an element ulp to amax, `round-up` the smallest that
avoids overflow, ceil(log2(amax / element maximum)) (cuBLAS, Transformer Engine), `three-quarters` floor, or the next one
from 1.75 times the power of two on (compressed-tensors), `headroom` twice floor (Trainium since NKI 0.5), `floor-log2` floor of the float32 logarithm, modulo 256 where it is below
the smallest scale (ggml)."""
ElementRounding = Literal["nearest-even", "nearest-away", "nearest-zero", "toward-zero"]
"""`nearest-zero` sends ties toward zero (DeepGEMM fp4, ModelOpt MXFP4)."""
Tail = Literal["short", "refuse"]
"""What becomes of an axis that blocks do not divide: a `short` last block with a scale of its own, or an error."""


_SCALE_BITS = {"float32": 32, "float8_e8m0fnu": 8, "float8_e4m3fn": 8, "float16": 16, "int8": 8}
_HALF_SCALES = {("int8", None, "reciprocal"), ("uint4", "extreme", "divide"), ("uint4", "least", "divide")}
_CHOICES = {
    "granularity": Granularity, "rule": ScaleRule, "form": ScaleForm, "flavour": Flavour, "adaptive": Adaptive,
    "rounding": ElementRounding, "tail": Tail,
}  # fmt: skip


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
        Format of the stored scales: "float32", "float8_e8m0fnu", "float8_e4m3fn"; "float16" (ggml: elements follow from
        the float32 number that it was rounded from); "int8" (the differences of the scales from their mean, times a
        factor for every `second` of them: double quantisation).
    rule : str
        See `ScaleRule`.
    two_level : bool
        Whether a float32 scale of the whole tensor stands above the block scales (NVFP4): s2 = amax / (6 * 448).
    evidence : Evidence
    rows : int
        Rows of a block; more than 1 makes tiles of `rows` by `block` elements.
    form : {"divide", "reciprocal", "multiplier"}
        How float32 scales are applied, see `chipmeter.quantize.float_tiles.ScaleForm`.
    limit : float, optional
        What amax becomes, where not the element maximum.
    smallest : float
        amax is taken to be at least this (float32 scales).
    power_of_two : bool
        Whether float32 scales are rounded up to powers of two (DeepGEMM ue8m0).
    mapping : str, optional
        Integers with a scale and zero point from the least and the largest number, see
        `chipmeter.quantize.affine.Mapping`.
    flavour : str
        Whose order of operations an e4m3-scaled recipe follows, see `chipmeter.quantize.nvfp4.Flavour`.
    adaptive : {"none", "mae", "mse"}
        Whether each block takes the better of two scales ("4 over 6"), by which error.
    signs : int, optional
        Signs of the 16-point Hadamard transform before quantisation, bit i set for a negative i-th sign.
    second : int
        How many int8 scales share a factor, else 0.
    rounding, tail : str
        See `ElementRounding` and `Tail`.

    Raises
    ------
    ValueError
        If the fields contradict each other.

    Examples
    --------
    >>> from chipmeter.quantize import recipe_of
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
    rows: int = 1
    form: ScaleForm = "divide"
    limit: float | None = None
    smallest: float = 0.0
    power_of_two: bool = False
    mapping: Mapping | None = None
    flavour: Flavour = "torchao"
    adaptive: Adaptive = "none"
    signs: int | None = None
    rounding: ElementRounding = "nearest-even"
    tail: Tail = "short"
    second: int = 0

    def __post_init__(self) -> None:
        for field, known in _CHOICES.items():
            value = getattr(self, field)
            if value not in get_args(known):
                self._refuse(f"{field} must be one of {', '.join(get_args(known))}, got {value!r}")
        if self.mapping is not None and self.mapping not in get_args(Mapping):
            self._refuse(f"mapping must be one of {', '.join(get_args(Mapping))}, got {self.mapping!r}")
        if (self.granularity == "block") != (self.block > 0):
            self._refuse(f"block must be positive exactly for granularity 'block', got {self.block}")
        if self.rows < 1 or (self.rows > 1 and self.granularity != "block"):
            self._refuse(f"rows must be 1, or more for granularity 'block', got {self.rows}")
        if self.scale not in _SCALE_BITS:
            self._refuse(f"scales are {', '.join(_SCALE_BITS)}, got {self.scale!r}")
        if (self.scale == "float8_e8m0fnu") != (self.rule != "amax"):
            self._refuse(f"the rule {self.rule!r} does not give scales of {self.scale}")
        if self.scale != "float32" and self.granularity != "block":
            self._refuse("blocks take 8-bit scales (or float16), tensors and rows take float32")
        if (self.scale == "int8") != (self.second > 0):
            self._refuse(f"second must be positive exactly for scales of int8, got {self.second}")
        if self.scale == "float16" and (self.element, self.mapping, self.form) not in _HALF_SCALES:
            self._refuse(
                "float16 scales stand over int8 by 'reciprocal' or uint4 by the mappings 'extreme' and 'least'; other "
                "scales are float32, float8_e8m0fnu or float8_e4m3fn"
            )
        if self.mapping in ("extreme", "least") and self.scale != "float16":
            self._refuse(f"the mapping {self.mapping!r} goes with float16 scales")
        if self.scale == "int8" and self.element != "nf4_short":
            self._refuse(f"int8 scales stand over nf4_short elements, got {self.element!r}")
        if self.rule == "floor-log2" and (self.element, self.rounding) != ("float4_e2m1fn", "nearest-zero"):
            self._refuse("the rule 'floor-log2' goes with float4_e2m1fn elements rounded 'nearest-zero'")
        if self.form == "logarithm" and (self.element, self.rows) != ("float4_e2m1fn", 1):
            self._refuse("the form 'logarithm' goes with float4_e2m1fn elements in blocks of one row")
        if self.two_level and self.scale != "float8_e4m3fn":
            self._refuse("two_level: e4m3 block scales stand below a tensor scale, others do not")
        self._check_element()
        self._check_options()

    def _check_element(self) -> None:
        element = self.element_format
        if isinstance(element, TableFormat):
            scale = "int8" if self.second else "float32"
            if (self.granularity, self.scale, self.rows, self.form) != ("block", scale, 1, "divide"):
                self._refuse(f"element {self.element!r} is a table: blocks of one row under {scale} scales take it")
            return
        if element.bits > 8 or not (element.signed or self.mapping in ("affine", "extreme", "least")):
            self._refuse(
                f"elements are of a signed float or integer format of at most 8 bits, or unsigned integers under the "
                f"mapping 'affine', got {self.element!r}"
            )
        if self.mapping is not None and not (
            isinstance(element, IntegerFormat) and self.scale in ("float32", "float16")
        ):
            self._refuse("mapping is of integers under float32 or float16 scales")
        if self.scale == "float8_e4m3fn" and self.element != "float4_e2m1fn":
            self._refuse(f"scale float8_e4m3fn stands over float4_e2m1fn elements, got {self.element!r}")

    def _check_options(self) -> None:
        te = self.flavour == "transformer-engine"
        float_scales = self.scale in ("float32", "float16") and self.mapping is None
        for field, given, allowed, where in (
            ("form", self.form != "divide", float_scales and self.granularity == "block", "float32 scales of blocks"),
            ("limit", self.limit is not None, float_scales and self.granularity == "block", "float32 scales of blocks"),
            ("smallest", self.smallest != 0, float_scales and self.granularity == "block", "float32 scales of blocks"),
            ("power_of_two", self.power_of_two, float_scales and self.granularity == "block", "float32 scales of blocks"),
            ("flavour", self.flavour != "torchao", self.two_level, "recipes of two levels"),
            ("adaptive", self.adaptive != "none", te and self.two_level and self.block == 16 and self.rows in (1, 16),
             "flavour 'transformer-engine' in tiles of 1 or 16 rows of 16"),
            ("signs", self.signs is not None, self.block > 0 and self.block % 16 == 0, "blocks of a multiple of 16"),
            (
                "rounding",
                self.rounding != "nearest-even" and (self.scale, self.rounding) != ("float16", "nearest-away"),
                self.granularity == "block" and self.scale != "float8_e4m3fn" and self.mapping is None
                and isinstance(self.element_format, FloatFormat),
                "float elements in blocks without e4m3 scales",
            ),
        ):  # fmt: skip
            if given and not allowed:
                self._refuse(f"{field} {getattr(self, field)!r} goes with {where} only")
        if not self.two_level and self.scale == "float8_e4m3fn" and self.flavour != "torchao":
            self._refuse("two_level: only the flavour 'torchao' leaves the tensor scale out")
        if self.smallest < 0 or (self.limit is not None and not self.limit > 0):
            self._refuse(f"smallest must not be negative and limit positive, got {self.smallest} and {self.limit}")
        if self.signs is not None and not 0 <= self.signs < 1 << 16:
            self._refuse(f"signs must be 16 bits, got {self.signs}")

    def _refuse(self, what: str) -> NoReturn:
        raise ValueError(f"recipe {self.name!r}: {what}")

    @property
    def separable(self) -> bool:
        """Whether each block is a run of numbers that is quantised by itself, the last one as short as it is."""
        runs = self.granularity == "block" and self.rows == 1 and not self.special and self.tail == "short"
        return runs and self.adaptive == "none" and self.signs is None

    @property
    def plain(self) -> bool:
        """Whether most libraries share it: scales of rows or tensors, or of one-row blocks in powers of two or torchao's two levels."""
        if self.special:
            return False
        if self.granularity != "block":
            return self.mapping is None
        special = self.rows > 1 or self.signs is not None or self.rounding != "nearest-even"
        if special or self.scale == "float32" or not isinstance(self.element_format, FloatFormat):
            return False
        if self.scale == "float8_e4m3fn":
            return self.two_level and self.flavour == "torchao"
        return self.rule not in ("three-quarters", "headroom")

    @property
    def special(self) -> bool:
        """Whether the recipe is a procedure of one library: see `chipmeter.quantize.special`."""
        table = isinstance(self.element_format, TableFormat) and self.element != "nf4"
        return self.scale in ("float16", "int8") or self.form == "logarithm" or self.rule == "floor-log2" or table

    @property
    def element_unit(self) -> float:
        """What one step of an integer element is worth under an e8m0 scale: MXINT8 has six fraction bits; else 1."""
        integer = isinstance(self.element_format, IntegerFormat) and self.scale == "float8_e8m0fnu"
        return 2.0 ** (2 - self.element_format.bits) if integer else 1.0

    @property
    def element_format(self) -> Format:
        """The record of the element format."""
        return format_of(self.element)

    @property
    def bits_per_element(self) -> float:
        """Stored bits per element, block scales included; per-row and per-tensor scales are negligible and left out."""
        scale = _SCALE_BITS[self.scale] + (32 / self.second if self.second else 0)
        zero = {"affine": self.element_format.bits, "least": 16}.get(self.mapping or "", 0)
        return self.element_format.bits + ((scale + zero) / (self.block * self.rows) if self.block else 0)
