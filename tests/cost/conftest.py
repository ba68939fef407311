"""A chip, constants and a link of round numbers, so that costs can be worked out by hand."""

import pytest

from chipmeter.chips import Chip, Link
from chipmeter.cost import Efficiency, Rate
from chipmeter.evidence import Figure


def figure(value: float) -> Figure:
    return Figure(value=value, grade="documented", source="made up")


@pytest.fixture
def link() -> Link:
    return Link(name="wire", bandwidth=figure(100e9), domain=8)


@pytest.fixture
def round_chip(link: Link) -> Chip:
    """100 TFLOP/s in bf16, 200 in fp8, 10 on the vector units, 1 TB/s, 80 GB, 500 W rated and 100 W idle."""
    return Chip(
        id="round",
        name="Round",
        vendor="nobody",
        launch="2000",
        peak={"bf16": figure(100e12), "fp8": figure(200e12)},
        vector=figure(10e12),
        memory=figure(80e9),
        memory_bandwidth=figure(1e12),
        scale_up=link,
        tdp=figure(500.0),
        idle=figure(100.0),
    )


@pytest.fixture
def plain() -> Efficiency:
    """Half of peak, a quarter of the bandwidth, 1 us for each operation."""
    rate = Rate(compute=0.5, memory=0.25, launch=1e-6, grade="documented", source="made up")
    return Efficiency(
        family="plain",
        gemm={"bf16": rate, "fp8": rate},
        attention=rate,
        pointwise=rate,
        runtime=figure(1e9),
    )
