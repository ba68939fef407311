"""Establishes that the tables say what the records say: assumed figures marked, unknown ones named, nothing left out."""

import json

import pytest
from rich.console import Console

from chipmeter.chips import chip, chips, systems
from chipmeter.chips.show import catalogue_data, catalogue_table, chip_card, chip_data, figures


def printed(renderable, width=400):
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def row(name):
    return next(line for line in printed(catalogue_table()).splitlines() if line.split()[:1] == [name]).split()


def test_overview_has_a_row_for_every_chip():
    lines = [line.split()[0] for line in printed(catalogue_table()).splitlines() if line.strip()]
    assert [name for name in lines if name in {c.id for c in chips()}] == [c.id for c in chips()]


def test_overview_states_rates_in_teraflops():
    assert row("b200")[3:9] == ["2,250", "4,500", "9,000", "180", "8", "1,000"]


def test_overview_prefers_the_faster_format_of_a_width():
    assert row("trn3")[3:6] == ["629.1", "2,516.6", "2,516.6"]


def test_overview_says_unknown_absent_and_assumed():
    assert row("trn3")[8:10] == ["unknown", "unknown"]
    assert row("h100_sxm")[5] == "-"
    assert row("rubin")[3:5] == ["unknown", "~17,500"]
    assert row("h100_sxm")[9].startswith("~")
    assert row("tpu_v7")[10] == "documented"


def test_overview_lists_the_chips_given():
    assert "trn2" not in printed(catalogue_table([chip("h100")]))
    assert [entry["id"] for entry in catalogue_data([chip("h100")])] == ["h100_sxm"]


def test_data_twins_are_json():
    assert len(json.loads(json.dumps(catalogue_data(), allow_nan=False))) == len(chips())
    for record in chips():
        assert json.loads(json.dumps(chip_data(record), allow_nan=False))["id"] == record.id


def test_card_shows_every_figure_conflict_system_and_price():
    for record in chips():
        text = printed(chip_card(record))
        for field, figure, _, _ in figures(record):
            line = next(line for line in text.splitlines() if line.split()[:1] == [field])
            assert ("unknown" in line) if figure is None else (figure.grade in line and figure.source in line)
        assert text.count(" unknown ") >= sum(figure is None for _, figure, _, _ in figures(record))
        for conflict in record.conflicts:
            assert any(conflict.field in line and conflict.source in line for line in text.splitlines())
        for entry in systems():
            assert (f" {entry.id} " in text) == (entry.chip == record.id)


def test_figures_cover_the_record():
    listed = {id(figure) for _, figure, _, _ in figures(chip("b200")) if figure is not None}
    record = chip("b200")
    single = [record.vector, record.clock, record.memory, record.memory_bandwidth, record.tdp, record.idle]
    links = [record.scale_up.bandwidth, record.scale_out.bandwidth, record.energy_per_byte]
    assert listed == {id(f) for f in [*record.peak.values(), *record.energy_per_flop.values(), *single, *links]}


def test_card_marks_assumed_figures():
    lines = {line.split()[0]: line.split()[1] for line in printed(chip_card("v100")).splitlines() if line.split()[2:]}
    assert lines["tdp"] == "~300"
    assert lines["peak.fp16"] == "125"


def test_card_data_has_the_price_per_chip():
    p5 = next(entry for entry in chip_data("h100")["systems"] if entry["id"] == "p5.48xlarge")
    assert p5["prices"][0]["dollars_per_chip_hour"] == 6.88


@pytest.mark.parametrize("show", [chip_card, chip_data])
def test_unknown_chip_is_refused(show):
    with pytest.raises(ValueError, match="unknown chip 'h10'"):
        show("h10")
