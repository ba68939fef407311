"""Every dot product that a kernel computes, as one function on codes; a matrix product is one of them per output.

An element D[i, j] of a matrix unit depends only on row i of A, column j of B, C[i, j] and the scales of that row and
column (probed on ten GPUs by the authors of MMA-Sim), so a dot product is the whole definition.

====================================  ======  =======================================================
function                              model   used by
====================================  ======  =======================================================
`truncated_dot`                       T       NVIDIA FP16, BF16, TF32, FP8, FP6, FP4
`scaled_truncated_dot`                ST      NVIDIA kind::mxf8f6f4
`grouped_scaled_truncated_dot`        GST     NVIDIA kind::mxf4, kind::mxf4nvf4
`two_pass_truncated_dot`              -       NVIDIA FP8 mma.sync on Hopper and B200
`exact_dot`                           E       AMD CDNA1 FP16, BF16
`flushed_pairwise_dot`                FTZ     AMD CDNA2 FP16, BF16
`truncate_round_dot`                  TR      AMD CDNA3 FP16, BF16, XF32
`grouped_truncate_round_dot`          GTR     AMD CDNA3 FP8
`sequential_dot`                      FMA     FP64 and FP32 instructions of NVIDIA and AMD; a policy
`pairwise_dot`, `wide_sequential_dot` -       policies where the order is not published
`integer_dot`                         -       INT8, INT4
`binary_dot`                          -       NVIDIA b1: xor.popc, and.popc
====================================  ======  =======================================================
"""

from chipmeter.reference.amd import (
    exact_dot,
    flushed_pairwise_dot,
    grouped_truncate_round_dot,
    truncate_round_dot,
)
from chipmeter.reference.chains import binary_dot, integer_dot, pairwise_dot, sequential_dot, wide_sequential_dot
from chipmeter.reference.fused import (
    grouped_scaled_truncated_dot,
    scaled_truncated_dot,
    truncated_dot,
    two_pass_truncated_dot,
)
from chipmeter.reference.terms import CONVERSIONS, Conversion

__all__ = [
    "CONVERSIONS",
    "Conversion",
    "binary_dot",
    "exact_dot",
    "flushed_pairwise_dot",
    "grouped_scaled_truncated_dot",
    "grouped_truncate_round_dot",
    "integer_dot",
    "pairwise_dot",
    "scaled_truncated_dot",
    "sequential_dot",
    "truncate_round_dot",
    "truncated_dot",
    "two_pass_truncated_dot",
    "wide_sequential_dot",
]
