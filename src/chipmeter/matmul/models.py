"""Arithmetic models of matrix instructions as plain frozen records of their parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args


def check_integers(record: object, *names: str) -> None:
    """Refuse fields of a record that are no integers.

    Raises
    ------
    TypeError
    """
    for name in names:
        value = getattr(record, name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{type(record).__name__}: {name} must be an integer, got {value!r}")


Output = Literal["rz-f32", "rz-e8m13", "rne-f16"]
Directed = Literal["nearest-even", "toward-zero", "down", "up"]
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
        check_integers(self, "products", "fraction_bits", "floor_exponent", "group")
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
    rounding : {"nearest-even", "toward-zero", "down", "up"}
        Of every operation; others than the first for one sequential chain (PTX .rz, .rm and .rp).
    """

    order: Order = "sequential"
    tile: int = 0
    policy: bool = False
    lanes: int = 1
    rounding: Directed = "nearest-even"

    def __post_init__(self) -> None:
        check_integers(self, "tile", "lanes")
        if self.order not in get_args(Order):
            raise ValueError(f"order must be one of {', '.join(get_args(Order))}, got {self.order!r}")
        if self.tile < 0 or (self.tile == 0 and self.order != "sequential"):
            raise ValueError(f"order {self.order!r} needs a positive tile, got {self.tile}")
        if self.rounding not in get_args(Directed):
            raise ValueError(f"rounding must be one of {', '.join(get_args(Directed))}, got {self.rounding!r}")
        if self.rounding != "nearest-even" and (self.tile, self.order, self.policy) != (0, "sequential", False):
            raise ValueError(f"rounding {self.rounding!r} goes with one sequential chain: tile 0, no policy")
        if self.lanes not in (1, 2, 4):
            raise ValueError(f"a processing element multiplies 1, 2 or 4 pairs at once, got lanes={self.lanes!r}")


TRUNCATED = FusedDot(32, 24, "rz-f32", -133)
"""The step of the order "truncated": a row tile's 32 products, and the bits that Ampere keeps. An assumption."""


@dataclass(frozen=True)
class IntegerDot:
    """Exact integer products added to a 32-bit accumulator that wraps, or is clamped once per instruction."""

    clamp: bool = False


Operation = Literal["xor", "and"]


@dataclass(frozen=True)
class BinaryDot:
    """Bits counted into a 32-bit accumulator that wraps: those that differ ("xor"), or that are set in both ("and")."""

    operation: Operation

    def __post_init__(self) -> None:
        if self.operation not in get_args(Operation):
            raise ValueError(f"operation must be one of {', '.join(get_args(Operation))}, got {self.operation!r}")


@dataclass(frozen=True)
class ExactDot:
    """The exact fused dot product of CDNA1 (model E): `products` (1 to 16) and c, one rounding to nearest even."""

    products: int

    def __post_init__(self) -> None:
        check_integers(self, "products")
        if not 1 <= self.products <= 16:
            raise ValueError(f"an exact step has 1..16 products, got {self.products}")


@dataclass(frozen=True)
class FlushedDot:
    """Binary32 products and sums of CDNA2 (model FTZ): 2 or 4 `products` added in pairs, every result flushed."""

    products: int

    def __post_init__(self) -> None:
        check_integers(self, "products")
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
        check_integers(self, "products", "fraction_bits", "groups")
        if not 1 <= self.products <= 16 or not 10 <= self.fraction_bits <= 24:
            raise ValueError(
                f"a floored step has 1..16 products and 10..24 fraction bits, got {self.products} and {self.fraction_bits}"
            )
        if self.groups not in (1, 2) or self.products % self.groups:
            raise ValueError(f"groups must be 1, or 2 with an even number of products, got {self.groups}")


Model = FusedDot | PairedHalves | Chain | IntegerDot | BinaryDot | ExactDot | FlushedDot | FlooredDot
