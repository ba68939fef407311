"""Plain IEEE 754 arithmetic: chains of fused multiply-adds, the units that are their own definition."""

from __future__ import annotations

from collections.abc import Iterator

from chipmeter.evidence import Evidence
from chipmeter.matmul.units import Chain, Unit

_IEEE = Evidence("documented", "IEEE 754-2019 fusedMultiplyAdd, k ascending: the order is this unit's definition")

CHIPS = {"cpu": "ieee"}
PREFERRED: dict[str, dict[str, str]] = {
    "ieee": {
        "fp32": "fma.f32.f32.f32.f32", "fp64": "fma.f64.f64.f64.f64",
        "bf16": "fma.bf16.bf16.f32.f32", "fp16": "fma.f16.f16.f32.f32",
    }
}  # fmt: skip


def units() -> Iterator[Unit]:
    """Every IEEE unit."""
    for t, d in (("f32", "f32"), ("f64", "f64"), ("bf16", "f32"), ("f16", "f32")):
        yield Unit(f"ieee/fma.{t}.{t}.{d}.{d}", t, t, d, d, 1, Chain(), _IEEE)
