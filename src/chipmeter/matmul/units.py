"""Matrix units as plain frozen records: what is multiplied, in which model, with which parameters, and how we know."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from chipmeter.evidence import Evidence

Output = Literal["rz-f32", "rz-e8m13", "rne-f16"]
Order = Literal[
    "sequential",
    "pairwise",
    "f64",
    "element-sums",
    "truncated",
    "group-scaled",
    "bf16-products",
    "four-pass",
    "three-pass",
]


@dataclass(frozen=True)
class FusedDot:
    """The truncated fused dot product-add of NVIDIA tensor cores (models T, ST and GST).

    A step takes `products` products and the accumulator. Every term keeps its un-normalised significand; all are cut
    toward zero to `fraction_bits` below the largest exponent (at least `floor_exponent`), added exactly, and the sum
    is converted by `output`. The result is the accumulator of the next step.

    Parameters
    ----------
    products : int
        Products fused in one step, 1 to 32 (64 when grouped).
    fraction_bits : int
        Bits kept below the largest exponent, 10 to 25 (35 when grouped).
    output : {"rz-f32", "rz-e8m13", "rne-f16"}
        Toward zero to binary32; toward zero to 13 fraction bits of binary32; to nearest even in binary16.
    floor_exponent : int
        The least alignment exponent: what a zero term contributes.
    group : int
        For e2m1 operands with block scales: products are first summed exactly in groups of this many. 0: no groups.
    """

    products: int
    fraction_bits: int
    output: Output
    floor_exponent: int
    group: int = 0

    def __post_init__(self) -> None:
        most, bits = (64, 35) if self.group else (32, 25)
        if not 1 <= self.products <= most or not 10 <= self.fraction_bits <= bits:
            raise ValueError(
                f"a fused step has 1..{most} products and 10..{bits} fraction bits, "
                f"got {self.products} and {self.fraction_bits}"
            )
        if self.output not in ("rz-f32", "rz-e8m13", "rne-f16"):
            raise ValueError(f"output must be rz-f32, rz-e8m13 or rne-f16, got {self.output!r}")
        if not -400 <= self.floor_exponent <= -15:
            raise ValueError(f"floor_exponent must lie in -400..-15, got {self.floor_exponent}")
        if self.group and (self.products % self.group or self.products // self.group > 4 or self.output != "rz-f32"):
            raise ValueError(
                f"groups of {self.group} must cut {self.products} products into at most 4, with output rz-f32"
            )


@dataclass(frozen=True)
class PairedHalves:
    """FP8 on hardware without FP8 `mma.sync`: operands become f16 and two fused f16 steps take half the products each.

    Per 32 products: h = step(k with floor(k / 2) even, from +0), h = step(the others, from h), then h + C with one
    rounding to nearest even in the accumulator's type.
    """

    step: FusedDot


@dataclass(frozen=True)
class Chain:
    """IEEE 754 arithmetic in binary32 or binary64.

    Parameters
    ----------
    order : str
        Inside a tile. "sequential": fused multiply-adds with k ascending. "pairwise": rounded products, neighbours
        added level by level. "f64": products and sums in binary64 with one rounding at the end. The others exist for
        policies (see `Unit.orders`). "element-sums": the products of one processing element's `lanes` neighbours are
        added by a tree of rounded sums, and their sum to the column. "truncated": steps of 32 products and the running
        sum, cut toward zero to 24 bits below the largest (`TRUNCATED`); block scales enter the exponents.
        "group-scaled": the products of one scale block are chained from zero, the sum times the scale is rounded once
        and added to the column. "bf16-products": products rounded to float32, then to bfloat16, and added with k
        ascending. "four-pass" and "three-pass": float32 operands cut toward zero into 12 high and 12 low bits, one
        sequential pass each of high x high, high x low, low x high and (four) low x low.
    tile : int
        Elements of K whose sum starts at zero and is then added to the accumulator. 0: one chain that starts at it.
    policy : bool
        Whether the order is a choice, because the vendor has published none: `order=` may then replace it.
    lanes : {1, 2, 4}
        Neighbours along K that one processing element multiplies at once (NeuronCore double_row: 2, MX: 4).
    """

    order: Order = "sequential"
    tile: int = 0
    policy: bool = False
    lanes: int = 1

    def __post_init__(self) -> None:
        if self.order not in get_args(Order):
            raise ValueError(f"order must be one of {', '.join(get_args(Order))}, got {self.order!r}")
        if self.tile < 0 or (self.tile == 0 and self.order != "sequential"):
            raise ValueError(f"order {self.order!r} needs a positive tile, got {self.tile}")
        if self.lanes not in (1, 2, 4):
            raise ValueError(f"a processing element multiplies 1, 2 or 4 pairs at once, got lanes={self.lanes!r}")


TRUNCATED = FusedDot(32, 24, "rz-f32", -133)
"""The step of the order "truncated": a row tile's 32 products, and the bits that Ampere keeps. An assumption."""


