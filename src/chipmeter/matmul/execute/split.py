"""Rows of one product over threads."""

from __future__ import annotations

from collections.abc import Callable

from chipmeter._threads import split

GRAIN = 1 << 20
"""Multiply-adds below which another thread costs more than it saves."""


def rows(work: Callable[[int, int], None], m: int, n: int, k: int, threads: int) -> None:
    """Call work(begin, end) for ranges of the m rows of an m x n x k product."""
    split(work, m, threads, max(1, GRAIN // (n * k)))
