"""Quantities are read in the unit of their field; a mixed-up unit gives one error that names both."""

from pathlib import Path

import pytest

from chipmeter.chips import Chip, load_chip
from chipmeter.chips.units import quantity, too_small
from chipmeter.evidence import Figure

CHIP = """
id = "mine"
name = "Mine"
vendor = "me"
launch = "2026"
[evidence.me]
grade = "assumed"
source = "own"
[peak]
bf16 = { value = "500 TFLOP/s", evidence = "me" }
[memory]
value = "MEMORY"
evidence = "me"
[memory_bandwidth]
value = BANDWIDTH
evidence = "me"
"""


def write(path: Path, memory: str, bandwidth: str) -> Path:
    file = path / "mine.toml"
    file.write_text(CHIP.replace("MEMORY", memory).replace("BANDWIDTH", bandwidth))
    return file


def test_written_units(tmp_path: Path) -> None:
    chip = load_chip(write(tmp_path, "80 GiB", "2.5e12"))
    assert (chip.peak["bf16"].value, chip.memory.value, chip.memory_bandwidth.value) == (500e12, 80 * 2**30, 2.5e12)


@pytest.mark.parametrize(
    ("memory", "bandwidth", "problem"),
    [
        ("80 TB/s", "1e12", r"memory: memory is in B, but '80 TB/s' is in B/s"),
        ("80 GB", '"3 TB"', r"memory_bandwidth is in B/s, but '3 TB' is in B"),
        ("80 gb", "1e12", r"unknown unit in '80 gb'; accepted: .*TB \(powers of 1000\), .*TiB \(powers of 1024"),
        ("many", "1e12", r"must be a number with a unit such as '80 GB', got 'many'"),
        ("80 GB", "3.35", r"memory_bandwidth is in B/s, and 3.35 of them .*3.35 TB/s is 3.35e\+12, 3.35 TiB/s is 3.68"),
        ("80 B", "1e12", r"80 GB is 8e\+10, 80 GiB is 8.58993e\+10 \(1 TiB is 1.0995 TB\)"),
        ("80 GB", "0.0", r"memory_bandwidth must be positive, got 0"),
    ],
)
def test_mixed_up_units(tmp_path: Path, memory: str, bandwidth: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        load_chip(write(tmp_path, memory, bandwidth))


def test_rates_in_tera_are_noticed() -> None:
    def figure(value: float) -> Figure:
        return Figure(value=value, grade="assumed", source="own")

    with pytest.raises(ValueError, match=r"peak.bf16 is in FLOP/s, and 989 of them .*989 TFLOP/s is 9.89e\+14"):
        Chip(
            id="mine", name="Mine", vendor="me", launch="2026", peak={"bf16": figure(989)}, memory=figure(8e10),
            memory_bandwidth=figure(1e12),
        )  # fmt: skip
    assert too_small("memory", 1e9) is None
    assert quantity("1.755GHz", "clock") == 1.755e9
    with pytest.raises(ValueError, match="tdp: unknown unit in '700'; accepted: W with k"):
        quantity("700", "tdp")
