"""The time of an operation is the longer of compute and memory, plus its launches."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chipmeter.chips import Chip, chips
from chipmeter.cost import Efficiency, Rate, efficiency, op_time
from chipmeter.cost.roofline import attention_format
from chipmeter.workloads import AllReduce, Attention, Formats, Gemm, Pointwise

BF16, FP8 = Formats.of("bf16"), Formats.of("fp8")


def test_compute_bound_gemm_by_hand(round_chip: Chip, plain: Efficiency) -> None:
    time = op_time(Gemm(5000, 10000, 1000, count=2), round_chip, BF16, plain)
    assert time.compute == 2 * 1e11 / 50e12
    assert time.memory == 2 * 2 * (10e6 + 5e6 + 50e6) / 0.25e12
    assert time.launch == 2e-6
    assert time.seconds == time.compute + 2e-6
    assert time.limit == "compute"


def test_narrow_gemm_runs_at_its_own_peak(round_chip: Chip, plain: Efficiency) -> None:
    op = Gemm(5000, 10000, 1000)
    assert op_time(op, round_chip, FP8, plain).compute == op_time(op, round_chip, BF16, plain).compute / 2


def test_memory_bound_gemm_by_hand(round_chip: Chip, plain: Efficiency) -> None:
    time = op_time(Gemm(1, 5000, 5000), round_chip, BF16, plain)
    assert time.seconds == 2 * (25e6 + 1e4) / 0.25e12 + 1e-6
    assert time.limit == "memory bandwidth"


def test_small_operation_is_bound_by_its_launch(round_chip: Chip, plain: Efficiency) -> None:
    assert op_time(Gemm(1, 10, 10), round_chip, BF16, plain).limit == "latency"


def test_pointwise_runs_on_the_vector_units(round_chip: Chip, plain: Efficiency) -> None:
    op = Pointwise(tokens=1000, width=1000, name="norm", flops_per_element=100)
    assert op_time(op, round_chip, BF16, plain).compute == 1e8 / 5e12
    unknown = msgspec.structs.replace(round_chip, vector=None)
    assert op_time(op, unknown, BF16, plain).compute == 0.0


def test_ideal_efficiency_is_the_plain_roofline(round_chip: Chip) -> None:
    assert op_time(Gemm(5000, 10000, 1000), round_chip, BF16, Efficiency.ideal()).seconds == 1e11 / 100e12


def test_all_reduce_takes_no_time_on_the_chip(round_chip: Chip, plain: Efficiency) -> None:
    assert op_time(AllReduce(tokens=8, width=8), round_chip, BF16, plain).seconds == 0.0


def test_systolic_array_pads_every_side(round_chip: Chip, plain: Efficiency) -> None:
    systolic = msgspec.structs.replace(plain, array=(128, 256), min_rows=64)
    time = op_time(Gemm(8, 257, 129), round_chip, BF16, systolic)
    assert time.compute == 2 * 64 * 512 * 256 / 50e12
    aligned = op_time(Gemm(64, 512, 256), round_chip, BF16, systolic)
    assert aligned.compute == time.compute


def test_systolic_array_pads_every_group(round_chip: Chip, plain: Efficiency) -> None:
    systolic = msgspec.structs.replace(plain, array=(128, 128), min_rows=64)
    assert op_time(Gemm(8, 128, 128, groups=4), round_chip, BF16, systolic).compute == 2 * 4 * 64 * 128 * 128 / 50e12


def test_missing_format_names_those_there_are(round_chip: Chip, plain: Efficiency) -> None:
    with pytest.raises(ValueError, match="round has no nvfp4 matrix rate; it has bf16, fp8"):
        op_time(Gemm(1, 1, 1), round_chip, Formats.of("nvfp4"), plain)


def test_missing_constants_are_named(round_chip: Chip, plain: Efficiency) -> None:
    bare = msgspec.structs.replace(plain, gemm={"bf16": plain.gemm["bf16"]})
    with pytest.raises(ValueError, match="no GEMM efficiency for fp8; known: bf16"):
        op_time(Gemm(1, 1, 1), round_chip, FP8, bare)


def test_attention_format_falls_back_to_16_bits(round_chip: Chip) -> None:
    assert attention_format(round_chip, FP8) == "bf16"
    old = msgspec.structs.replace(round_chip, peak={"fp16": round_chip.peak["bf16"], "fp8": round_chip.peak["fp8"]})
    assert attention_format(old, FP8) == "fp16"


def test_grade_is_the_weakest_input(round_chip: Chip, plain: Efficiency) -> None:
    guess = msgspec.structs.replace(plain.gemm["bf16"], grade="assumed")
    doubtful = msgspec.structs.replace(plain, gemm={"bf16": guess})
    assert op_time(Gemm(1, 1, 1), round_chip, BF16, plain).grade == "documented"
    assert op_time(Gemm(1, 1, 1), round_chip, BF16, doubtful).grade == "assumed"


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, float("nan")])
def test_shares_of_peak_are_checked(share: float) -> None:
    with pytest.raises(ValueError, match=r"must lie in \(0, 1\]"):
        Rate(compute=share, memory=0.5, launch=0.0, grade="assumed", source="test")


@pytest.mark.parametrize("launch", [-1e-6, float("nan"), float("inf")])
def test_launch_is_checked(launch: float) -> None:
    with pytest.raises(ValueError, match="launch must be finite and not negative"):
        Rate(compute=0.5, memory=0.5, launch=launch, grade="assumed", source="test")


def test_every_chip_of_the_catalogue_has_constants_for_its_formats() -> None:
    for chip in chips():
        for format in chip.peak:
            time = op_time(Gemm(128, 4096, 4096), chip, Formats.of(format))
            ideal = op_time(Gemm(128, 4096, 4096), chip, Formats.of(format), Efficiency.ideal())
            assert time.seconds > ideal.seconds, (chip.id, format)


def test_unknown_chip_gets_the_assumed_defaults(round_chip: Chip) -> None:
    known = efficiency(round_chip)
    assert known.family == "default"
    assert {rate.grade for rate in known.gemm.values()} == {"assumed"}


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 10_000), st.integers(1, 10_000), st.integers(1, 10_000))
def test_more_rows_never_take_less_time(round_chip: Chip, plain: Efficiency, m: int, n: int, k: int) -> None:
    for constants in (plain, msgspec.structs.replace(plain, array=(128, 128), min_rows=64)):
        small = op_time(Gemm(m, n, k), round_chip, BF16, constants).seconds
        for large in (Gemm(m + 1, n, k), Gemm(m, n + 1, k), Gemm(m, n, k + 1)):
            assert op_time(large, round_chip, BF16, constants).seconds >= small


def test_attention_runs_at_the_16_bit_rate_whatever_the_gemms(round_chip: Chip, plain: Efficiency) -> None:
    op = Attention(batch=1, queries=4096, keys=4096, heads=8, kv_heads=8, head_dim=128, value_dim=128)
    assert op_time(op, round_chip, FP8, plain).compute == op.flops / 50e12
