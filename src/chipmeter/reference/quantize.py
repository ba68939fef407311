"""Block quantisation of one block: a scale from the largest magnitude, then one code per element.

Values come as float32 codes (widen bfloat16 and float16 first: that is exact). Where a library computes in float32, so
do these functions, one rounding per operation (`chipmeter.reference.ieee`).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, get_args

from chipmeter._names import unknown_name
from chipmeter.reference.ieee import divide, multiply
from chipmeter.reference.layouts import E4M3, F32, LAYOUTS
from chipmeter.reference.numbers import Layout, Overflow, Value, decode, encode, nan_code
from chipmeter.reference.rounding import Rounding, floor_log2
from chipmeter.reference.tables import IntegerLayout, encode_integer, encode_table

MxScale = Literal["floor", "ceil", "even", "round-up", "three-quarters", "headroom"]
ScaleForm = Literal["divide", "reciprocal", "multiplier"]
Nvfp4Rule = Literal["torchao", "transformer-engine"]

_NAN = nan_code(F32, False)
_INFINITY = 0x7F800000
_LARGEST = 0x7F7FFFFF
_ONE = 0x3F800000


def float32(number: Fraction | int) -> int:
    """Round a number to its float32 code, to nearest even.

    >>> hex(float32(Fraction(1, 6)))
    '0x3e2aaaab'
    """
    return encode(number, F32)


def amax_of(values: Sequence[int]) -> int:
    """Find the largest magnitude among float32 codes; any NaN makes it NaN, no values make it 0.

    >>> hex(amax_of([0x3F800000, 0xC0000000]))
    '0x40000000'
    """
    magnitudes = [value & 0x7FFFFFFF for value in values]
    largest = max(magnitudes, default=0)
    return _NAN if largest > _INFINITY else largest


def mx_scale(amax: int, element: Layout, rule: MxScale = "floor") -> int:
    """Choose the E8M0 scale byte of a block from the float32 code of its largest magnitude.

    With e and m the exponent field and the 23 fraction bits of `amax`, and emax the exponent of the element format's
    largest number, the byte is e - emax, plus 1 if

    - "floor": never (OCP MX v1.0 section 6.3);
    - "ceil": m > 0;
    - "even": m, rounded half up to the element's fraction bits, carries into the exponent (torchao);
    - "round-up": amax / largest lies above the power of two: m > fraction of the largest number (cuBLAS,
      TransformerEngine; RCEIL of torchao);
    - "three-quarters": m reaches three quarters, whatever the element (compressed-tensors);
    - "headroom": always (AWS Neuron nisa.quantize_mx since NKI 0.5),

    clamped to 0 below. A NaN or infinite amax gives 255, and so does "even" where it rounds amax up to infinity.

    Parameters
    ----------
    amax : int
        Code of a non-negative float32.
    element : Layout
    rule : str

    Examples
    --------
    448 is the largest e4m3 number, 449 needs a larger scale only by the rules that avoid clamping:

    >>> rules = ("floor", "ceil", "even", "round-up", "headroom")
    >>> [mx_scale(0x43E00000, E4M3, rule) for rule in rules], [mx_scale(0x43E08000, E4M3, rule) for rule in rules]
    ([127, 128, 127, 127, 128], [127, 128, 127, 128, 128])
    """
    if not 0 <= amax < 1 << 31:
        raise ValueError(f"amax must be the code of a non-negative float32, got {amax:#x}")
    if rule not in get_args(MxScale):
        raise unknown_name("MX scale rule", rule, get_args(MxScale))
    exponent, fraction = amax >> 23, amax & 0x7FFFFF
    largest_fraction = (element.largest & (1 << element.mantissa_bits) - 1) << 23 - element.mantissa_bits
    up = {
        "floor": False,
        "ceil": fraction > 0,
        "even": fraction >= (1 << 23) - (1 << 22 - element.mantissa_bits),
        "round-up": fraction > largest_fraction,
        "headroom": True,
        "three-quarters": fraction >= 3 << 21,
    }[rule]
    if exponent == 255 or (rule == "even" and up and exponent == 254):
        return 255
    largest = decode(element.code(element.largest, False), element)
    return max(0, exponent - floor_log2(largest.significand) - largest.exponent + up)


def quantize_mx(
    values: Sequence[int],
    element: Layout,
    rule: MxScale = "floor",
    rounding: Rounding = "nearest-even",
    overflow: Overflow = "saturate",
) -> tuple[int, list[int]]:
    """Quantise one MX block: every element divided by 2^(byte - 127), exactly, and encoded.

    Parameters
    ----------
    values : sequence of int
        float32 codes of the block, usually 32.
    element : Layout
        Element format; fp6 and fp4 codes come one per item.
    rule : str
        See `mx_scale`.
    rounding, overflow : str
        See `chipmeter.reference.numbers.encode`.

    Returns
    -------
    byte : int
        E8M0 scale.
    codes : list of int
        Under scale byte 255 every code is that of NaN; formats without NaN have no defined answer there (-0 here).

    Examples
    --------
    >>> from chipmeter.reference.layouts import LAYOUTS
    >>> quantize_mx([float32(n) for n in (1, 5, -12)], LAYOUTS["e2m1"])
    (128, [1, 4, 15])
    """
    byte = mx_scale(amax_of(values), element, rule)
    if byte == 255:
        return byte, [nan_code(element, False, overflow)] * len(values)
    scaled = (_scaled_by(decode(value, F32), 127 - byte) for value in values)
    return byte, [encode(value, element, rounding, overflow) for value in scaled]


def dequantize_mx(byte: int, codes: Sequence[int], element: Layout) -> list[int]:
    """Return the float32 codes of element * 2^(byte - 127), rounded to nearest even; byte 255 makes all NaN."""
    if byte == 255:
        return [_NAN] * len(codes)
    scaled = (_scaled_by(decode(code, element), byte - 127) for code in codes)
    return [_NAN if value.kind == "nan" else encode(value, F32) for value in scaled]


def _scaled_by(value: Value, exponent: int) -> Value:
    """Multiply by a power of two, exactly."""
    return Value(value.kind, value.negative, value.significand, value.exponent + exponent)


def quantize_nvfp4(
    values: Sequence[int], tensor_amax: int | None, rule: Nvfp4Rule = "torchao"
) -> tuple[int, int, list[int]]:
    """Quantise one NVFP4 block: e2m1 elements, an e4m3 scale, and a float32 scale of the whole tensor.

    All operations are float32 ones. 2688 is 6 * 448, the largest element times the largest block scale.

    - "torchao": tensor scale s2 = tensor_amax / 2688; block scale e4m3((amax / 6) / s2) clamped to [2^-6, 448];
      element e2m1(x * ((1 / s2) / scale)), -0 kept. With `tensor_amax` None there is no s2: e4m3(amax / 6), clamped
      alike, and x * (1 / scale).
    - "transformer-engine": S = min(2688 / tensor_amax, FLT_MAX), 1 if tensor_amax is 0 or not finite; block scale
      e4m3(min(amax * (S * (1 / 6)), FLT_MAX)); element e2m1(x * min(1 / (scale * (1 / S)), FLT_MAX)), -0 becoming +0
      (a negative number that rounds to zero keeps its sign). A block whose scale becomes 0 has elements x * FLT_MAX.

    Values must be finite. (torchao `nvfp4_quantize` 0.18 and git 36027d8; TransformerEngine git d0067d0, reference of
    its tests.)

    Parameters
    ----------
    values : sequence of int
        float32 codes of the block, usually 16.
    tensor_amax : int or None
        float32 code of the tensor's largest magnitude.
    rule : {"torchao", "transformer-engine"}

    Returns
    -------
    tensor_scale : int
        float32 code by which a decoded block is to be multiplied (1 if `tensor_amax` is None).
    scale : int
        e4m3 code.
    codes : list of int
        e2m1 codes, one per item.

    Examples
    --------
    >>> tensor_scale, scale, codes = quantize_nvfp4([float32(n) for n in (3, -6, 12)], float32(2688))
    >>> hex(tensor_scale), hex(scale), codes
    ('0x3f800000', '0x40', [3, 13, 7])
    """
    if rule not in get_args(Nvfp4Rule):
        raise unknown_name("NVFP4 rule", rule, get_args(Nvfp4Rule))
    amax, e2m1 = amax_of(values), LAYOUTS["e2m1"]
    if rule == "torchao":
        tensor_scale = _ONE if tensor_amax is None else divide(tensor_amax, float32(2688), F32)
        wanted = divide(divide(amax, float32(6), F32), tensor_scale, F32)
        # Codes of non-negative floats order as the numbers do, so a clamp is one on codes.
        wanted = min(max(wanted, float32(Fraction(1, 64))), float32(448))
        scale = encode(decode(wanted, F32), E4M3, overflow="saturate")
        factor = divide(divide(_ONE, tensor_scale, F32), encode(decode(scale, E4M3), F32), F32)
        return tensor_scale, scale, [_times(value, factor, e2m1) for value in values]
    if tensor_amax is None:
        raise ValueError("the transformer-engine rule needs the tensor's amax")
    unscaled = tensor_amax == 0 or tensor_amax >= _INFINITY
    multiplier = _ONE if unscaled else min(divide(float32(2688), tensor_amax, F32), _LARGEST)
    tensor_scale = divide(_ONE, multiplier, F32)
    wanted = min(multiply(amax, multiply(multiplier, float32(Fraction(1, 6)), F32), F32), _LARGEST)
    scale = encode(decode(wanted, F32), E4M3, overflow="saturate")
    decoded = multiply(encode(decode(scale, E4M3), F32), tensor_scale, F32)
    factor = min(divide(_ONE, decoded, F32), _LARGEST)
    products = (multiply(value, factor, F32) for value in values)
    return tensor_scale, scale, [_encode_saturating(y, e2m1) if y & 0x7FFFFFFF else 0 for y in products]


def _times(value: int, factor: int, target: Layout | IntegerLayout) -> int:
    """Multiply in float32 and encode, saturating."""
    return _encode_saturating(multiply(value, factor, F32), target)


def _encode_saturating(value: int, target: Layout | IntegerLayout) -> int:
    """Encode a float32 code to nearest even, clamped to the target's finite range."""
    number = decode(value, F32)
    if isinstance(target, IntegerLayout):
        return encode_integer(number, target)
    return encode(number, target, overflow="saturate")


