"""Matrix units as plain frozen records: what is multiplied, in which model, with which parameters, and how we know."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

from chipmeter.evidence import Evidence
from chipmeter.matmul.models import (
    TRUNCATED,
    BinaryDot,
    Chain,
    ExactDot,
    FlooredDot,
    FlushedDot,
    FusedDot,
    IntegerDot,
    Model,
    Order,
    Output,
    PairedHalves,
    check_integers,
)

__all__ = [
    "INTEGERS",
    "OPERANDS",
    "SCALES",
    "TRUNCATED",
    "BinaryDot",
    "Chain",
    "ExactDot",
    "FlooredDot",
    "FlushedDot",
    "FusedDot",
    "IntegerDot",
    "Model",
    "Order",
    "Output",
    "PairedHalves",
    "Unit",
]

OPERANDS = {
    "f64": "float64", "f32": "float32", "tf32": "tf32", "f16": "float16", "bf16": "bfloat16",
    "e5m2": "float8_e5m2", "e4m3": "float8_e4m3fn", "e4m3ieee": "float8_e4m3", "e3m4": "float8_e3m4",
    "e4m3fnuz": "float8_e4m3fnuz", "e5m2fnuz": "float8_e5m2fnuz",
    "e3m2": "float6_e3m2fn", "e2m3": "float6_e2m3fn", "e2m1": "float4_e2m1fn",
    "s8": "int8", "u8": "uint8", "s4": "int4", "u4": "uint4", "b1": "bool", "s32": "int32",
}  # fmt: skip
"""Operand types by the names instructions give them, and the dtype (or format) that holds each."""

INTEGERS = frozenset({"s8", "u8", "s4", "u4"})
"""Operand types of `IntegerDot`."""

_NOT_FLOATS = INTEGERS | {"b1", "s32"}

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
    model : Model
        One of the records of `chipmeter.matmul.models`.
    evidence : Evidence
    scale : str, optional
        Type of the block scales, "ue8m0" or "ue4m3".
    scale_block : int
        Elements of K per scale; 0: unscaled.

    Raises
    ------
    TypeError, ValueError
        For fields of the wrong type, and if they contradict each other.

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
        if not isinstance(self.model, get_args(Model)):
            given = self.model if isinstance(self.model, str) else type(self.model).__name__
            raise TypeError(
                f"unit {self.name!r}: model must be one of {', '.join(m.__name__ for m in get_args(Model))}, got {given!r}"
            )
        if not isinstance(self.evidence, Evidence):
            raise TypeError(f"unit {self.name!r}: evidence must be an Evidence, got {type(self.evidence).__name__}")
        check_integers(self, "k", "scale_block")
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
                    not operands & ({"f64", "f32"} | _NOT_FLOATS),
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
                need(not operands & _NOT_FLOATS, "a chain takes floats")
                misfit = self._misfit(self.model, self.model.order)
                need(misfit is None, str(misfit))
            case ExactDot() | FlushedDot() | FlooredDot():
                need(
                    not operands & ({"f64", "f32"} | _NOT_FLOATS) and accumulators == {"f32"} and self.scale is None,
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
                    operands <= INTEGERS and accumulators == {"s32"} and self.scale is None,
                    f"integer operands ({', '.join(sorted(INTEGERS))}), unscaled, go with an s32 accumulator",
                )
            case BinaryDot():
                need(
                    operands == {"b1"} and accumulators == {"s32"} and self.scale is None,
                    "b1 operands, unscaled, go with an s32 accumulator",
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
        if not isinstance(order, str) or order not in self.orders:
            raise ValueError(f"{self.name} takes the orders {', '.join(self.orders)}, got {order!r}")
        assert isinstance(self.model, Chain)
        return replace(self, model=replace(self.model, order=order))
