"""TPU matrix units: bfloat16, int8 and FP8 products in a systolic array; float32 by bfloat16 terms is a GEMM order.

Google publishes the side of the array (128 up to v5p, 256 from v6e), bfloat16 products with float32 accumulation and
int8 with int32; the order inside the array and the roundings there are not published and are policies. Float32
operands at precision HIGH and HIGHEST are sums of three and six bfloat16 products:
`matmul(..., unit="tpu-v5p/bf16", gemm="bf16x3")` and `"bf16x6"`. Sources: Cloud TPU system architecture pages; OpenXLA.
"""

from __future__ import annotations

from collections.abc import Iterator

from chipmeter.evidence import Evidence
from chipmeter.matmul.units import Chain, IntegerDot, Unit

_BF16 = Evidence(
    "assumed",
    "bfloat16 products accumulated in float32 are documented (Cloud TPU system architecture); the order inside the MXU "
    "is not published",
    "2026-11",
)
_FP8 = Evidence(
    "assumed",
    "FP8 products accumulated in float32: v7 has FP8 peaks (Cloud TPU TPU7x page), earlier arrays widen to bfloat16, "
    "which is exact; the order inside the MXU is not published",
    "2026-11",
)
_INT8 = Evidence(
    "inferred",
    "int8 MXU with int32 accumulation (Cloud TPU system architecture); wrapping on overflow assumed",
    "2026-11",
)

SIDES = {"tpu-mxu-128": 128, "tpu-mxu-256": 256}

CHIPS = {
    "tpu-v2": "tpu-mxu-128", "tpu-v3": "tpu-mxu-128", "tpu-v4": "tpu-mxu-128", "tpu-v5e": "tpu-mxu-128",
    "tpu-v5p": "tpu-mxu-128", "tpu-v6e": "tpu-mxu-256", "tpu-v7": "tpu-mxu-256",
}  # fmt: skip

PREFERRED: dict[str, dict[str, str]] = {
    mxu: {"bf16": "matmul.bf16.bf16.f32.f32", "int8": "matmul.s8.s8.s32.s32", "fp8": "matmul.e4m3.e4m3.f32.f32"}
    for mxu in SIDES
}


def units() -> Iterator[Unit]:
    """Every TPU unit."""
    for mxu, side in SIDES.items():
        chain = Chain("sequential", side, policy=True)
        yield Unit(f"{mxu}/matmul.bf16.bf16.f32.f32", "bf16", "bf16", "f32", "f32", side, chain, _BF16)
        for a in ("e4m3", "e5m2"):
            for b in ("e4m3", "e5m2"):
                yield Unit(f"{mxu}/matmul.{a}.{b}.f32.f32", a, b, "f32", "f32", side, chain, _FP8)
        yield Unit(f"{mxu}/matmul.s8.s8.s32.s32", "s8", "s8", "s32", "s32", side, IntegerDot(), _INT8)