def quantize_scaled(
    values: Sequence[int],
    target: Layout | IntegerLayout,
    limit: Fraction | int,
    form: ScaleForm = "divide",
    *,
    smallest_amax: int = 0,
    power_of_two: bool = False,
) -> tuple[int, list[int]]:
    """Quantise one tensor, row or tile with a symmetric float32 scale that maps its largest magnitude to `limit`.

    With amax the largest magnitude, not below `smallest_amax`, and every operation a float32 one:

    - "divide": scale = amax / limit, element = x / scale (DeepSeek-V3);
    - "reciprocal": scale = amax / limit, element = x * (1 / scale) (DeepGEMM; torchao integers with limit 127.5);
    - "multiplier": S = limit / amax, at most FLT_MAX, element = x * S, the scale returned is 1 / S
      (TransformerEngine).

    Elements are rounded to nearest even and saturate. With `power_of_two` the scale is rounded up to a power of two,
    between 2^-126 and 2^127 (S down, its fraction cleared). If amax is 0, and under "multiplier" also if it is not
    finite, the scale is 1.

    Parameters
    ----------
    values : sequence of int
        float32 codes.
    target : Layout or IntegerLayout
        Element format.
    limit : Fraction or int
        What the largest magnitude becomes: 448 for e4m3, 127 or 127.5 for int8.
    form : {"divide", "reciprocal", "multiplier"}
    smallest_amax : int
        float32 code, for instance of 1e-4.
    power_of_two : bool

    Returns
    -------
    scale : int
        float32 code by which decoded elements are to be multiplied.
    codes : list of int

    Examples
    --------
    >>> scale, codes = quantize_scaled([float32(n) for n in (1, -2, 254)], IntegerLayout(8, True), 127)
    >>> hex(scale), codes
    ('0x40000000', [0, 255, 127])
    """
    if form not in get_args(ScaleForm):
        raise unknown_name("scale form", form, get_args(ScaleForm))
    amax = max(amax_of(values), smallest_amax)
    if amax == 0 or (form == "multiplier" and amax >= _INFINITY):
        return _ONE, [_times(value, _ONE, target) for value in values]
    if form == "multiplier":
        factor = min(divide(float32(limit), amax, F32), _LARGEST)
        factor = factor & 0x7F800000 if power_of_two else factor
        return divide(_ONE, factor, F32), [_times(value, factor, target) for value in values]
    scale = divide(amax, float32(limit), F32)
    if power_of_two and scale < _INFINITY:
        scale = min(max((scale >> 23) + (scale & 0x7FFFFF > 0), 1), 254) << 23
    if form == "divide":
        return scale, [_encode_saturating(divide(value, scale, F32), target) for value in values]
    factor = divide(_ONE, scale, F32)
    return scale, [_times(value, factor, target) for value in values]


def quantize_nf4(values: Sequence[int]) -> tuple[int, list[int]]:
    """Quantise one nf4 block as bitsandbytes does: x * (1 / max(amax, 1e-38)), clamped to [-1, 1], nearest table entry.

    Returns
    -------
    amax : int
        float32 code of the scale.
    codes : list of int
        Indices into `chipmeter.reference.tables.NF4_CODES`.

    Examples
    --------
    >>> quantize_nf4([float32(n) for n in (-4, 0, 2)])
    (1082130432, [0, 7, 12])
    """
    amax = amax_of(values)
    factor = divide(_ONE, max(amax, float32(Fraction(1, 10**38))), F32)
    return amax, [encode_table(decode(multiply(value, factor, F32), F32)) for value in values]
