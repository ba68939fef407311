"""A small thread pool: kernels drop the GIL and take a range, so splitting the range never changes a bit."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

_pool: ThreadPoolExecutor | None = None
_workers = 0


def _forget() -> None:
    """Drop the pool in a forked child, whose copies of the threads do not exist."""
    global _pool, _workers
    _pool, _workers = None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def available_cores() -> int:
    """Count the cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_count(threads: int | None) -> int:
    """Resolve a `threads=` argument: a positive number, or None for CHIPMETER_NUM_THREADS, else 1.

    >>> thread_count(2)
    2
    >>> thread_count(0)
    Traceback (most recent call last):
    ...
    ValueError: threads must be a positive integer or None, got 0
    """
    if threads is None:
        text = os.environ.get("CHIPMETER_NUM_THREADS", "1")
        if not text.isdecimal() or int(text) < 1:
            raise ValueError(f"CHIPMETER_NUM_THREADS must be a positive integer, got {text!r}")
        return min(int(text), 1024)
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise ValueError(f"threads must be a positive integer or None, got {threads!r}")
    return min(threads, 1024)


def split(work: Callable[[int, int], None], n: int, threads: int, grain: int) -> None:
    """Call `work(begin, end)` over [0, n), in at most `threads` pieces of at least `grain` each."""
    global _pool, _workers
    pieces = max(1, min(threads, n // max(grain, 1)))
    if pieces == 1:
        work(0, n)
        return
    if _pool is None or _workers < pieces:
        _pool, _workers = ThreadPoolExecutor(pieces, thread_name_prefix="chipmeter"), pieces
    edges = [n * i // pieces for i in range(pieces + 1)]
    futures = [_pool.submit(work, begin, end) for begin, end in pairwise(edges[1:])]
    try:
        work(edges[0], edges[1])
    finally:
        for future in futures:
            future.result()
