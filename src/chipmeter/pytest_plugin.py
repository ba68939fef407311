"""The pytest plugin: the `roofline` fixture, and a summary of the fractions that tests achieved.

Nothing of chipmeter is imported before a test asks for the fixture.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from chipmeter import ops
    from chipmeter.chips import Chip
    from chipmeter.testing.bound import Roofline

_REACHED = pytest.StashKey[list[tuple[str, str, float, float]]]()
"""Of the session: test, chip, fraction reached, seconds."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--chip`."""
    group = parser.getgroup("chipmeter")
    group.addoption(
        "--chip",
        default=os.environ.get("CHIPMETER_CHIP"),
        help="the chip that the tests run on, as chipmeter names it (default: CHIPMETER_CHIP, else the CUDA device that "
        "an imported torch reports); roofline tests of other chips are skipped",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Start the session's list of results."""
    config.stash[_REACHED] = []


@pytest.fixture
def roofline(request: pytest.FixtureRequest) -> Callable[..., Measured]:
    """Bound an operation on a chip: ``roofline(chip="h100", op=chipmeter.ops.Gemm(4096, 4096, 4096, "bf16"))``.

    The result's ``assert_at_least(0.70, seconds=measured)`` passes if the measurement reached 70 % of the roofline;
    ``.of(benchmark)`` takes the seconds from a pytest-benchmark fixture that has run, and stores the fraction in its
    `extra_info`. The test is skipped, with the reason, when the device is known to be another chip or is not known.
    """
    from chipmeter import chips
    from chipmeter.testing.bound import bound

    def bounded(*, chip: str | Chip, op: ops.Gemm | ops.Attention | ops.Copy) -> Measured:
        record = chips.chip(chip) if isinstance(chip, str) else chip
        here = device_chip(request.config.getoption("--chip"))
        if here is None:
            pytest.skip(f"the device is not known, so not known to be {record.id}: pass --chip or set CHIPMETER_CHIP")
        if here.id != record.id:
            pytest.skip(f"the device is {here.id}, this test is of {record.id}")
        return Measured(bound(record, op), request)

    return bounded


class Measured:
    """A roofline that reports to the session what was reached."""

    def __init__(self, bound: Roofline, request: pytest.FixtureRequest) -> None:
        self.bound = bound
        self._request = request

    def assert_at_least(self, fraction: float, *, seconds: float) -> None:
        """Assert that `seconds` reached a share of the roofline; see `chipmeter.testing.Roofline`."""
        self._report(seconds)
        self.bound.assert_at_least(fraction, seconds=seconds)

    def of(self, benchmark: Any) -> float:
        """Return the share that the median of a pytest-benchmark run reached, and store it in its `extra_info`.

        The test is skipped where pytest-benchmark times nothing: it is disabled by an option, and wherever pytest-xdist is active.
        """
        if benchmark.disabled:
            pytest.skip("pytest-benchmark is disabled, so nothing was timed")
        if benchmark.stats is None:
            raise ValueError("the benchmark fixture has not run: call benchmark(...) before .of(benchmark)")
        seconds = float(benchmark.stats.stats.median)
        benchmark.extra_info["chip"] = self.bound.chip
        benchmark.extra_info["roofline_seconds"] = self.bound.seconds
        benchmark.extra_info["roofline_fraction"] = self.bound.fraction(seconds)
        return self._report(seconds)

    def _report(self, seconds: float) -> float:
        reached = self.bound.fraction(seconds)
        self._request.config.stash[_REACHED].append((self._request.node.nodeid, self.bound.chip, reached, seconds))
        return reached


def device_chip(name: str | None) -> Chip | None:
    """Find the chip the tests run on: the one named, or the CUDA device of a torch that is already imported."""
    from chipmeter import chips

    if name is not None:
        return chips.chip(name)
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    device = torch.cuda.get_device_name().lower().replace(" ", "-")
    # longest first: an "NVIDIA H100 80GB HBM3" is an h100_sxm by alias h100, and no a10 hides in an a100
    known = {key.lower().replace("_", "-"): key for record in chips.chips() for key in (record.id, *record.aliases)}
    found = next((known[key] for key in sorted(known, key=len, reverse=True) if key in device), None)
    return None if found is None else chips.chip(found)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the fractions that were reached."""
    reached = config.stash.get(_REACHED, [])
    if not reached:
        return
    terminalreporter.section("chipmeter: share of the roofline")
    for test, chip, fraction, seconds in reached:
        terminalreporter.write_line(f"{fraction:7.1%}  {seconds * 1e6:12.4g} us  {chip:12s}  {test}")