@dataclass(frozen=True)
class IntegerDot:
    """Exact integer products added to a 32-bit accumulator that wraps, or is clamped once per instruction."""

    clamp: bool = False


@dataclass(frozen=True)
class ExactDot:
    """The exact fused dot product of CDNA1 (model E): `products` (1 to 16) and c, one rounding to nearest even."""

    products: int

    def __post_init__(self) -> None:
        if not 1 <= self.products <= 16:
            raise ValueError(f"an exact step has 1..16 products, got {self.products}")


@dataclass(frozen=True)
class FlushedDot:
    """Binary32 products and sums of CDNA2 (model FTZ): 2 or 4 `products` added in pairs, every result flushed."""

    products: int

    def __post_init__(self) -> None:
        if self.products not in (2, 4):
            raise ValueError(f"a flushed step has 2 or 4 products, got {self.products}")


@dataclass(frozen=True)
class FlooredDot:
    """Truncated products, then a floored and rounded sum with the accumulator: CDNA3 (models TR and GTR).

    Parameters
    ----------
    products : int
        Products of one step, 1 to 16; even with two groups.
    fraction_bits : int
        Bits kept of the products below their largest exponent, 10 to 24.
    groups : int
        1 (TR): all products are aligned together. 2 (GTR): those of even and of odd k apart, and an accumulator more
        than 25 exponents below the sum is dropped.
    """

    products: int
    fraction_bits: int = 24
    groups: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.products <= 16 or not 10 <= self.fraction_bits <= 24:
            raise ValueError(
                f"a floored step has 1..16 products and 10..24 fraction bits, got {self.products} and {self.fraction_bits}"
            )
        if self.groups not in (1, 2) or self.products % self.groups:
            raise ValueError(f"groups must be 1, or 2 with an even number of products, got {self.groups}")


Model = FusedDot | PairedHalves | Chain | IntegerDot | ExactDot | FlushedDot | FlooredDot

OPERANDS = {
    "f64": "float64", "f32": "float32", "tf32": "tf32", "f16": "float16", "bf16": "bfloat16",
    "e5m2": "float8_e5m2", "e4m3": "float8_e4m3fn", "e4m3ieee": "float8_e4m3", "e3m4": "float8_e3m4",
    "e4m3fnuz": "float8_e4m3fnuz", "e5m2fnuz": "float8_e5m2fnuz",
    "e3m2": "float6_e3m2fn", "e2m3": "float6_e2m3fn", "e2m1": "float4_e2m1fn",
    "s8": "int8", "u8": "uint8", "s32": "int32",
}  # fmt: skip
"""Operand types by the names instructions give them, and the dtype (or format) that holds each."""

SCALES = {"ue8m0": "float8_e8m0fnu", "ue4m3": "float8_e4m3fn"}


