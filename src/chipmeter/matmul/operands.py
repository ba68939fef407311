"""Operands at the door of a matrix unit: checked, decoded to exact float32 values, packed for the kernels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels, _recycle
from chipmeter._arrays import AnyArray, as_array, dtype_of
from chipmeter.formats.codec import code_dtype, decode
from chipmeter.formats.records import FORMATS, FloatFormat, format_of
from chipmeter.matmul.packed import PER_BYTE, is_packed
from chipmeter.matmul.units import OPERANDS, SCALES, Unit

PANEL = 16
"""Columns of B side by side in the packed order (CM_PANEL in kernels.h)."""


@dataclass(frozen=True)
class Packed:
    """One operand as the fused kernel reads it; see cm_operand in kernels.h."""

    value: NDArray[np.float32]
    exponent: NDArray[np.int32]
    flag: NDArray[np.uint8]
    mantissa_bits: int

    @property
    def arrays(self) -> tuple[AnyArray, AnyArray, AnyArray]:
        """The arrays in the kernel's order."""
        return self.value, self.exponent, self.flag


@cache
def operand_dtype(kind: str) -> np.dtype[Any]:
    """Return the dtype in which an operand type is passed: tf32 travels in float32."""
    name = OPERANDS[kind]
    return code_dtype(FORMATS[name]) if name in FORMATS else dtype_of(name)


def check_operand(x: Any, kind: str, what: str, unit: Unit) -> AnyArray:
    """Take an operand array of the unit's type and at least two dimensions.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what was given and what the unit takes.
    """
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{what} must be a plain array for {unit.name}: the mask of a masked array would be lost")
    if hasattr(x, "__dlpack__"):  # torch, JAX, CuPy on the host, ...
        x = as_array(x, what)
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{what} must be a NumPy array for {unit.name}, got {type(x).__name__}")
    want = operand_dtype(kind)
    if x.dtype != want and not is_packed(x, kind):
        packed = f", or uint8 with {PER_BYTE[kind]} per byte along K" if kind in PER_BYTE else ""
        real = "float" in x.dtype.name and kind != "b1"
        hint = f"; cast it first: chipmeter.cast({what}, {OPERANDS[kind]!r})" if real else ""
        raise TypeError(f"{what} must have dtype {want} ({kind}){packed} for {unit.name}, got {x.dtype}{hint}")
    if x.ndim < 2:
        raise ValueError(f"{what} must have at least two dimensions, got shape {x.shape}")
    return x


def values(x: AnyArray, kind: str) -> NDArray[Any]:
    """Decode an operand to float32 (float64 for f64), exactly; tf32 loses its low 13 bits before anything else."""
    if kind in ("f32", "f64"):
        return np.ascontiguousarray(x)
    return decode(x, FORMATS[OPERANDS[kind]])


@cache
def layout_of(kind: str) -> FloatFormat:
    """Return the floating-point format of an operand type.

    >>> layout_of("tf32").mantissa_bits
    10
    """
    fmt = format_of(OPERANDS[kind])
    assert isinstance(fmt, FloatFormat)
    return fmt


def raw_codes(x: AnyArray) -> AnyArray:
    """View an operand of any strides as the unsigned integers of its codes."""
    return x.view(np.dtype(f"u{x.dtype.itemsize}"))


@cache
def code_spec(kind: str) -> _kernels.CodeSpec:
    """Describe an operand type's codes to the kernels."""
    fmt = layout_of(kind)
    return _kernels.CodeSpec(
        fmt.padding, fmt.mantissa_bits, fmt.bias, fmt.magnitude_bits, fmt.max_code,
        fmt.max_code + 1 if fmt.infinity else 0, fmt.nan == "negative_zero",
    )  # fmt: skip


def pack_rows(a: NDArray[np.float32], kind: str, padded: int) -> Packed:
    """Pack A (rows x depth) with depth padded by zeros."""
    fmt, rows = layout_of(kind), a.shape[0]
    value, exponent = np.empty((rows, padded), np.float32), np.empty((rows, padded), np.int32)
    flag = np.empty(rows, np.uint8)
    _kernels.pack_rows(a, fmt.min_exponent, value, exponent, flag)
    return Packed(value, exponent, flag, fmt.mantissa_bits)


def pack_panels(b: NDArray[np.float32], kind: str, padded: int) -> Packed:
    """Pack B (depth x columns) into panels with depth and columns padded by zeros."""
    fmt, panels = layout_of(kind), -(-b.shape[1] // PANEL)
    value = np.empty((panels, padded, PANEL), np.float32)
    exponent = np.empty((panels, padded, PANEL), np.int32)
    flag = np.empty(panels * PANEL, np.uint8)
    _kernels.pack_panels(b, fmt.min_exponent, value, exponent, flag)
    return Packed(value, exponent, flag, fmt.mantissa_bits)


def panels_of(b: NDArray[Any], padded: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Lay any matrix (depth x columns) out in zero-padded panels."""
    if out is None:
        out = _recycle.aligned((-(-b.shape[1] // PANEL), padded, PANEL), b.dtype)
    _kernels.panels_of(raw_codes(b), out.view(np.dtype(f"u{b.dtype.itemsize}")))
    return out


def scale_terms(codes: AnyArray, kind: str, padded: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Split scale codes (lines x scales) into significands and exponents, padded along scales with 1; NaN is -1.

    The top bit of a ue4m3 byte is ignored, as the hardware does.
    """
    raw = codes.view(np.uint8).astype(np.int32)
    if kind == "ue8m0":
        significand, exponent, one = np.where(raw == 0xFF, -1, 1), raw - 127, (1, 0)
    else:
        raw &= 0x7F
        field, fraction = raw >> 3, raw & 7
        significand = np.where(raw == 0x7F, -1, np.where(field > 0, fraction + 8, fraction))
        exponent, one = np.maximum(field, 1) - 7, (8, 0)
    pad = ((0, 0), (0, padded - codes.shape[1]))
    return (
        np.pad(significand, pad, constant_values=one[0]).astype(np.int32),
        np.pad(exponent, pad, constant_values=one[1]).astype(np.int32),
    )


def check_scales(scale: Any, lines: tuple[int, ...], scales: int, what: str, unit: Unit, *, last: bool) -> AnyArray:
    """Take block scales of one operand: scale codes of shape (..., lines, scales), or (..., scales, lines) for B."""
    assert unit.scale is not None
    want = dtype_of(SCALES[unit.scale])
    shape = (*lines, scales) if last else (*lines[:-1], scales, lines[-1])
    if not isinstance(scale, np.ndarray) or scale.dtype not in (want, np.uint8):
        got = scale.dtype if isinstance(scale, np.ndarray) else type(scale).__name__
        raise TypeError(f"{what} must be an array of {want} (or raw uint8 codes) for {unit.name}, got {got}")
    if scale.shape != shape:
        raise ValueError(
            f"{what} must have shape {shape}: one scale per {unit.scale_block} elements of K for {unit.name}, got {scale.shape}"
        )
    return scale
