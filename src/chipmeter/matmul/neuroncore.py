"""NeuronCore v2, v3 and v4: the TensorE's operand types, tiles and what is left to policies.

AWS publishes operand types, float32 accumulation, tiles of 128 rows (256 in double_row, 512 in MX) and the addition of
each tile to PSUM in program order. Order and rounding inside the column, the passes of a float32 product, the sum
inside a processing element and where an MX scale enters are not published: they are policies, and
`matmul(..., order=)` chooses. Sources: aws-neuron-sdk at 81ce03ae (NKI ISA nc_matmul and nc_matmul_mx, architecture
guides, MX deep dive), read 2026-08.
"""

from __future__ import annotations

from collections.abc import Iterator

from chipmeter.evidence import Evidence
from chipmeter.matmul.units import Chain, Unit

_DATE = "2026-08"
_COLUMN = Evidence(
    "assumed",
    "float32 accumulation per 128-row tile and PSUM addition in program order are documented (aws-neuron-sdk, NKI ISA "
    "nc_matmul); order and rounding inside the column are not published",
    _DATE,
)
_FP32 = Evidence(
    "assumed",
    "float32 operands at a quarter of the bf16 rate are documented (NKI ISA nc_matmul); how the passes split the "
    "operands is not published: true float32 products assumed",
    _DATE,
)
_DOUBLE_ROW = Evidence(
    "assumed",
    "double_row: K = 256, two pairs per processing element, float32 accumulation (NKI ISA nc_matmul, Trainium2 guide); "
    "whether the pair's sum is rounded by itself is not published",
    _DATE,
)
_E3M4 = Evidence(
    "assumed",
    "float8_e3m4 is listed for the TensorE of v2 and v3 (aws-neuron-sdk data types); bias 3 and infinities as IEEE "
    "inferred, column as for the other types",
    _DATE,
)
_MX = Evidence(
    "assumed",
    "operands dequantised to float32 and accumulated in float32, as AWS's own golden model does (aws-neuron-sdk "
    "mxfp-matmul); where the scale enters on the device is not published",
    _DATE,
)

ROWS = 128
"""Rows of the array: elements of K per pass, times two in double_row and times four in MX."""

_FP8 = {
    "neuroncore-v2": (("e4m3ieee", "e5m2"), ("e3m4",)),
    "neuroncore-v3": (("e4m3ieee", "e5m2"), ("e3m4",)),
    "neuroncore-v4": (("e4m3", "e5m2"), ("e4m3ieee", "e5m2")),
}
"""8-bit operand types that may be mixed with one another, by core: OCP e4m3 and the legacy one (largest 240) may not."""

CHIPS = {"trn1": "neuroncore-v2", "inf2": "neuroncore-v2", "trn2": "neuroncore-v3", "trn3": "neuroncore-v4"}

_SHARED = {
    f: f"matmul.{t}.{t}.f32.f32" for f, t in (("bf16", "bf16"), ("fp16", "f16"), ("tf32", "tf32"), ("fp32", "f32"))
}
PREFERRED: dict[str, dict[str, str]] = {
    "neuroncore-v2": {**_SHARED, "fp8": "matmul.e4m3ieee.e4m3ieee.f32.f32"},
    "neuroncore-v3": {**_SHARED, "fp8": "matmul-double-row.e4m3ieee.e4m3ieee.f32.f32"},
    "neuroncore-v4": {
        **_SHARED,
        "fp8": "matmul-double-row.e4m3.e4m3.f32.f32",
        "fp8-240": "matmul-double-row.e4m3ieee.e4m3ieee.f32.f32",
        "mxfp8": "matmul-mx.e4m3.e4m3.f32.f32",
        "mxfp4": "matmul-mx.e2m1.e2m1.f32.f32",
    },
}


def _unit(core: str, family: str, a: str, b: str, lanes: int, evidence: Evidence, scale: str | None = None) -> Unit:
    chain = Chain("sequential", ROWS * lanes, policy=True, lanes=lanes)
    name = f"{core}/{family}.{a}.{b}.f32.f32"
    return Unit(name, a, b, "f32", "f32", ROWS * lanes, chain, evidence, scale, 32 if scale else 0)


def units() -> Iterator[Unit]:
    """Every NeuronCore unit."""
    for core, groups in _FP8.items():
        for t in ("bf16", "f16", "tf32"):
            yield _unit(core, "matmul", t, t, 1, _COLUMN)
        yield _unit(core, "matmul", "f32", "f32", 1, _FP32)
        pairs = dict.fromkeys((a, b) for group in groups for a in group for b in group)
        for a, b in pairs:
            yield _unit(core, "matmul", a, b, 1, _E3M4 if a == "e3m4" else _COLUMN)
        for a, b in pairs:
            if core != "neuroncore-v2" and a != "e3m4":
                yield _unit(core, "matmul-double-row", a, b, 2, _DOUBLE_ROW)
    for a in ("e4m3", "e5m2", "e2m1"):
        for b in ("e4m3", "e5m2", "e2m1"):
            yield _unit("neuroncore-v4", "matmul-mx", a, b, 4, _MX, "ue8m0")
