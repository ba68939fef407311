"""A roofline is the longer of compute and traffic at the catalogue's peaks, and judges measurements against it."""

from __future__ import annotations

import pytest

from chipmeter import chips, ops
from chipmeter.testing import bound


def test_compute_bound_gemm() -> None:
    op, chip = ops.Gemm(4096, 4096, 4096, "bf16"), chips.chip("h100")
    got = bound("h100", op)
    assert got.seconds == 2 * 4096**3 / chip.peak["bf16"].value
    assert got.limit == "compute"


def test_memory_bound_gemm_counts_each_operand_once() -> None:
    op, chip = ops.Gemm(1, 4096, 8192, "fp8"), chips.chip("b200")
    got = bound(chip, op)
    assert got.limit == "memory bandwidth"
    assert got.seconds == (8192 + 4096 * 8192 + 2 * 4096) / chip.memory_bandwidth.value


def test_attention_and_copies() -> None:
    chip = chips.chip("h100")
    op = ops.Attention(1, 4096, 4096, 32, 8, 128)
    assert op.flops == 2 * 2 * 128 * 32 * (4096 * 4097 // 2)
    assert bound("h100", op).seconds == op.flops / chip.peak["bf16"].value
    assert bound("h100", ops.Copy(1 << 30)).seconds == 2 * (1 << 30) / chip.memory_bandwidth.value


def test_judgement() -> None:
    got = bound("h100", ops.Gemm(4096, 4096, 4096, "bf16"))
    got.assert_at_least(0.7, seconds=got.seconds / 0.75)
    with pytest.raises(AssertionError, match=r"65\.0% of the roofline .*wanted at least 70\.0%"):
        got.assert_at_least(0.7, seconds=got.seconds / 0.65)
    with pytest.raises(AssertionError, match="faster than the chip can be"):
        got.assert_at_least(0.7, seconds=got.seconds / 1.5)


@pytest.mark.parametrize(("fraction", "seconds"), [(0, 1.0), (1.5, 1.0), (0.5, 0.0), (0.5, -1.0), (0.5, float("nan"))])
def test_senseless_judgements_are_refused(fraction: float, seconds: float) -> None:
    with pytest.raises(ValueError, match="must"):
        bound("h100", ops.Gemm(8, 8, 8, "bf16")).assert_at_least(fraction, seconds=seconds)


def test_operations_are_checked_when_made() -> None:
    with pytest.raises(ValueError, match="unknown number format 'bf17'"):
        ops.Gemm(8, 8, 8, "bf17")
    with pytest.raises(ValueError, match="at least 1"):
        ops.Gemm(0, 8, 8, "bf16")
    with pytest.raises(ValueError, match="queries"):
        ops.Attention(1, 9, 8, 1, 1, 64)
    with pytest.raises(ValueError, match="size must be"):
        ops.Copy(0)
    with pytest.raises(ValueError, match="has no nvfp4"):
        bound("h100", ops.Gemm(8, 8, 8, "nvfp4"))
