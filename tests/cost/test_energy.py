"""Energy comes from measured joules where there are any, from rated power where not, and stays unknown otherwise."""

import msgspec
import pytest

from chipmeter.chips import Chip
from chipmeter.cost.energy import IDLE_SHARE, PowerModel, power_model
from chipmeter.evidence import Figure
from chipmeter.workloads import AllReduce, Attention, Formats, Gemm, Pointwise

BF16, FP8 = Formats.of("bf16"), Formats.of("fp8")


def figure(value: float) -> Figure:
    return Figure(value=value, grade="documented", source="made up")


@pytest.fixture
def measured(round_chip: Chip) -> Chip:
    """1 pJ per FLOP in bf16, 0.5 in fp8, 100 pJ per byte."""
    return msgspec.structs.replace(
        round_chip, energy_per_flop={"bf16": figure(1e-12), "fp8": figure(0.5e-12)}, energy_per_byte=figure(100e-12)
    )


def model_of(chip: Chip, formats: Formats = BF16) -> PowerModel:
    model = power_model(chip, formats)
    assert model is not None
    return model


def test_rated_power_by_hand(round_chip: Chip) -> None:
    model = model_of(round_chip)
    assert model.grade == "assumed"
    assert "no measured energy of bf16 on round" in model.assumption
    assert model.joules(Gemm(1, 1, 1), BF16, busy=2.0, seconds=3.0) == 2 * 500 + 1 * 100


def test_unknown_idle_power_is_a_share_of_the_rated(round_chip: Chip) -> None:
    assert model_of(msgspec.structs.replace(round_chip, idle=None)).idle == IDLE_SHARE * 500


def test_unknown_power_stays_unknown(measured: Chip) -> None:
    assert power_model(msgspec.structs.replace(measured, tdp=None), BF16) is None


def test_measured_energy_is_the_larger_of_work_and_traffic(measured: Chip) -> None:
    model = model_of(measured)
    large, thin = Gemm(1000, 10000, 10000), Gemm(1, 10000, 10000)
    assert model.joules(large, BF16, busy=1e-3, seconds=1e-3) == large.flops * 1e-12
    assert model.joules(thin, BF16, busy=1e-4, seconds=1e-4) == thin.bytes(BF16) * 100e-12
    assert model.grade == "documented"


def test_narrow_gemm_uses_its_own_figure_and_attention_that_of_its_format(measured: Chip) -> None:
    model = model_of(measured, FP8)
    gemm = Gemm(1000, 10000, 10000)
    attention = Attention(batch=8, queries=4096, keys=4096, heads=8, kv_heads=1, head_dim=128, value_dim=128)
    assert model.joules(gemm, FP8, busy=5e-4, seconds=5e-4) == gemm.flops * 0.5e-12
    assert model.joules(attention, FP8, busy=1.0, seconds=1.0) == max(attention.flops * 1e-12, 100.0)


def test_power_never_exceeds_the_rated(measured: Chip) -> None:
    assert model_of(measured).joules(Gemm(1000, 10000, 10000), BF16, busy=1e-6, seconds=1e-6) == 500 * 1e-6


def test_power_never_falls_below_idle(measured: Chip) -> None:
    model = model_of(measured)
    assert model.joules(Pointwise(tokens=1, width=1, name="x"), BF16, busy=1.0, seconds=1.0) == 100.0
    assert model.joules(AllReduce(tokens=1, width=1), BF16, busy=0.0, seconds=2.0) == 200.0


def test_measured_energy_needs_both_figures(measured: Chip) -> None:
    assert model_of(msgspec.structs.replace(measured, energy_per_byte=None)).per_flop is None
