"""Emulated against recorded bits: the count that makes a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray
from chipmeter.formats import FloatFormat, decode
from chipmeter.verify.report import Row

Mask = NDArray[np.bool_]


class UnsupportedError(Exception):
    """Raised by a rule for a row that it cannot express; the message says what is missing."""


@dataclass(frozen=True)
class Emulated:
    """What chipmeter says a recorded array should hold.

    Attributes
    ----------
    bits : ndarray
        Raw codes or float bits, in the recording's shape.
    note : str
        Which call made them.
    nan : str or FloatFormat, optional
        Compare NaN as a class: bits are those of this float dtype, or codes of this format.
    unsupported : ndarray of bool, optional
        Outputs where the recorded library departs from the rule: not compared, and counted as unsupported.
    unspecified : ndarray of bool, optional
        Outputs about which the recording itself says that they mean nothing: left out of every count.
    """

    bits: AnyArray
    note: str
    nan: str | FloatFormat | None = None
    unsupported: Mask | None = None
    unspecified: Mask | None = None


def compare(name: str, emulated: Emulated, recorded: AnyArray) -> Row:
    """Count the outputs that differ.

    >>> compare("r", Emulated(np.uint8([1, 2, 3]), "cast"), np.uint8([1, 2, 4]))
    Row(name='r', compared=3, mismatches=1, unsupported=0, note='cast', first_mismatch='[2]: emulated 0x03, recorded 0x04')
    """
    word = np.dtype(f"u{recorded.dtype.itemsize}")
    want, got = recorded.view(word), np.ascontiguousarray(emulated.bits).view(word)
    if got.shape != want.shape:
        raise ValueError(f"{name}: recorded shape {want.shape} does not fit the input, which gives {got.shape}")
    differs = got != want
    if emulated.nan is not None:
        differs &= ~(_is_nan(got, emulated.nan) & _is_nan(want, emulated.nan))
    counts = np.ones(want.shape, bool)
    if emulated.unspecified is not None:
        counts &= ~np.broadcast_to(emulated.unspecified, want.shape)
    unsupported = 0
    if emulated.unsupported is not None:
        quirk = np.broadcast_to(emulated.unsupported, want.shape) & counts
        unsupported = int(np.count_nonzero(quirk))
        counts &= ~quirk
    differs &= counts
    first = None
    if differs.any():
        at = tuple(int(i) for i in np.argwhere(differs)[0])
        digits = 2 * word.itemsize
        first = f"{list(at)}: emulated 0x{int(got[at]):0{digits}X}, recorded 0x{int(want[at]):0{digits}X}"
    return Row(name, int(np.count_nonzero(counts)), int(np.count_nonzero(differs)), unsupported, emulated.note, first)


def _is_nan(bits: AnyArray, kind: str | FloatFormat) -> Mask:
    values = bits.view(kind) if isinstance(kind, str) else decode(bits, kind)
    return np.isnan(values)
