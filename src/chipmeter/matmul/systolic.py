"""Systolic arrays (NeuronCore, TPU MXU) and plain CPU arithmetic.

AWS and Google publish the operand and accumulator types of their arrays, not the order and rounding inside a column.
Those are policies here: a documented default that `matmul(..., order=)` replaces. Sources: aws-neuron-sdk (NKI ISA
nc_matmul and nc_matmul_mx, architecture guides), Google Cloud TPU system architecture pages.
"""

from __future__ import annotations

from collections.abc import Iterator

from chipmeter.evidence import Evidence
from chipmeter.matmul.units import Chain, IntegerDot, Unit

_NEURON = Evidence(
    "assumed",
    "float32 accumulation per 128-row tile and PSUM addition in program order are documented (aws-neuron-sdk, NKI ISA "
    "nc_matmul); order and rounding inside the column are not published",
    "2026-08",
)
_NEURON_MX = Evidence(
    "assumed",
    "operands dequantised to float32 and accumulated in float32, as AWS's own golden model does (aws-neuron-sdk "
    "mxfp-matmul); where the scale enters on the device is not published",
    "2026-08",
)
_TPU = Evidence(
    "assumed",
    "bfloat16 products accumulated in float32 are documented (Cloud TPU system architecture); the order inside the MXU "
    "is not published",
    "2026-11",
)
_TPU_INT8 = Evidence(
    "inferred", "int8 MXU with int32 accumulation (Cloud TPU system architecture); wrapping on overflow assumed"
)
_IEEE = Evidence("documented", "IEEE 754-2019 fusedMultiplyAdd, k ascending: the order is this unit's definition")

_GENERATIONS = {
    # operands of the TensorE by NeuronCore generation: format name, operand type, rows of K per pass
    "neuroncore-v2": (("bf16", "bf16", 128), ("fp16", "f16", 128), ("tf32", "tf32", 128), ("fp8", "e4m3ieee", 128)),
    "neuroncore-v3": (("bf16", "bf16", 128), ("fp16", "f16", 128), ("tf32", "tf32", 128), ("fp8", "e4m3ieee", 256)),
    "neuroncore-v4": (("bf16", "bf16", 128), ("fp16", "f16", 128), ("tf32", "tf32", 128), ("fp8", "e4m3", 256)),
}
_MXUS = {"tpu-mxu-128": 128, "tpu-mxu-256": 256}

CHIPS = {
    "trn1": "neuroncore-v2", "inf2": "neuroncore-v2", "trn2": "neuroncore-v3", "trn3": "neuroncore-v4",
    "tpu-v2": "tpu-mxu-128", "tpu-v3": "tpu-mxu-128", "tpu-v4": "tpu-mxu-128", "tpu-v5e": "tpu-mxu-128",
    "tpu-v5p": "tpu-mxu-128", "tpu-v6e": "tpu-mxu-256", "tpu-v7": "tpu-mxu-256", "cpu": "ieee",
}  # fmt: skip

PREFERRED: dict[str, dict[str, str]] = {
    **{g: {f: f"matmul.{t}.{t}.f32.f32" for f, t, _ in rows} for g, rows in _GENERATIONS.items()},
    **{
        m: {"bf16": "matmul.bf16.bf16.f32.f32", "int8": "matmul.s8.s8.s32.s32", "fp8": "matmul.e4m3.e4m3.f32.f32"}
        for m in _MXUS
    },
    "ieee": {"fp32": "fma.f32.f32.f32.f32", "fp64": "fma.f64.f64.f64.f64"},
}
PREFERRED["neuroncore-v4"] |= {"mxfp8": "matmul-mx.e4m3.e4m3.f32.f32", "mxfp4": "matmul-mx.e2m1.e2m1.f32.f32"}


def units() -> Iterator[Unit]:
    """Every unit of a systolic array, and the IEEE chains."""
    for core, rows in _GENERATIONS.items():
        for _, t, tile in rows:
            chain = Chain("sequential", tile, policy=True)
            yield Unit(f"{core}/matmul.{t}.{t}.f32.f32", t, t, "f32", "f32", tile, chain, _NEURON)
        chain = Chain("sequential", rows[-1][2], policy=True)
        yield Unit(f"{core}/matmul.e5m2.e5m2.f32.f32", "e5m2", "e5m2", "f32", "f32", rows[-1][2], chain, _NEURON)
    for a in ("e4m3", "e5m2", "e2m1"):
        for b in ("e4m3", "e5m2", "e2m1"):
            chain = Chain("sequential", 512, policy=True)
            name = f"neuroncore-v4/matmul-mx.{a}.{b}.f32.f32"
            yield Unit(name, a, b, "f32", "f32", 512, chain, _NEURON_MX, "ue8m0", 32)
    for mxu, tile in _MXUS.items():
        chain = Chain("sequential", tile, policy=True)
        yield Unit(f"{mxu}/matmul.bf16.bf16.f32.f32", "bf16", "bf16", "f32", "f32", tile, chain, _TPU)
        yield Unit(f"{mxu}/matmul.e4m3.e4m3.f32.f32", "e4m3", "e4m3", "f32", "f32", tile, chain, _TPU)
        yield Unit(f"{mxu}/matmul.e5m2.e5m2.f32.f32", "e5m2", "e5m2", "f32", "f32", tile, chain, _TPU)
        yield Unit(f"{mxu}/matmul.s8.s8.s32.s32", "s8", "s8", "s32", "s32", tile, IntegerDot(), _TPU_INT8)
    for t in ("f32", "f64"):
        yield Unit(f"ieee/fma.{t}.{t}.{t}.{t}", t, t, t, t, 1, Chain(), _IEEE)
