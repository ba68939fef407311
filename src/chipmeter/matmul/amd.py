"""AMD matrix cores: the rows whose arithmetic is an IEEE chain or an exact integer sum.

Sources: MMA-Sim 2.1.1 (its authors' comparisons on MI100, MI250X and MI300X). The fused models of the 16-bit and
8-bit floating-point rows are not records here yet, so those rows are unknown names rather than wrong numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

from chipmeter.evidence import Evidence
from chipmeter.matmul.units import Chain, IntegerDot, Unit

_MMASIM = Evidence("inferred", "MMA-Sim 2.1.1: its authors' randomised comparisons on the device", "2026-10")
_WRAP = Evidence("inferred", "v_mfma_i32 with an s32 accumulator; no clamp modifier in the published encoding")

CHIPS = {"mi100": "cdna1", "mi250x": "cdna2", "mi300x": "cdna3", "mi325x": "cdna3"}
PREFERRED: dict[str, dict[str, str]] = {
    "cdna1": {"fp32": "mfma.f32.f32.f32.f32", "int8": "mfma.s8.s8.s32.s32"},
    "cdna2": {"fp32": "mfma.f32.f32.f32.f32", "fp64": "mfma.f64.f64.f64.f64", "int8": "mfma.s8.s8.s32.s32"},
    "cdna3": {"fp32": "mfma.f32.f32.f32.f32", "fp64": "mfma.f64.f64.f64.f64", "int8": "mfma.s8.s8.s32.s32"},
}


def units() -> Iterator[Unit]:
    """Every AMD unit."""
    for arch, names in PREFERRED.items():
        for name in names.values():
            t, c = name.split(".")[1], name.split(".")[3]
            integer = t == "s8"
            model, evidence = (IntegerDot(), _WRAP) if integer else (Chain(), _MMASIM)
            yield Unit(f"{arch}/{name}", t, t, c, c, 16 if integer else 4, model, evidence)
