"""One flipped bit in a recording is one mismatch in its row, wherever it lies."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from chipmeter.verify import Row, verify

DATA = Path(__file__).parents[1] / "data"


@cache
def names(source: Path) -> set[str]:
    """Names of the rows of an intact recording."""
    return {row.name for row in verify(source).rows}


def flip(source: Path, target: Path, file: str, key: str, position: int, bit: int) -> list[Row]:
    """Copy a recording with one bit of one array flipped; return the rows that differ."""
    shutil.copytree(source, target)
    with np.load(target / file) as full:
        arrays = {name: full[name].copy() for name in full.files}
    flat = arrays[key].reshape(-1)
    flat[position] ^= flat.dtype.type(1 << bit)
    np.savez(target / file, **arrays)
    rows = verify(target).rows
    assert {row.name for row in rows} == names(source)
    return [row for row in rows if row.mismatches]


@pytest.mark.parametrize(
    ("file", "key", "position", "bit"),
    [
        ("elementwise_f32.npz", "ml_dtypes/float8_e4m3fn", 40, 0),
        ("elementwise_f32.npz", "torch/bfloat16", 0, 15),
        ("elementwise_f64.npz", "ml_dtypes/float8_e5m2", 17, 1),
        ("exhaustive_fp16.npz", "to_f32/numpy", 5, 31),
        ("decode_all_codes.npz", "gfloat/e3m4_ieee", 3, 20),
        ("rounding_modes_gfloat8.npz", "e2m3/TowardNegative/sat", 7, 0),
        ("rounding_modes_cpfloat.npz", "tf32/ToOdd/nosat", 1, 13),
        ("elementwise_microxcaling.npz", "float16/floor/nosat", 3, 13),
        ("stochastic_given_bits.npz", "gfloat/bf16/StochasticFast/8", 0, 0),
        ("stochastic_given_bits.npz", "torchao/bf16_sr16", 9, 0),
        ("mx_torchao-main.npz", "e2m1_packed/RCEIL/data", 200, 4),
        ("mx_torchao-main.npz", "bf16/e3m2/EVEN/scale", 4, 0),
        ("mx_microxcaling.npz", "fp6_e2m3/even", 300, 30),
        ("nvfp4_torchao-main.npz", "benign/two/data", 100, 0),
        ("nvfp4_torchao-main.npz", "benign/single/scale", 5, 0),
        ("nvfp4_torchao-main.npz", "wide/two/pts", 0, 0),
        ("mx_trainium_golden.npz", "float4_e2m1fn/ocp_floor/data_x4", 0, 0),
        ("e8m0_te_host.npz", "float_to_e8m0", 30, 0),
    ],
)
def test_a_flipped_bit_of_a_library_is_one_mismatch(
    tmp_path: Path, file: str, key: str, position: int, bit: int
) -> None:
    (row,) = flip(DATA / "quantisation", tmp_path / "copy", file, key, position, bit)
    assert (row.name, row.mismatches) == (f"{file}:{key}", 1)
    assert row.first_mismatch is not None
    assert "recorded 0x" in row.first_mismatch


@pytest.mark.parametrize("case", ["g0", "g7", "g12", "g17", "g27"])
def test_a_flipped_bit_of_a_gemm_is_one_mismatch(tmp_path: Path, case: str) -> None:
    (row,) = flip(DATA / "matrix", tmp_path / "copy", "gemm.npz", f"{case}_D", 50, 3)
    assert row.name.startswith(f"gemm {case} ")
    assert row.mismatches == 1
    assert row.first_mismatch is not None
    assert row.first_mismatch.startswith("[8, 2]: emulated 0x")


def test_a_flipped_bit_of_an_instruction_is_one_mismatch_in_each_row_that_shares_the_output(tmp_path: Path) -> None:
    rows = flip(DATA / "matrix", tmp_path / "copy", "e2m1_e2m1_f32_64_ue4m3_16.npz", "D0", 17, 0)
    assert sorted(row.name.rpartition(" ")[0] for row in rows) == [
        "Blackwell tcgen05.mma.block_scale", "RTX Blackwell mma.sync.block_scale",
    ]  # fmt: skip
    assert {row.mismatches for row in rows} == {1}


def test_a_nan_of_another_payload_differs_where_the_nan_is_canonical_only(tmp_path: Path) -> None:
    shutil.copytree(DATA / "matrix", tmp_path / "copy")
    changed = {}
    for file in ("f16_f16_f32_4.npz", "f64_f64_f64_4.npz"):
        with np.load(DATA / "matrix" / file) as full:
            arrays = {name: full[name].copy() for name in full.files}
        wide = arrays["D0"].dtype.itemsize == 8
        nan = np.isnan(arrays["D0"].view(np.float64 if wide else np.float32))
        changed[file] = int(nan.sum())
        arrays["D0"][nan] ^= 1
        np.savez(tmp_path / "copy" / file, **arrays)
    assert min(changed.values()) > 0
    different = [row for row in verify(tmp_path / "copy").rows if row.mismatches]
    assert different
    assert {row.mismatches for row in different} == {changed["f16_f16_f32_4.npz"]}
    assert {row.note.split(", ")[-1] for row in different} == {"f16_f16_f32_4.npz:D0"}


@pytest.mark.parametrize(
    ("file", "key", "position"),
    [
        ("outputs.npz", "gloo_allreduce_ring_bfloat16_n5_wide_c29", 7),
        ("outputs.npz", "openmpi_reduce_in_order_binary_n7_cancel_c1003_r6", 1002),
        ("special_mpich_recursive_doubling_n3.npz", "max", 399),
    ],
)
def test_a_flipped_bit_of_a_collective_is_one_mismatch(tmp_path: Path, file: str, key: str, position: int) -> None:
    source, target = DATA / "collectives", tmp_path / "copy"
    shutil.copytree(source, target)
    with np.load(target / file) as full:
        arrays = {name: full[name].copy() for name in full.files}
    flat = arrays[key].reshape(-1).view(f"u{arrays[key].dtype.itemsize}")
    flat[position] ^= flat.dtype.type(1)
    np.savez(target / file, **arrays)
    (row,) = (row for row in verify(target).rows if row.mismatches)
    assert key in row.name
    assert row.mismatches == 1
