"""A black box at the door: how it is called, and what is checked of every answer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chipmeter._arrays import AnyArray
from chipmeter._names import unknown_name
from chipmeter.matmul.operands import operand_dtype
from chipmeter.matmul.units import INTEGERS, OPERANDS, SCALES

Matmul = Callable[..., Any]

_RESULT = {"f64": "f64", **dict.fromkeys((*INTEGERS, "b1"), "s32")}
"""Result type where only operand types are given; f32 for all others."""


@dataclass(frozen=True)
class Device:
    """A matrix product with the types it takes.

    Attributes
    ----------
    matmul : callable
        Called as matmul(a, b), matmul(a, b, c) if `addend`, with `scale_a=` and `scale_b=` if `scale`.
    types : tuple of str
        a, b, c, d.
    addend : bool
        Whether it takes an accumulator input c.
    scale : str or None
    scale_block : int
    name : str
        What errors call it.
    """

    matmul: Matmul
    types: tuple[str, str, str, str]
    addend: bool
    scale: str | None = None
    scale_block: int = 0
    name: str = "the matmul"

    def __call__(
        self, a: AnyArray, b: AnyArray, c: AnyArray | None = None, scales: tuple[AnyArray, AnyArray] | None = None
    ) -> AnyArray:
        """Multiply, and check shape and dtype of the answer.

        Raises
        ------
        ValueError
            If the callable fails, or answers with another shape or dtype.
        """
        arguments: list[AnyArray] = [a.copy(), b.copy()]
        if self.addend:
            d = operand_dtype(self.types[2])
            arguments.append(np.zeros((a.shape[0], b.shape[1]), d) if c is None else c.copy())
        elif c is not None:
            raise ValueError(f"{self.name} takes no accumulator c")
        keywords = {} if scales is None else {"scale_a": scales[0].copy(), "scale_b": scales[1].copy()}
        shapes = f"a {a.shape} of {a.dtype}, b {b.shape}"
        try:
            with np.errstate(all="ignore"):
                answer = self.matmul(*arguments, **keywords)
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            raise ValueError(f"{self.name} failed on {shapes}: {type(error).__name__}: {text}") from error
        want, shape = operand_dtype(self.types[3]), (a.shape[0], b.shape[1])
        if not isinstance(answer, np.ndarray):
            raise ValueError(f"{self.name} must return a NumPy array, got {type(answer).__name__}")  # noqa: TRY004
        if answer.shape != shape or answer.dtype != want:
            raise ValueError(
                f"{self.name} must return {want} of shape {shape} for {shapes}, got {answer.dtype} of {answer.shape}"
            )
        return np.ascontiguousarray(answer)


def parse_types(dtypes: str | Sequence[str]) -> tuple[str, str, str, str]:
    """Spell out operand, accumulator and result types.

    Parameters
    ----------
    dtypes : str or sequence of str
        One to four names of `chipmeter.matmul.units.OPERANDS`, or the dtype or format each stands for: a.b.c.d, a.b.d,
        a.d, or a. Left out, b is as a, c as d, and d is f32 (f64 for f64, s32 for integers).

    Raises
    ------
    UnknownNameError, ValueError

    Examples
    --------
    >>> parse_types("f16"), parse_types(("float8_e4m3fn", "float16"))
    (('f16', 'f16', 'f32', 'f32'), ('e4m3', 'e4m3', 'f16', 'f16'))
    """
    parts = dtypes.split(".") if isinstance(dtypes, str) else [str(t) for t in dtypes]
    if not 1 <= len(parts) <= 4:
        raise ValueError(f"dtypes are one to four types (a.b.c.d, a.b.d, a.d or a), got {dtypes!r}")
    kinds = [_kind(p) for p in parts]
    if len(kinds) == 1:
        kinds.append(_RESULT.get(kinds[0], "f32"))
    if len(kinds) == 2:
        kinds.insert(1, kinds[0])
    if len(kinds) == 3:
        kinds.append(kinds[2])
    return kinds[0], kinds[1], kinds[2], kinds[3]


def _kind(name: str) -> str:
    from chipmeter.formats.records import FORMATS

    if name in OPERANDS:
        return name
    full = next((f.name for f in FORMATS.values() if name in f.aliases), name)
    full = {"fp32": "float32", "fp64": "float64"}.get(full, full)
    for kind, stands_for in OPERANDS.items():
        if stands_for == full:
            return kind
    raise unknown_name("operand type", name, [*OPERANDS, *OPERANDS.values()])


def device(
    matmul: Matmul,
    dtypes: str | Sequence[str],
    *,
    addend: bool | None = None,
    scale: str | None = None,
    scale_block: int = 0,
    name: str | None = None,
) -> Device:
    """Describe a callable; whether it takes c is read off its signature (a parameter called `c`) unless given.

    Raises
    ------
    TypeError, ValueError
        For what is no callable, unknown types, or half a scale.
    """
    if not callable(matmul):
        raise TypeError(f"matmul must be a callable, got {type(matmul).__name__}")
    if (scale is None) != (scale_block == 0) or scale not in (None, *SCALES) or scale_block < 0:
        raise ValueError(
            f"scale ({', '.join(SCALES)}) and a positive scale_block go together, got {scale!r} and {scale_block}"
        )
    if addend is None:
        try:
            addend = "c" in inspect.signature(matmul).parameters
        except (TypeError, ValueError):
            addend = False
    label = name or getattr(matmul, "__qualname__", None) or type(matmul).__name__
    return Device(matmul, parse_types(dtypes), addend, scale, scale_block, str(label))
