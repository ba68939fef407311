"""Establishes that every file of the catalogue loads, is consistent with the others, and is found by its names."""

import subprocess
import sys
from pathlib import Path

import pytest

import chipmeter.chips as catalogue
from chipmeter._names import UnknownNameError
from chipmeter.chips import Chip, Link, System
from chipmeter.evidence import Figure

DATA = Path(catalogue.__file__).parent / "data"
EXPECTED = [
    "v100",
    "t4",
    "a100_40",
    "a100_80",
    "l4",
    "l40s",
    "h100_sxm",
    "h100_pcie",
    "h200",
    "gh200",
    "b200",
    "gb200",
    "b300",
    "gb300",
    "rubin",
    "rtx_pro_6000",
    "trn1",
    "inf2",
    "trn2",
    "trn3",
    "trn4",
    "tpu_v2",
    "tpu_v3",
    "tpu_v4",
    "tpu_v5e",
    "tpu_v5p",
    "tpu_v6e",
    "tpu_v7",
    "mi250x",
    "mi300x",
    "mi325x",
    "mi355x",
]


def figures(record: Chip | System) -> list[Figure]:
    """Every figure of a record, those inside links and tables included."""
    found: list[Figure] = []
    for field in record.__struct_fields__:
        value = getattr(record, field)
        if isinstance(value, Link):
            value = value.bandwidth
        found += [v for v in (value.values() if isinstance(value, dict) else [value]) if isinstance(v, Figure)]
    return found


def test_lists_every_chip_once_in_order():
    assert [chip.id for chip in catalogue.chips()] == EXPECTED


def test_index_and_files_name_the_same_chips():
    assert {path.stem for path in (DATA / "chips").glob("*.toml")} == set(EXPECTED)
    assert all(catalogue.chip(name).id == name for name in EXPECTED)


@pytest.mark.parametrize(
    ("name", "chip_id"),
    [
        ("h100", "h100_sxm"),
        ("H100-SXM", "h100_sxm"),
        ("a100", "a100_80"),
        ("A100 40GB", "a100_40"),
        ("b200", "b200"),
        ("trainium3", "trn3"),
        ("Trn3", "trn3"),
        ("tpu-v7", "tpu_v7"),
        ("ironwood", "tpu_v7"),
        ("tpu.v5p", "tpu_v5p"),
        ("trillium", "tpu_v6e"),
        ("rtx-pro-6000", "rtx_pro_6000"),
    ],
)
def test_aliases(name, chip_id):
    assert catalogue.chip(name).id == chip_id


def test_no_name_stands_for_two_chips():
    names = [name for chip in catalogue.chips() for name in (chip.id, *chip.aliases)]
    keys = [name.casefold().translate(str.maketrans("", "", " -_.")) for name in names]
    assert len(set(keys)) == len(keys)


def test_system_names_are_unique_and_found():
    names = [system.id for system in catalogue.systems()]
    assert len(set(names)) == len(names)
    assert all(catalogue.system(name.upper()).id == name for name in names)


@pytest.mark.parametrize("lookup", [catalogue.chip, catalogue.system, catalogue.prices, catalogue.cheapest_price])
@pytest.mark.parametrize("name", ["h10O", "", "no such thing", None, 7, ["h100"]])
def test_unknown_names_are_refused(lookup, name):
    with pytest.raises(UnknownNameError, match="unknown"):
        lookup(name)


def test_unknown_chip_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match=r"did you mean .*'h100'"):
        catalogue.chip("h1000")


def test_same_record_each_time():
    assert catalogue.chip("trn2") is catalogue.chip("trainium2")


def test_every_system_is_built_of_a_chip_in_the_catalogue():
    assert {system.chip for system in catalogue.systems()} <= set(EXPECTED)


def test_every_figure_price_and_conflict_has_a_source():
    for record in (*catalogue.chips(), *catalogue.systems()):
        lists = [getattr(record, field, ()) for field in ("conflicts", "prices", "history")]
        for item in [*figures(record), *(entry for entries in lists for entry in entries)]:
            assert item.source.strip(), record.id


def test_no_second_hand_figure_is_called_documented():
    for record in (*catalogue.chips(), *catalogue.systems()):
        lists = [getattr(record, field, ()) for field in ("conflicts", "prices", "history")]
        for item in [*figures(record), *(entry for entries in lists for entry in entries)]:
            if any(word in item.source for word in ("secondary", "recalled", "estimate", "not named")):
                assert item.grade == "assumed", (record.id, item)
            if item.grade == "documented":
                assert item.source.startswith(("NVIDIA, ", "AWS, ", "Google, ")), (record.id, item)
            assert item.grade != "hardware", (record.id, item)


