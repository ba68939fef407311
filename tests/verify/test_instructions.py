"""Every recorded instruction finds the unit of its own types, depth and scales, or none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from chipmeter.matmul import Chain, unit
from chipmeter.verify.instructions import Instruction, parse

DATA = Path(__file__).parents[1] / "data"
ROWS = json.loads((DATA / "matrix" / "index.json").read_text())["rows"]


def of(row: dict[str, object]) -> Instruction:
    """Read a row of the shipped index."""
    arch, family, text = (str(row[k]) for k in ("arch", "family", "inst"))
    types = (str(row["a"]), str(row["b"]), str(row["c"]), str(row["d"]))
    scale = row["scale_type"]
    return Instruction(
        arch,
        family,
        types,
        int(str(row["K"])),
        None if scale is None else str(scale),
        int(str(row["scale_block"] or 0)),
        text,
    )


def test_nvidia_instructions_all_have_a_unit() -> None:
    assert [row["inst"] for row in ROWS if not str(row["arch"]).startswith("CDNA") and of(row).unit() is None] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['arch']}-{row['inst']}")
def test_a_unit_found_is_of_the_recorded_types_and_depth(row: dict[str, object]) -> None:
    instruction = of(row)
    found = instruction.unit()
    if found is None:
        return
    assert (found.a, found.b, found.c, found.d) == instruction.types
    assert (found.scale, found.scale_block) == (instruction.scale, instruction.scale_block)
    assert found.k == instruction.k or isinstance(found.model, Chain) or instruction.k % found.k == 0


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['arch']}-{row['inst']}")
def test_names_of_instructions_say_what_the_index_says(row: dict[str, object]) -> None:
    parsed = parse(str(row["arch"]), str(row["family"]), str(row["inst"]))
    assert parsed is not None
    assert (parsed.types, parsed.k) == (of(row).types, row["K"])
    assert (parsed.scale, parsed.scale_block) == (row["scale_type"], row["scale_block"] or 0)


@pytest.mark.parametrize(
    ("arch", "family", "text", "name"),
    [
        ("Ada Lovelace", "mma", "m16n8k16.f32.e4m3.e4m3.f32", "ada/mma-k16.e4m3.e4m3.f32.f32"),
        ("Hopper", "mma", "m8n8k4.f64.f64.f64.f64", "hopper/mma.f64.f64.f64.f64"),
        ("Blackwell", "tcgen05_bs", "m128n16k64.kind::mxf4.block32.f32.e2m1.e2m1.ue8m0", "blackwell/tcgen05-mxf4.e2m1.e2m1.f32.f32"),
        ("Blackwell", "tcgen05_bs", "m128n16k64.kind::mxf4nvf4.block16.f32.e2m1.e2m1.ue4m3", "blackwell/tcgen05-nvf4.e2m1.e2m1.f32.f32"),
        ("Ampere", "mma", "m16n8k32.s32.s8.u8.s32", "ampere/mma.s8.u8.s32.s32"),
        ("Ampere", "mma", "m16n8k32.satfinite.s32.s8.u8.s32", "ampere/mma-satfinite.s8.u8.s32.s32"),
        ("CDNA3", "mfma", "f32_32x32x2_f32", "cdna3/mfma.f32.f32.f32.f32"),
    ],
)  # fmt: skip
def test_names_find_units(arch: str, family: str, text: str, name: str) -> None:
    parsed = parse(arch, family, text)
    assert parsed is not None
    found = parsed.unit()
    assert found is not None
    assert found == replace(unit(name), k=parsed.k)


@pytest.mark.parametrize("text", ["", "m16n8k16", "mma.f32", "m16n8k16.f32.f16", "m16n8kX.f32.f16.f16.f32", "." * 500])
def test_names_that_cannot_be_read(text: str) -> None:
    assert parse("Hopper", "mma", text) is None
    assert parse("CDNA1", "mfma", text) is None


def test_a_shorter_instruction_than_any_unit_is_not_padded_unless_a_device_did() -> None:
    short = Instruction("Hopper", "wgmma", ("f16", "f16", "f32", "f32"), 8, None, 0, "")
    assert short.unit() is None
    assert short.unit(padded=True) == unit("hopper/wgmma.f16.f16.f32.f32")
