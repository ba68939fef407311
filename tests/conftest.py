"""What every room shares: the banner, the tier fixture, the hypothesis profiles, seeded randomness."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import ml_dtypes
import numpy as np
import pytest

import chipmeter as cm
from chipmeter import _kernels

# Continuous integration runs the same examples each time; a developer's machine looks for new ones.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, database=None, print_blob=True)
hypothesis.settings.register_profile("developer", deadline=None, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "developer")

SEED = int(os.environ.get("CHIPMETER_TEST_SEED", "0"))


def cpu_name() -> str:
    """Name the processor as its vendor does, where the system tells."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Print what a bug report needs."""
    profile = hypothesis.settings.get_current_profile_name()
    seed = config.getoption("hypothesis_seed", None)
    chosen = seed if seed is not None else "derandomized" if profile == "ci" else "random"
    return [
        f"chipmeter {cm.__version__}: tier {cm.tier()} of {', '.join(cm.tiers())}; {_kernels.compiler()}; {cpu_name()}",
        f"python {platform.python_version()}, numpy {np.__version__}, ml_dtypes {ml_dtypes.__version__}",
        f"CHIPMETER_TEST_SEED={SEED}, hypothesis {profile}, seed {chosen}",
    ]


@pytest.fixture(params=_kernels.tiers())
def tier(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test once per instruction-set tier of this machine."""
    before = cm.tier()
    cm.use_tier(request.param)
    yield request.param
    cm.use_tier(before)


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers of the run's seed."""
    return np.random.default_rng(SEED)
