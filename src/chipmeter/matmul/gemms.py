"""GEMM orders people know, by name, with their evidence."""

from __future__ import annotations

from chipmeter._names import unknown_name
from chipmeter.evidence import Evidence
from chipmeter.matmul.orders import Bf16Terms, Epilogue, Gemm, Ozaki, Promote

_CUBLASLT = Evidence(
    "inferred", "mmaemu 0.1.0: cuBLASLt 12.8.3 on an H100 PCIe and an RTX 4060, one chain unless split", "2026"
)
_XLA = Evidence(
    "inferred",
    "OpenXLA's Triton emitter: terms by rounding, smallest products first, one accumulator per block of K; one for all of "
    "K here. What the TPU compiler emits is not published",
    "2026-11",
)
_X9 = Evidence(
    "assumed", "CUBLAS_COMPUTE_32F_EMULATED_16BFX9 publishes neither term order nor scaling; OpenXLA's order taken"
)
_DEEPGEMM = Evidence(
    "inferred", "DeepGEMM source (54e2261), sm_90; contraction to one FFMA assumed, as nvcc does by default"
)
_OZAKI = Evidence("inferred", "ozIMMU source (80bb87a)", "2026-08")
_PSUM = Evidence("documented", "Trainium3 guide: bf16 PSUM rounds each write, and each accumulation again", "2026-08")
_PSUM_SR = Evidence(
    "assumed", "Trainium3 guide: stochastic rounding on write; its generator and bits are not published", "2026-08"
)

_LOW = ((2, 2), (1, 2), (2, 1))
_MIDDLE = ((1, 1), (2, 0), (0, 2))
_TOP = ((1, 0), (0, 1), (0, 0))

GEMMS: dict[str, Gemm] = {
    "chain": Gemm(evidence=Evidence("inferred", "CUTLASS without split-K; validated on A100, L40S and H100 (Cankaya)")),
    "cublaslt-fp8": Gemm(None, Epilogue(output="bf16"), _CUBLASLT),
    "cublaslt-fp8-accurate": Gemm(Promote(128), Epilogue(output="bf16"), _CUBLASLT),
    "deepgemm": Gemm(Promote(128, scaled=True), Epilogue(output="bf16"), _DEEPGEMM),
    "bf16x3": Gemm(Bf16Terms(2, _TOP), None, _XLA),
    "bf16x6": Gemm(Bf16Terms(3, _MIDDLE + _TOP), None, _XLA),
    "bf16x9": Gemm(Bf16Terms(3, _LOW + _MIDDLE + _TOP), None, _X9),
    "bf16x9-largest-first": Gemm(
        Bf16Terms(3, tuple(reversed(_LOW + _MIDDLE + _TOP)), clear_nan=False), None, _X9
    ),
    "ozaki": Gemm(Ozaki(), None, _OZAKI),
    "psum-bf16": Gemm(Promote(0, "overwrite", "bf16"), None, _PSUM),
    "psum-bf16-stochastic": Gemm(Promote(0, "overwrite", "bf16", "stochastic"), None, _PSUM_SR),
}  # fmt: skip
"""Orders people know, by name."""


def gemm(name: str | Gemm) -> Gemm:
    """Find a GEMM order by name; a record is returned as it is.

    Raises
    ------
    UnknownNameError
        With the nearest names.
    TypeError
        If `name` is neither a string nor a `Gemm`.

    Examples
    --------
    >>> gemm("bf16x4")
    Traceback (most recent call last):
    ...
    chipmeter._names.UnknownNameError: unknown GEMM order 'bf16x4'; did you mean 'bf16x9' or 'bf16x6' or 'bf16x3'?
    """
    if isinstance(name, Gemm):
        return name
    if not isinstance(name, str):
        raise TypeError(f"a GEMM order is named by a string or given as a Gemm record, got {type(name).__name__}")
    if name not in GEMMS:
        raise unknown_name("GEMM order", name, GEMMS)
    return GEMMS[name]
