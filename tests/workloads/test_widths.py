"""Bytes per element count the block scale, and the formats of a workload follow from its GEMM format."""

import pytest

from chipmeter.workloads import Formats, bytes_per_element


@pytest.mark.parametrize(
    ("format", "bits"),
    [
        ("fp32", 32),
        ("tf32", 32),
        ("bf16", 16),
        ("fp16", 16),
        ("fp8", 8),
        ("int8", 8),
        ("int4", 4),
        ("mxfp8", 8.25),  # 32 elements share 8 bits
        ("mxfp6", 6.25),
        ("mxfp4", 4.25),
        ("nvfp4", 4.5),  # 16 elements share 8 bits
    ],
)
def test_bits_per_element(format: str, bits: float) -> None:
    assert bytes_per_element(format) * 8 == bits


@pytest.mark.parametrize("format", ["bf15", "", None, 16, ["bf16"]])
def test_unknown_format_is_named(format: object) -> None:
    with pytest.raises(ValueError, match="unknown number format"):
        bytes_per_element(format)  # type: ignore[arg-type]


def test_narrow_gemms_keep_activations_and_cache_in_16_bits() -> None:
    assert Formats.of("nvfp4") == Formats(gemm="nvfp4", weight="nvfp4", activation="bf16", kv="bf16")


def test_wide_gemms_keep_their_format() -> None:
    assert Formats.of("fp16") == Formats(gemm="fp16", weight="fp16", activation="fp16", kv="fp16")
    assert Formats.of("tf32") == Formats(gemm="tf32", weight="tf32", activation="fp32", kv="fp32")


def test_given_formats_win() -> None:
    formats = Formats.of("bf16", weight="int4", activation="fp32", kv="fp8")
    assert (formats.weight, formats.activation, formats.kv) == ("int4", "fp32", "fp8")


def test_formats_are_checked() -> None:
    with pytest.raises(ValueError, match="unknown number format 'fp9'"):
        Formats.of("bf16", kv="fp9")
