"""Paired timing: the work and its anchor alternate in one process, and what counts is the median of their ratios.

Means and minima of separate runs move with the machine by ten per cent and more; the ratio of neighbours does not. The
anchor of each measurement is code everybody has: a copy, a float32 product, an import. Results are checked before they
are timed. Bars are goals, printed beside the measurement; nothing fails for being slow.
"""

from __future__ import annotations

import mmap
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

import chipmeter as cm
from chipmeter import _kernels

Bar = tuple[Literal["<=", ">="], float]
ROUNDS = int(os.environ.get("CHIPMETER_BENCH_ROUNDS", "11"))
_ROWS = pytest.StashKey[list["Row"]]()


@dataclass(frozen=True)
class Row:
    """One measurement."""

    name: str
    ratio: float
    spread: float
    seconds: float
    meaning: str
    bar: Bar | None

    @property
    def reached(self) -> str:
        if self.bar is None:
            return ""
        sign, value = self.bar
        return "reached" if (self.ratio <= value if sign == "<=" else self.ratio >= value) else "not reached"


def page_aligned(shape: tuple[int, ...], dtype: Any = np.float32) -> NDArray[Any]:
    """Allocate on page boundaries, in huge pages where the system has them, as NumPy asks for its large arrays.

    Where malloc happens to put an array alone moves copies by half.
    """
    count = int(np.prod(shape))
    size = max(1, count * np.dtype(dtype).itemsize)
    if not hasattr(mmap, "MAP_PRIVATE"):
        return np.frombuffer(mmap.mmap(-1, size), dtype, count).reshape(shape)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, dtype, count).reshape(shape)


@pytest.fixture(scope="session")
def pages() -> Callable[..., NDArray[Any]]:
    """`page_aligned`, for measurements that allocate arrays of their own."""
    return page_aligned


@pytest.fixture(scope="session")
def x() -> NDArray[np.float32]:
    """64 MiB of normal numbers."""
    values = page_aligned((4096, 4096))
    np.random.default_rng(1).standard_normal(values.shape, np.float32, out=values)
    return values


@pytest.fixture(scope="session")
def copy(x: NDArray[np.float32]) -> Callable[[], None]:
    """The anchor of everything that passes over memory once."""
    target = page_aligned(x.shape)
    return lambda: np.copyto(target, x)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


Paired = Callable[..., float]


@pytest.fixture
def paired(benchmark: Any, request: pytest.FixtureRequest) -> Paired:
    """Measure `work` against `anchor`; see `measure`."""

    def measure(
        work: Callable[[], object],
        anchor: Callable[[], object],
        *,
        meaning: str,
        bar: Bar | None = None,
        inverse: bool = False,
        rounds: int = ROUNDS,
    ) -> float:
        """Return the median over `rounds` pairs of work time / anchor time (its inverse for speeds), and record it."""
        work(), anchor(), work(), anchor()
        ratios, times = [], []
        for i in range(rounds):
            if i % 2:
                a, w = seconds(anchor), seconds(work)
            else:
                w, a = seconds(work), seconds(anchor)
            ratios.append(a / w if inverse else w / a)
            times.append(w)
        quartiles = statistics.quantiles(ratios, n=4) if rounds > 1 else [ratios[0]] * 3
        row = Row(
            request.node.name.removeprefix("test_"),
            quartiles[1],
            quartiles[2] - quartiles[0],
            statistics.median(times),
            meaning,
            bar,
        )
        request.config.stash[_ROWS].append(row)
        benchmark.extra_info.update(
            ratio=row.ratio, spread=row.spread, meaning=meaning, bar=bar and " ".join(map(str, bar)), tier=cm.tier()
        )
        benchmark.pedantic(work, rounds=3)
        return row.ratio

    return measure


@pytest.fixture(autouse=True)
def one_blas_thread() -> Iterator[None]:
    """Hold the competitors' BLAS to one thread, as chipmeter's default is."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        yield
        return
    with threadpool_limits(1):
        yield


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].partition(":")[2].strip() if names else "unknown CPU"


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ROWS] = []


def pytest_report_header() -> str:
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return f"chipmeter {cm.__version__}, {cm.tier()}, {_kernels.compiler()}, numpy {np.__version__}; {cpu_name()}, {os.cpu_count()} cores, load {load:.1f}"


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    rows = config.stash[_ROWS]
    if not rows:
        return
    terminalreporter.section(f"ratios: median of {ROUNDS} pairs, one thread, {cm.tier()}")
    width = max(len(r.name) for r in rows)
    for r in rows:
        bar = f"{r.bar[0]} {r.bar[1]:.2f}  {r.reached}" if r.bar else ""
        line = (
            f"{r.name:<{width}}  {r.ratio:6.3f} +-{r.spread / 2:.3f}  {r.seconds * 1e3:9.2f} ms  {r.meaning:<28} {bar}"
        )
        terminalreporter.write_line(line.rstrip())
