# Types of the doors to the C kernels; arrays are C-contiguous, outputs are written in place.

from typing import Any, Self, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

_F32: TypeAlias = NDArray[np.float32]
_F64: TypeAlias = NDArray[np.float64]
_U8: TypeAlias = NDArray[np.uint8]
_U16: TypeAlias = NDArray[np.uint16]
_U32: TypeAlias = NDArray[np.uint32]
_I32: TypeAlias = NDArray[np.int32]
_Pair: TypeAlias = tuple[int, int]

# tiers
def tiers() -> tuple[str, ...]: ...
def active_tier() -> str: ...
def use_tier(name: str) -> None: ...
def compiler() -> str: ...

# formats
@final
class EncodeSpec:
    def __init__(
        self,
        mantissa_bits: int,
        min_exponent: int,
        max_code: int,
        shift: int,
        sign: _Pair,
        zero: _Pair,
        overflow: _Pair,
        infinity: _Pair,
        nan: _Pair,
        nan_payload: int,
        negative: int,
        has_sign: bool,
        rounding: int,
        random_bits: int,
    ) -> None: ...

@final
class E8M0Spec:
    def __init__(
        self, rule: int, ignore_sign: bool, zero: int, negative: int, overflow: int, infinity: int, nan: int
    ) -> None: ...

@final
class DecodeSpec:
    def __init__(
        self,
        bits: int,
        mantissa_bits: int,
        bias: int,
        has_sign: bool,
        max_code: int,
        infinity_code: int,
        fnuz: bool,
        zero_bits: int,
    ) -> None: ...

def encode_f32_u8(
    x: _F32, codes: _U8, spec: EncodeSpec, words: _U32 | None, seed: int, offset: int, rule: int = 0
) -> None: ...
def encode_f32_u16(
    x: _F32, codes: _U16, spec: EncodeSpec, words: _U32 | None, seed: int, offset: int, rule: int = 0
) -> None: ...
def encode_f32_u32(
    x: _F32, codes: _U32, spec: EncodeSpec, words: _U32 | None, seed: int, offset: int, rule: int = 0
) -> None: ...
def encode_f64_u8(
    x: _F64, codes: _U8, spec: EncodeSpec, words: _U32 | None, seed: int, offset: int, rule: int = 0
) -> None: ...
def encode_f64_u16(
    x: _F64, codes: _U16, spec: EncodeSpec, words: _U32 | None, seed: int, offset: int, rule: int = 0
) -> None: ...
def encode_f64_u32(
    x: _F64, codes: _U32, spec: EncodeSpec, words: _U32 | None, seed: int, offset: int, rule: int = 0
) -> None: ...
def encode_f32_e8m0(x: _F32, codes: _U8, spec: E8M0Spec) -> None: ...
def encode_f64_e8m0(x: _F64, codes: _U8, spec: E8M0Spec) -> None: ...
def decode_u8_f32(codes: _U8, x: _F32, spec: DecodeSpec) -> None: ...
def decode_u16_f32(codes: _U16, x: _F32, spec: DecodeSpec) -> None: ...
def philox(words: _U32, seed: int, offset: int) -> None: ...

# quantize
def amax_f32(x: _F32) -> int: ...
def hadamard_f32(x: _F32, y: _F32, signs: int, inverse: bool) -> None: ...

@final
class TileSpec:
    def __init__(
        self,
        scale: int,
        element_kind: int,
        *,
        max_exponent: int = 0,
        carry_from: int = 0,
        carry_overflows: bool = False,
        limit: float = 1,
        smallest: float = 0,
        power_of_two: bool = False,
        tensor: float = 1,
        scale_min: float = 0,
        scale_max: float = 0,
        zero_scale: int = 0,
        adaptive: int = 0,
        tensor_amax: float = 0,
        top: float = 1,
        scale_encode: EncodeSpec | None = None,
        scale_decode: DecodeSpec | None = None,
        element: EncodeSpec | None = None,
        ties_to_zero: bool = False,
        zeros: int = 0,
        unit: float = 1,
        low: int = 0,
        high: int = 0,
        zero_point: int = 0,
        midpoints: _F32 | None = None,
        nan_code: int = 0,
    ) -> None: ...

def tiles_f32(
    x: _F32,
    codes: _U8,
    scales: _U8 | _F32,
    zeros: _I32 | None,
    amax: _U32 | None,
    rows: int,
    columns: int,
    spec: TileSpec,
) -> None: ...

# dequantize
@final
class ValueSpec:
    def __init__(
        self,
        kind: int,
        bits: int,
        packed: bool,
        two_level: bool,
        tensor_scale: float,
        unit: float,
        table: tuple[float, ...] | None,
        format: DecodeSpec | None,
    ) -> None: ...

@final
class Grid:
    def __init__(self, n: int, run: int, length: int, repeat: int, middle: int) -> None: ...

def dequantize(
    codes: _U8, scales: _F32, zeros: _F32 | None, x: _F32, begin: int, end: int, grid: Grid, spec: ValueSpec
) -> None: ...
def measure(
    x: _F32,
    codes: _U8,
    scales: _F32,
    zeros: _F32 | None,
    begin: int,
    end: int,
    grid: Grid,
    spec: ValueSpec,
    chunk_lines: int,
    segment: int,
    low: float,
    high: float,
    given: _F32 | None,
    sums: _F64,
    counts: NDArray[np.uint64],
    octaves: NDArray[np.uint64],
) -> None: ...
def tiles_measured(
    x: _F32,
    codes: _U8,
    scales: NDArray[Any],
    zeros: _I32 | None,
    block: int,
    spec: TileSpec,
    value: ValueSpec,
    scale_table: _F32 | None,
    begin: int,
    end: int,
    chunk_lines: int,
    segment: int,
    low: float,
    high: float,
    sums: _F64,
    counts: NDArray[np.uint64],
    octaves: NDArray[np.uint64],
) -> None: ...
def pack(codes: _U8, packed: _U8, bits: int) -> None: ...
def transpose_u8(source: _U8, target: _U8) -> None: ...
def transpose_u32(source: _U32, target: _U32) -> None: ...

