"""Establishes that a chip file of a user's own loads, and that any malformed or hostile file is refused with its field named."""

import msgspec
import pytest

from chipmeter.chips import Chip, Link, Price, System, load_chip
from chipmeter.chips.load import MAX_BYTES, MAX_LINE_BYTES, read_systems
from chipmeter.evidence import Figure

GOOD = """
id = "mine"
name = "My chip"
vendor = "Me"
launch = "2027"
memory = { value = 1e9, evidence = "sheet" }
memory_bandwidth = { value = 1e12, grade = "assumed", source = "a guess" }
[peak]
bf16 = { value = 1e14, evidence = "sheet" }
fp8 = { value = 200_000_000_000_000, evidence = "sheet", grade = "inferred", note = "twice" }
[units]
bf16 = "h100/bf16"
[scale_up]
name = "wire"
bandwidth = { value = 1e10, evidence = "sheet" }
domain = 4
[[conflicts]]
field = "tdp"
value = 300
unit = "W"
evidence = "sheet"
[evidence.sheet]
grade = "documented"
source = "data sheet"
date = "2027-01"
"""

SYSTEMS = """
[evidence]
list = { grade = "assumed", source = "a price list", date = "2027-01" }
[[systems]]
id = "box"
name = "Box"
kind = "cloud"
chip = "mine"
chips = 4
prices = [
    { kind = "on-demand", dollars_per_hour = 8, evidence = "list" },
    { kind = "spot", dollars_per_hour = 1.5, chips = 1, evidence = "list" },
]
"""


@pytest.fixture
def write(tmp_path):
    def save(text):
        path = tmp_path / "given.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return save


def test_loads_a_chip_with_its_evidence_written_out(write):
    chip = load_chip(str(write(GOOD)))
    assert chip.peak == {
        "bf16": Figure(1e14, "documented", "data sheet", "2027-01"),
        "fp8": Figure(2e14, "inferred", "data sheet", "2027-01", "twice"),
    }
    assert chip.memory_bandwidth == Figure(1e12, "assumed", "a guess")
    assert chip.scale_up == Link(name="wire", bandwidth=Figure(1e10, "documented", "data sheet", "2027-01"), domain=4)
    assert chip.conflicts[0].source == "data sheet"
    assert (chip.tdp, chip.scale_out, chip.energy_per_flop, chip.status) == (None, None, {}, "shipping")


def test_records_survive_json(write):
    chip = load_chip(write(GOOD))
    assert msgspec.json.decode(msgspec.json.encode(chip), type=Chip) == chip