@dataclass(frozen=True)
class Unit:
    """One matrix instruction: operand types, arithmetic model, evidence.

    Parameters
    ----------
    name : str
        `arch/family.a.b.c.d`.
    a, b, c, d : str
        Types of the operands, the accumulator input and the result: keys of `OPERANDS`.
    k : int
        Elements of K per instruction. A GEMM is a chain of instructions over k ascending, K padded with zeros.
    model : FusedDot, PairedHalves, Chain, IntegerDot, ExactDot, FlushedDot or FlooredDot
    evidence : Evidence
    scale : str, optional
        Type of the block scales, "ue8m0" or "ue4m3".
    scale_block : int
        Elements of K per scale; 0: unscaled.

    Raises
    ------
    ValueError
        If the fields contradict each other.

    Examples
    --------
    >>> from chipmeter.matmul import unit
    >>> unit("h100/fp8").model
    FusedDot(products=32, fraction_bits=13, output='rz-e8m13', floor_exponent=-133, group=0)
    """

    name: str
    a: str
    b: str
    c: str
    d: str
    k: int
    model: Model
    evidence: Evidence
    scale: str | None = None
    scale_block: int = 0

    def __post_init__(self) -> None:
        for field in ("a", "b", "c", "d"):
            if getattr(self, field) not in OPERANDS:
                raise ValueError(
                    f"unit {self.name!r}: {field} must be one of {', '.join(OPERANDS)}, got {getattr(self, field)!r}"
                )
        if not 1 <= self.k <= 1024:
            raise ValueError(f"unit {self.name!r}: k must lie in 1..1024, got {self.k}")
        if (self.scale is None) != (self.scale_block == 0) or self.scale not in (None, *SCALES):
            raise ValueError(f"unit {self.name!r}: scale (ue8m0, ue4m3) and a positive scale_block go together")
        self._check_model()

    def _check_model(self) -> None:
        def need(holds: bool, what: str) -> None:
            if not holds:
                raise ValueError(f"unit {self.name!r}: {what}")

        operands, accumulators = {self.a, self.b}, {self.c, self.d}
        match self.model:
            case FusedDot():
                need(
                    not operands & {"f64", "f32", "s8", "u8", "s32"},
                    "a fused dot product takes floats of at most 11 bits",
                )
                want = {"rne-f16": {"f16"}, "rz-f32": {"f32"}, "rz-e8m13": {"f32"}}[self.model.output]
                need(
                    self.d in want and self.c in {"f16", "f32"},
                    f"output {self.model.output} gives {want}, got {self.d}",
                )
                step = self.model.products
                need(
                    self.k % step == 0 or step % self.k == 0, f"k = {self.k} and {step} products per step do not divide"
                )
                if self.model.group:
                    need(operands == {"e2m1"} and self.scale is not None, "groups need e2m1 operands with block scales")
                elif self.scale is not None:
                    need(
                        self.scale_block % min(step, self.k) == 0 and self.scale == "ue8m0",
                        "one ue8m0 scale spans a step",
                    )
            case PairedHalves():
                need(self.k == 32 and self.c == self.d and self.scale is None, "paired halves work on k = 32, unscaled")
            case Chain():
                need(self.c == self.d and self.d in {"f32", "f64"}, "a chain accumulates in f32 or f64")
                need(("f64" in operands) == (self.d == "f64"), "f64 operands go with an f64 accumulator")
                need(not operands & {"s8", "u8", "s32"}, "a chain takes floats")
                misfit = self._misfit(self.model, self.model.order)
                need(misfit is None, str(misfit))
            case ExactDot() | FlushedDot() | FlooredDot():
                need(
                    not operands & {"f64", "f32", "s8", "u8", "s32"} and accumulators == {"f32"} and self.scale is None,
                    "AMD's dot products take unscaled floats of at most 11 bits and accumulate in f32",
                )
                need(
                    self.k % min(self.model.products, self.k) == 0,
                    f"k = {self.k} and {self.model.products} products per step do not divide",
                )
                need(
                    not isinstance(self.model, FlushedDot) or self.k >= self.model.products,
                    "a flushed step must fit into k",
                )
                need(
                    not isinstance(self.model, FlooredDot) or self.model.groups == 1 or self.k % 2 == 0,
                    "two groups need an even k",
                )
            case IntegerDot():
                need(
                    operands <= {"s8", "u8"} and accumulators == {"s32"}, "integer operands go with an s32 accumulator"
                )

    @property
    def orders(self) -> tuple[Order, ...]:
        """The orders that `order=` accepts: empty where the accumulation is published.

        >>> from chipmeter.matmul import unit
        >>> unit("trn2/bf16").orders
        ('sequential', 'pairwise', 'f64', 'truncated', 'bf16-products')
        >>> unit("h100/bf16").orders
        ()
        """
        if not isinstance(self.model, Chain) or not self.model.policy:
            return ()
        return tuple(order for order in get_args(Order) if self._misfit(self.model, order) is None)

    def _misfit(self, model: Chain, order: Order) -> str | None:
        """Say why a chain of these types cannot run in an order; None: it can."""
        wide = bool({self.a, self.b} & {"f32", "f64"})
        if order in ("sequential", "pairwise", "f64"):
            return None
        if self.d != "f32":
            return "a policy order accumulates in f32"
        if order == "element-sums" and model.lanes == 1:
            return "element-sums needs lanes of 2 or 4"
        if order == "truncated" and (wide or self.scale not in (None, "ue8m0") or self.scale_block not in (0, 32)):
            return "truncated takes operands of at most 11 bits, unscaled or with one ue8m0 scale per 32"
        if order == "group-scaled" and (self.scale is None or model.tile % self.scale_block):
            return "group-scaled needs block scales whose block divides the tile"
        if order in ("four-pass", "three-pass") and {self.a, self.b} != {"f32"}:
            return f"{order} takes f32 operands"
        return None

    def with_order(self, order: Order) -> Unit:
        """Return this unit with another order, where the order is a policy.

        Raises
        ------
        ValueError
            If the unit's order is not a choice.
        """
        if not self.orders:
            raise ValueError(
                f"the accumulation of {self.name} is not a policy: {self.evidence.grade}, {self.evidence.source}"
            )
        if order not in self.orders:
            raise ValueError(f"{self.name} takes the orders {', '.join(self.orders)}, got {order!r}")
        assert isinstance(self.model, Chain)
        return replace(self, model=replace(self.model, order=order))
