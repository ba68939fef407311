"""Quantised all-reduces: quantise, exchange codes, reduce, quantise again; as libraries do it or as named policies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import ArrayLike, NDArray

from chipmeter._arrays import AnyArray
from chipmeter._names import unknown_name
from chipmeter.collectives.run import prepare
from chipmeter.evidence import Evidence

F32 = np.float32
Codec = Callable[[AnyArray, np.dtype[Any]], AnyArray]
"""Values (blocks, group) of a dtype to what a receiver decodes, in the type that the library decodes to."""


@dataclass(frozen=True)
class Quantised:
    """How a quantised all-reduce treats its data.

    Attributes
    ----------
    name : str
    group : int
        Consecutive elements that share scales; a rank's stripe is a multiple of it, padded with zeros.
    codec : callable
        Quantise and decode.
    total : type
        In which the owner adds decoded values, one rounding each.
    from_zero : bool
        Whether the sum starts at 0 rather than at rank 0's value.
    owner_exact : bool
        Whether the owner of a stripe keeps its sum unquantised, so that ranks differ.
    evidence : Evidence
    note : str
    """

    name: str
    group: int
    codec: Codec
    total: str
    from_zero: bool
    owner_exact: bool
    evidence: Evidence
    note: str = ""

    @property
    def ranks_identical(self) -> bool:
        """Whether every rank gets the same bits."""
        return not self.owner_exact


def _fp8(x: AnyArray, dtype: np.dtype[Any]) -> AnyArray:
    wide = x.astype(F32)
    amax = np.maximum(np.abs(wide).max(axis=1, keepdims=True), F32(1e-12))
    scaled = np.clip(wide * (F32(448) / amax), F32(-448), F32(448))
    codes = scaled.astype(ml_dtypes.float8_e4m3fn).astype(F32)
    decoded: AnyArray = codes * (amax / F32(448))
    return decoded


def _int4(x: AnyArray, dtype: np.dtype[Any]) -> AnyArray:
    wide = x.astype(F32)
    amax = np.abs(wide).max(axis=1, keepdims=True)
    double = F32(2) * amax
    factor = np.divide(F32(16), double, out=np.zeros_like(double), where=double != 0)
    q = np.clip(np.rint(wide * factor), F32(-8), F32(7))
    decoded: AnyArray = (q * (double / F32(16))).astype(np.float16)
    return decoded


def _quick(bits: int) -> Codec:
    """QuickReduce: the even and the odd elements of 64 share a scale, the largest magnitude with its sign."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1

    def codec(x: AnyArray, dtype: np.dtype[Any]) -> AnyArray:
        t = np.float16
        lanes = x.astype(t).reshape(-1, 32, 2).swapaxes(1, 2)
        at = np.abs(lanes).argmax(axis=2)[..., None]
        scale = np.take_along_axis(lanes, at, axis=2) * t(1 / low)
        factor = (F32(1) / (scale + t(1e-7)).astype(F32)).astype(t)
        q = np.rint(np.fmin(np.fmax(lanes * factor, t(low)), t(high)))  # zeros: 0 x inf is NaN, which the clamp drops
        return np.ascontiguousarray((q * scale).swapaxes(1, 2)).reshape(x.shape)

    return codec


def _int8(x: AnyArray, dtype: np.dtype[Any]) -> AnyArray:
    wide = x.astype(F32)
    scale = np.abs(wide).max(axis=1, keepdims=True) / F32(127)
    q = np.rint(np.divide(wide, scale, out=np.zeros_like(wide), where=scale != 0))
    decoded: AnyArray = np.clip(q, F32(-127), F32(127)) * scale
    return decoded


def _source(text: str) -> Evidence:
    return Evidence("documented", f"source of {text}", "2026-11")


_ASSUMED = Evidence("assumed", "published without the details; a policy of ours", "2026-11")
_POLICY = "symmetric int8, scale amax / 127, nearest even, sums in float32 in rank order, quantised again"

