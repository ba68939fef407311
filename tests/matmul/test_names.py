"""Names stand for the units people mean, chips nobody has published are refused by name, and contradicting records too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.matmul import Chain, FusedDot, Unit, aliases, unit, units
from chipmeter.matmul.names import SYNONYMS, UNKNOWN_CHIPS

H100 = unit("h100/fp16")


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("h100_sxm/fp8", "hopper/wgmma.e4m3.e4m3.f32.f32"),
        ("RTX-3090/bf16", "ampere/mma.bf16.bf16.f32.f32"),
        ("tpu_v5p/bf16", "tpu-mxu-128/matmul.bf16.bf16.f32.f32"),
        ("trillium/int8", "tpu-mxu-256/matmul.s8.s8.s32.s32"),
        ("t4/int4", "turing/mma.s4.s4.s32.s32"),
        ("a100/uint8", "ampere/mma.u8.u8.s32.s32"),
        ("h100/b1-and", "hopper/wgmma-and.b1.b1.s32.s32"),
        ("l4/mma.s4.u4.s32", "ada/mma.s4.u4.s32.s32"),
    ],
)
def test_names(name: str, full: str) -> None:
    assert unit(name).name == full


def test_every_synonym_stands_for_a_chip_with_units_and_hides_none() -> None:
    places = {a.partition("/")[0] for a in aliases()} | {n.partition("/")[0] for n in units()}
    assert set(SYNONYMS.values()) <= places
    assert not (set(SYNONYMS) | set(UNKNOWN_CHIPS)) & places
    assert not set(SYNONYMS) & set(UNKNOWN_CHIPS)


def test_unpublished_arithmetic_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="arithmetic of CDNA4 is not published"):
        unit("mi355x/fp8")


def test_binary_units_stop_where_the_instruction_does() -> None:
    found = {n.partition(".")[0] for n, u in units().items() if u.a == "b1"}
    assert found == {"turing/mma-xor", "ampere/mma-xor", "ampere/mma-and", "ada/mma-xor", "ada/mma-and", "hopper/mma-and",
                     "hopper/wgmma-and"}  # fmt: skip
    four = {n.partition("/")[0] for n, u in units().items() if u.a in ("s4", "u4")}
    assert four == {"turing", "ampere", "ada"}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: replace(H100, k="16"), "Unit: k must be an integer, got '16'"),
        (lambda: replace(H100, model="fused"), "model must be one of FusedDot, .*BinaryDot.*, got 'fused'"),
        (lambda: replace(H100, evidence="trust me"), "evidence must be an Evidence, got str"),
        (lambda: FusedDot(16.0, 25, "rz-f32", -133), "FusedDot: products must be an integer, got 16.0"),  # type: ignore[arg-type]
        (lambda: Chain("pairwise", 1.5), "Chain: tile must be an integer, got 1.5"),  # type: ignore[arg-type]
    ],
)
def test_fields_of_the_wrong_type_are_named(build: Callable[[], Unit], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        build()


def test_masks_are_not_dropped() -> None:
    x: Any = np.ma.masked_array(np.ones((2, 16), np.float16))
    with pytest.raises(TypeError, match="the mask of a masked array would be lost"):
        cm.matmul(x, np.ones((16, 2), np.float16), unit=H100)


def test_a_narrow_float_of_another_kind_is_told_how_to_become_the_units() -> None:
    x = cm.cast(np.ones((2, 32), np.float32), "float8_e4m3")
    with pytest.raises(TypeError, match=r"got float8_e4m3; cast it first: chipmeter.cast\(a, 'float8_e4m3fn'\)"):
        cm.matmul(x, x.T, unit="h100/fp8")