def test_every_conflict_is_about_a_field_and_differs_from_it():
    scale = {
        "TFLOP/s": 1e12, "TOP/s": 1e12, "GB/s": 1e9, "TB/s": 1e12, "GiB/s": 2**30, "Gbit/s": 1e9 / 8, "Tbit/s": 1e12 / 8,
        "GB": 1e9, "GiB": 2**30, "MiB": 2**20, "GHz": 1e9, "W": 1.0, "pJ/FLOP": 1e-12, "pJ/B": 1e-12,
    }  # fmt: skip
    for chip in catalogue.chips():
        for conflict in chip.conflicts:
            value = chip
            for part in conflict.field.split("."):
                value = value.get(part) if isinstance(value, dict) else getattr(value, part)
            if value is not None:
                assert value.value != conflict.value * scale[conflict.unit], (chip.id, conflict)


def test_matrix_units_belong_to_published_arithmetic_only():
    for name in ("rubin", "trn4", "mi355x"):
        assert catalogue.chip(name).units == {}
    for name in ("h200", "gh200", "h100_pcie"):
        assert catalogue.chip(name).units == catalogue.chip("h100").units
    for name in ("b300", "gb200", "gb300"):
        assert catalogue.chip(name).units == catalogue.chip("b200").units
    assert catalogue.chip("h100").units["fp8"] == "h100/fp8"
    assert catalogue.chip("inf2").units["bf16"] == "trn1/bf16"
    assert catalogue.chip("trn3").units["mxfp8"] == "trn3/mxfp8"
    assert catalogue.chip("tpu_v5p").units["bf16"] == "tpu-v5p/bf16"
    for chip in catalogue.chips():
        for number_format, unit in chip.units.items():
            assert unit.endswith(f"/{number_format}"), chip.id


def test_trainium_peaks_are_those_of_the_array_alone():
    array = 128 * 128 * 2
    assert catalogue.chip("trn1").peak["bf16"].value == 2 * array * 2_800_000_000
    for name in ("trn2", "trn3"):
        peak = catalogue.chip(name).peak
        assert peak["bf16"].value == 8 * array * 2_400_000_000
        assert peak["fp32"].value * 4 == peak["bf16"].value
        assert peak["fp8"].value == 2 * peak["bf16"].value
    assert catalogue.chip("trn3").peak["mxfp8"].value == catalogue.chip("trn3").peak["mxfp4"].value
    assert 667 in [c.value for c in catalogue.chip("trn2").conflicts if c.field == "peak.bf16"]


def test_unpublished_power_is_unknown():
    for name in ("trn1", "inf2", "trn2", "trn3", "trn4", "tpu_v5e", "tpu_v7"):
        assert catalogue.chip(name).tdp is None


def test_ratios_between_relatives():
    peak = {name: catalogue.chip(name).peak for name in EXPECTED}
    for name in ("h100_sxm", "b200", "mi300x"):
        assert peak[name]["bf16"].value == peak[name]["fp16"].value
        assert 1.99 < peak[name]["fp8"].value / peak[name]["bf16"].value < 2.01
    assert peak["b200"]["nvfp4"].value == 2 * peak["b200"]["fp8"].value
    assert peak["b300"]["nvfp4"].value == 1.5 * peak["b200"]["nvfp4"].value
    assert catalogue.chip("h200").memory_bandwidth.value > catalogue.chip("h100").memory_bandwidth.value


def test_measured_energy_agrees_with_the_power_and_rate_in_its_note():
    assert catalogue.chip("h200").energy_per_flop["bf16"].value < catalogue.chip("h200").energy_per_byte.value
    for name, number_format, watts, tera in (
        ("h200", "bf16", 577, 802.1),
        ("b200", "nvfp4", 983, 4637.2),
        ("gb200", "bf16", 980, 1912.9),
    ):
        stored = catalogue.chip(name).energy_per_flop[number_format].value
        assert abs(stored - watts / (tera * 1e12)) < 0.02 * stored  # medians of ratios and ratios of medians differ


def test_importing_reads_no_data():
    code = (
        "import sys, builtins, io, pathlib\n"
        "def refuse(*a, **k): raise AssertionError(a)\n"
        "import tomllib, msgspec\n"
        "tomllib.loads = tomllib.load = refuse\n"
        "import chipmeter.chips\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_name_reads_one_chip_file():
    code = (
        "import pathlib\n"
        "opened = []\n"
        "real = pathlib.Path.open\n"
        "def spy(self, *a, **k):\n"
        "    opened.append(self.name)\n"
        "    return real(self, *a, **k)\n"
        "pathlib.Path.open = spy\n"
        "import chipmeter.chips as c\n"
        "c.chip('h100'); c.chip('h100_sxm')\n"
        "assert opened.count('h100_sxm.toml') == 1, opened\n"
        "assert {n for n in opened if n.endswith('.toml')} <= {'index.toml', 'h100_sxm.toml'}, opened\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