_QUICK = "bfloat16 is cast to float16; assumed: an epsilon of 2^-23, and a correctly rounded reciprocal"

QUANTISED: dict[str, Quantised] = {
    q.name: q
    for q in (
        Quantised("flashinfer/fp8", 256, _fp8, "float32", False, True, _source("flashinfer fb28d72")),
        Quantised("zero++/qgz", 256, _int4, "float16", True, False, _source("DeepSpeed edaa722"),
                  "one node; the group's size is the caller's in DeepSpeed, 256 here; the sum is not divided"),
        Quantised("quickreduce/int8", 64, _quick(8), "float16", True, False, _source("vLLM 0bf6342"), _QUICK),
        Quantised("quickreduce/int6", 64, _quick(6), "float16", True, False, _source("vLLM 0bf6342"), _QUICK),
        Quantised("quickreduce/int4", 64, _quick(4), "float16", True, False, _source("vLLM 0bf6342"), _QUICK),
        Quantised("equarx", 128, _int8, "float32", False, False, _ASSUMED, f"blocks of 128: {_POLICY}"),
        Quantised("flashcomm", 128, _int8, "float32", False, False, _ASSUMED, f"blocks of 128: {_POLICY}"),
    )
}  # fmt: skip
"""Quantised all-reduces by name."""


def quantised_all_reduce(shards: ArrayLike, algorithm: str = "flashinfer/fp8", *, dtype: str | None = None) -> AnyArray:
    """Sum over ranks with quantised messages.

    Every rank quantises its vector; the owner of stripe r (of equal whole groups) decodes and adds those of ranks
    0, 1, ... in `total`, rounding each sum, quantises the result, and every rank decodes it to its own dtype. Casts
    are to nearest even; fp8 saturates. A group with NaN or infinity gives NaN.

    Parameters
    ----------
    shards : array_like
        Shape (ranks, ...), float32, bfloat16 or float16.
    algorithm : str
        A name of `QUANTISED`; its record says the codec, its evidence, and whether ranks agree.
    dtype : str, optional
        Cast the shards to this format first.

    Returns
    -------
    ndarray
        Shape and dtype of the shards: the result of each rank.

    Raises
    ------
    ValueError, TypeError
        For fewer than 2 ranks, an unknown name, or another dtype.

    Examples
    --------
    >>> x = np.float32([[448, 1], [0, 1]])
    >>> quantised_all_reduce(x, "equarx")[0].tolist()
    [448.0, 0.0]
    """
    if algorithm not in QUANTISED:
        raise unknown_name("quantised all-reduce", algorithm, QUANTISED)
    how = QUANTISED[algorithm]
    x = prepare(shards, dtype)
    if x.dtype.name not in ("float32", "bfloat16", "float16"):
        raise TypeError(f"a quantised all-reduce takes float32, bfloat16 or float16, got {x.dtype}")
    ranks = len(x)
    flat = x.reshape(ranks, -1)
    count = flat.shape[1]
    groups = -(-count // (how.group * ranks)) * ranks
    padded = np.zeros((ranks, groups * how.group), x.dtype)
    padded[:, :count] = flat
    with np.errstate(all="ignore"):
        decoded = how.codec(padded.reshape(-1, how.group), x.dtype).reshape(padded.shape)
        total = np.zeros(padded.shape[1], how.total) if how.from_zero else decoded[0].astype(how.total)
        for part in decoded if how.from_zero else decoded[1:]:
            total = total + part.astype(how.total)
        again = how.codec(total.reshape(-1, how.group), x.dtype).reshape(-1)
        result: NDArray[Any] = np.repeat(again.astype(x.dtype)[None], ranks, axis=0)
        if how.owner_exact:
            stripe = len(total) // ranks
            for r in range(ranks):
                own = slice(r * stripe, (r + 1) * stripe)
                result[r, own] = total[own].astype(x.dtype)
    return np.ascontiguousarray(result[:, :count]).reshape(x.shape)