# floating-point environment
@final
class ieee_environment:
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: object, value: object, traceback: object) -> None: ...

# matmul
def pack_rows(x: _F32, min_exponent: int, value: _F32, exponent: _I32, flag: _U8) -> None: ...
def pack_panels(x: _F32, min_exponent: int, value: _F32, exponent: _I32, flag: _U8) -> None: ...
def fused(
    a: tuple[_F32, _I32, _U8],
    b: tuple[_F32, _I32, _U8],
    c: _F32 | None,
    c_min_exponent: int,
    d: _F32,
    a_mantissa: int,
    b_mantissa: int,
    fused_products: int,
    fraction_bits: int,
    floor_exponent: int,
    output: int,
    group: int,
    scale_block: int,
    scale_fraction: int,
    scale_a: tuple[_I32, _I32] | None,
    scale_b: tuple[_I32, _I32] | None,
    row_begin: int,
    row_end: int,
) -> None: ...

@final
class CodeSpec:
    def __init__(
        self,
        shift: int,
        mantissa_bits: int,
        bias: int,
        magnitude_bits: int,
        max_code: int,
        infinity_code: int,
        fnuz: bool,
    ) -> None: ...

def exponents_within(x: _U8 | _U16 | _U32, spec: CodeSpec, limit: int) -> bool: ...
def panels_of(x: NDArray[np.unsignedinteger], out: NDArray[np.unsignedinteger]) -> None: ...
def code_panels(x: _U8 | _U16, code: DecodeSpec, out: _F32) -> None: ...

@final
class FusedCodes:
    def __init__(
        self,
        a: _U8 | _U16 | _U32,
        a_spec: CodeSpec,
        b: _U8 | _U16 | _U32,
        b_spec: CodeSpec,
        c: _F32 | None,
        c_min_exponent: int,
        d: _F32,
        padded: int,
        fused_products: int,
        fraction_bits: int,
        floor_exponent: int,
        output: int,
        way: int,
        scale_block: int,
        a_scales: _U8 | None,
        b_scales: _U8 | None,
        left: _U8,
        left_rows: _U8,
    ) -> None: ...
    def workspace(self) -> int: ...
    def run(self, row_begin: int, row_end: int, workspace: _U8) -> None: ...

def integer_products() -> int: ...
def grouped_workspace() -> int: ...
def grouped(
    a: _U8,
    b: _U8,
    scales_a: _U8,
    scales_b: _U8,
    scale_block: int,
    scale_fraction: int,
    fraction_bits: int,
    c: _F32 | None,
    d: _F32,
    left: _U8,
    left_rows: _U8,
    row_begin: int,
    row_end: int,
    workspace: _U8,
) -> None: ...
def chain_f32(
    a: _F32 | _U8 | _U16,
    code: DecodeSpec | None,
    room: _F32 | None,
    b: _F32,
    c: _F32 | None,
    d: _F32,
    tile: int,
    order: int,
    rounding: int,
    row_begin: int,
    row_end: int,
) -> None: ...
def chain_f64(
    a: _F64, b: _F64, c: _F64 | None, d: _F64, tile: int, order: int, rounding: int, row_begin: int, row_end: int
) -> None: ...
def fma_f32(x: _F32, y: _F32, z: _F32, out: _F32) -> None: ...
def policy(
    a: _F32, b: _F32, c: _F32 | None, d: _F32, tile: int, lanes: int, policy: int, row_begin: int, row_end: int
) -> None: ...
def integer_workspace() -> int: ...
def integer(
    a: _U8,
    a_signed: bool,
    b: _U8,
    b_signed: bool,
    c: _I32 | None,
    d: _I32,
    clamp: int,
    row_begin: int,
    row_end: int,
    workspace: _U8,
) -> None: ...
def binary_workspace() -> int: ...
def binary(
    a: _U8, b: _U8, c: _I32 | None, d: _I32, both: bool, row_begin: int, row_end: int, workspace: _U8
) -> None: ...
def lanes_workspace() -> int: ...
def lanes(
    model: str,
    a: _U8 | _U16 | _U32,
    a_spec: CodeSpec,
    b: _U8 | _U16 | _U32,
    b_spec: CodeSpec,
    c: _F32 | None,
    d: _F32,
    padded: int,
    products: int,
    instruction: int,
    fraction_bits: int,
    groups: int,
    row_begin: int,
    row_end: int,
    workspace: _U8,
) -> None: ...

# collectives
def reduce(
    inputs: _U8,
    outputs: _U8,
    steps: _I32,
    depth: int,
    segments: NDArray[np.int64],
    begin: int,
    end: int,
    type: int,
    op: int,
    wide: bool,
    scaling: int,
    scale: float,
    divisor: int,
    encode: EncodeSpec | None,
    decode: DecodeSpec | None,
    seed: int,
    stream: bool,
    scratch: _U8,
) -> None: ...
