"""Recordings of number-format and quantisation libraries: which rule emulates which operation, as a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from chipmeter.verify import (
    blockwise,
    elementwise,
    float_blocks,
    ggml,
    integers,
    microxcaling,
    nvfp4,
    placement,
    scales,
)
from chipmeter.verify.case import Case
from chipmeter.verify.compare import Emulated, UnsupportedError, compare
from chipmeter.verify.layout import QuantisationIndex, Recording
from chipmeter.verify.report import Row

Rule = Callable[[Case], Emulated]

_TE = "TransformerEngine"
RULES: dict[tuple[str, str], Rule] = {
    ("ml_dtypes", "ndarray.astype"): elementwise.astype,
    ("numpy", "ndarray.astype"): elementwise.astype,
    ("torch", "Tensor.to (CPU eager)"): elementwise.astype,
    ("numpy", "ndarray.astype(float32)"): elementwise.widen,
    ("torch", "Tensor.to(float32)"): elementwise.widen,
    ("ml_dtypes", "view(dtype).astype(float32)"): elementwise.decode_codes,
    ("torch", "view(dtype).to(float32)"): elementwise.decode_codes,
    ("torchao", "f4_unpacked_to_f32"): elementwise.decode_codes,
    ("torchao", "f6_e2m3_unpacked_to_f32"): elementwise.decode_codes,
    ("torchao", "f6_e3m2_unpacked_to_f32"): elementwise.decode_codes,
    ("gfloat", "decode_float"): elementwise.decode_codes,
    ("gfloat", "encode_ndarray(round_ndarray())"): elementwise.gfloat,
    ("gfloat", "round_ndarray (float32 bits of the rounded value)"): elementwise.gfloat,
    ("CPFloat", "cpfloatf (float32 bits of the rounded value)"): elementwise.cpfloat,
    ("microxcaling", "_quantize_elemwise (float32 bits)"): microxcaling.elementwise,
    ("torchao", "optim.quant_utils._fp32_to_bf16_sr"): elementwise.torchao_bf16,
    (_TE, "ptx::float_to_e8m0, the non-Blackwell branch compiled for the host"): elementwise.e8m0_up,
    (_TE, "ptx::exp2f"): elementwise.e8m0_values,
    (_TE, "ptx::exp2f_rcp<float>"): elementwise.e8m0_reciprocals,
    ("bitsandbytes", "get_4bit_type"): integers.bnb_table,
    ("torchao", "to_mx"): blockwise.torchao_mx,
    ("torchao", "to_dtype(to_mx)"): blockwise.torchao_mx,
    ("torchao-main", "to_mx"): blockwise.torchao_mx,
    ("torchao-main", "to_dtype(to_mx)"): blockwise.torchao_mx,
    (
        "gfloat",
        "quantize_block(compute_scale_amax) on float64 input, result rounded to float32 bits",
    ): blockwise.gfloat_mx,
    ("microxcaling", "_quantize_mx (float32 bits of the dequantised result)"): microxcaling.blocks,
    ("microxcaling", "_quantize_mx"): microxcaling.blocks,
    ("aws-neuron-sdk", "quantize_mx_golden"): scales.trainium,
    ("torchao", "nvfp4_quantize"): nvfp4.torchao,
    ("torchao-main", "nvfp4_quantize"): nvfp4.torchao,
    ("torchao", "per_tensor_amax_to_scale(amax)"): nvfp4.torchao_tensor_scale,
    ("torchao-main", "per_tensor_amax_to_scale(amax)"): nvfp4.torchao_tensor_scale,
    (_TE, "stochastic_round_fp4_e2m1 (float32 bits of an e2m1 value)"): elementwise.te_jitter,
    (_TE, "NVFP4QuantizerRef._quantize_blockwise_reference"): nvfp4.transformer_engine,
    ("nvidia-modelopt", "NVFP4QTensor.quantize"): nvfp4.modelopt,
    ("nvidia-modelopt", "NVFP4QTensor block scale (e4m3)"): nvfp4.modelopt,
    ("nvidia-modelopt", "NVFP4QTensor global scale"): nvfp4.modelopt,
    ("DeepGEMM", "deep_gemm.utils.math.per_token_cast_to_fp8"): float_blocks.deepgemm,
    ("DeepGEMM", "deep_gemm.utils.math.per_token_cast_to_fp4"): float_blocks.deepgemm,
    ("DeepGEMM", "deep_gemm.utils.math.per_channel_cast_to_fp8"): float_blocks.deepgemm,
    ("DeepGEMM", "deep_gemm.utils.math.per_block_cast_to_fp8"): float_blocks.deepgemm,
    ("DeepGEMM", "per_token_cast_to_fp4"): float_blocks.deepgemm,
    ("DeepGEMM", "ceil_to_ue8m0"): float_blocks.ceil_to_ue8m0,
    (_TE, "tests BlockwiseQuantizerReference.quantize"): float_blocks.transformer_engine,
    (_TE, "BlockwiseQuantizerReference.quantize"): float_blocks.transformer_engine,
    ("torchao", "choose_qparams_affine"): integers.torchao_affine,
    ("torchao", "quantize_affine"): integers.torchao_affine,
    ("torchao", "dequantize_affine"): integers.torchao_affine,
    ("bitsandbytes", "functional.quantize_4bit (CPU)"): integers.bnb_4bit,
    ("bitsandbytes", "quantize_4bit absmax"): integers.bnb_4bit,
    ("bitsandbytes", "functional.dequantize_4bit (CPU)"): integers.bnb_4bit,
    ("torchao", "NF4Tensor.from_tensor"): integers.torchao_nf4,
    ("torchao", "NF4Tensor quantized_scalers (int8)"): integers.torchao_nf4,
    ("torchao", "NF4Tensor quantization_factor"): integers.torchao_nf4,
    ("torchao", "NF4Tensor scaler_mean"): integers.torchao_nf4,
    ("gguf", "gguf.quants.quantize"): ggml.blocks,
    ("gguf", "gguf.quants.dequantize"): ggml.blocks,
    ("gguf", "NVFP4.fp32_to_ue4m3"): ggml.ue4m3,
    ("gguf", "NVFP4.ue4m3_to_fp32 (value halved)"): ggml.ue4m3,
    ("gguf", "MXFP4.e8m0_to_fp32_half (value halved)"): ggml.e8m0,
    (_TE, "compute_scale_from_amax, host compile"): scales.te_multiplier,
    (
        "compressed-tensors",
        "generate_mx_scales (float result cast to int, before clamping to uint8)",
    ): scales.compressed_tensors,
    ("nvidia-modelopt", "MXFP4QTensor.quantize"): scales.modelopt_mx,
    ("nvidia-modelopt", "MXFP4QTensor.quantize scale (biased E8M0)"): scales.modelopt_mx,
    ("nvidia-modelopt", "MXFP8QTensor.get_weights_scaling_factor"): scales.modelopt_mx,
    ("nvidia-modelopt", "MXFP8QTensor.quantize_with_scale"): scales.modelopt_mx,
    ("aws-neuron-sdk", "inverse of get_p_contiguous_scale (checked by round trip)"): scales.trainium_placement,
    ("ml_dtypes", "ndarray.astype of where(isfinite & |x|<2^31, x, 0)"): scales.ml_dtypes_int4,
    ("compressed-tensors", "pack_to_int32"): placement.packed_int32,
    ("torchao", "to_blocked(arange(1..m*k).reshape(m,k))"): placement.blocked_scales,
    ("torchao-main", "to_blocked(arange(1..m*k).reshape(m,k))"): placement.blocked_scales,
}
"""Library and operation, as the index names them, and the function that emulates it."""


def quantisation_rows(recording: Recording, index: QuantisationIndex) -> Iterator[Row]:
    """Verify one output array after another."""
    for name, file in index.files.items():
        for key, entry in file.arrays.items():
            if entry.role != "input":
                yield _row(Case(recording.archive(name), file.arrays, key))


def _row(case: Case) -> Row:
    entry = case.entry
    recorded = case.recorded()
    try:
        rule = RULES.get((entry.library, entry.op))
        if rule is None:
            raise UnsupportedError(f"no rule for {entry.op!r} of {entry.library or 'an unnamed library'!r}")
        emulated = rule(case)
    except ValueError as error:
        raise ValueError(f"{case.archive.path}: array {case.key!r}: {error}") from error
    except UnsupportedError as error:
        return Row(case.name, 0, 0, math.prod(entry.shape), f"not supported: {error}")
    return compare(case.name, emulated, recorded)