def test_records_are_frozen(write):
    chip = load_chip(write(GOOD))
    with pytest.raises(AttributeError):
        chip.id = "other"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("value = 1e14", "value = nan", r"peak\.bf16\.value: expected a finite number, got nan"),
        ("value = 1e9", "value = inf", r"memory\.value: expected a finite number, got inf"),
        ("value = 1e14", "value = -1e14", r"peak\.bf16 must be positive, got -1"),
        ("value = 1e9", "value = 0", r"memory must be positive, got 0"),
        ("value = 1e10", "value = -1", r"bandwidth must be positive.*scale_up"),
        ("value = 1e14", 'value = "fast"', r"peak.bf16: peak must be a number with a unit"),
        ("value = 1e14", "value = true", r"Expected `float`, got `bool`.*peak"),
        ("value = 1e14", "value = 1" + "0" * 400, r"given\.toml"),
        ("value = 1e14, ", "", r"missing required field `value`.*peak"),
        ("bf16 = {", "bf17 = {", r"peak has unknown number format 'bf17'; accepted: fp64"),
        ('bf16 = "h100/bf16"', 'int8 = "h100/int8"', r"units names 'int8', a format without a peak rate"),
        ('id = "mine"', "", r"missing required field `id`"),
        ('id = "mine"', 'idd = "mine"', r"unknown field `idd`|missing required field `id`"),
        ('vendor = "Me"', 'vendor = "Me"\ncolour = "red"', r"unknown field `colour`"),
        ('launch = "2027"', "launch = 2027-01-01", r"Expected `str`.*launch"),
        ('launch = "2027"', 'launch = "2027"\nstatus = "rumoured"', r"Invalid enum value 'rumoured'.*status"),
        ('grade = "assumed"', 'grade = "certain"', r"Invalid enum value 'certain'.*memory_bandwidth"),
        ("domain = 4", "domain = 0", r"domain must be at least 1 chip, got 0"),
        (
            'evidence = "sheet", grade',
            'evidence = "shee", grade',
            r"peak\.fp8: unknown evidence 'shee'.*defines: sheet",
        ),
        ('evidence = "sheet", grade', "evidence = 3, grade", r"peak\.fp8: unknown evidence 3"),
        ("[evidence.sheet]", "[evidence]", r"evidence must be a table of tables"),
        ("[peak]", "[peak", r"not a TOML file"),
    ],
)
def test_refuses_a_malformed_chip_and_names_file_and_field(write, old, new, message):
    assert old in GOOD
    with pytest.raises(ValueError, match=message) as caught:
        load_chip(write(GOOD.replace(old, new, 1)))
    assert "given.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "missing required field"),
        (b"\xff\xfe\x00", "not a TOML file"),
        (b"a = \n" + b"[\n" * 50_000, "not a TOML file"),
        (b"a = [\n" + b"[\n" * 50_000, "not a TOML file"),
        (b"peak = " + b"{ a = " * 150, "not a TOML file"),
        (b"peak" + b".a" * 500 + b" = 1", "nested deeper than 16 levels"),
        (b"evidence = 3", "evidence must be a table of tables"),
        (GOOD.encode() + b"#" * 100 + b"\n#" * MAX_BYTES, f"larger than the {MAX_BYTES} bytes"),
        (GOOD.encode() + b"#" + b"x" * MAX_LINE_BYTES, f"line longer than the {MAX_LINE_BYTES} bytes"),
    ],
    ids=["empty", "bytes", "brackets", "arrays", "tables", "nested", "evidence", "large", "long-line"],
)
def test_refuses_a_hostile_file(write, data, message):
    with pytest.raises(ValueError, match=rf"given\.toml.*{message}"):
        load_chip(write(data))


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_chip(tmp_path / "none.toml")


def test_a_price_pays_for_the_whole_system_unless_it_says_otherwise(write):
    (box,) = read_systems(write(SYSTEMS))
    assert isinstance(box, System)
    assert [(price.chips, price.dollars_per_chip_hour) for price in box.prices] == [(4, 2.0), (1, 1.5)]
    assert box.prices[0] == Price(
        kind="on-demand", dollars_per_hour=8.0, chips=4, grade="assumed", source="a price list", date="2027-01"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("= 8,", "= nan,", r"systems\[0\]\.prices\[0\]\.dollars_per_hour: expected a finite number, got nan"),
        ("= 8,", "= inf,", r"systems\[0\]\.prices\[0\]\.dollars_per_hour: expected a finite number, got inf"),
        (
            "= 8,",
            "= -8,",
            r"systems\[0\] \(box\).*dollars_per_hour must be a positive finite number, got -8.*prices\[0\]",
        ),
        ("= 8,", "= 0,", r"dollars_per_hour must be a positive finite number, got 0"),
        ("= 1.5,", "= 1.5, high = 1,", r"high must be finite and not below dollars_per_hour, got 1.*prices\[1\]"),
        ("chips = 1,", "chips = 0,", r"chips must be at least 1, got 0.*prices\[1\]"),
        ("chips = 4", "chips = 0", r"chips must be at least 1, got 0"),
        ("chips = 4", 'chips = "four"', r"Expected `int`, got `str`"),
        ('"on-demand"', '"on demand"', r"Invalid enum value 'on demand'.*kind"),
        ("[[systems]]", "[systems]", r"expected a \[\[systems\]\] list"),
        ("[[systems]]", "[[machines]]", r"expected a \[\[systems\]\] list"),
    ],
)
def test_refuses_a_malformed_system_and_names_file_and_field(write, old, new, message):
    assert old in SYSTEMS
    with pytest.raises(ValueError, match=message) as caught:
        read_systems(write(SYSTEMS.replace(old, new, 1)))
    assert "given.toml" in str(caught.value)


@pytest.mark.parametrize("dollars", [float("nan"), float("inf"), -1.0, 0.0])
def test_a_price_made_in_code_is_checked_too(dollars):
    with pytest.raises(ValueError, match="dollars_per_hour must be a positive finite number"):
        Price(kind="spot", dollars_per_hour=dollars, chips=1, grade="assumed", source="x")
