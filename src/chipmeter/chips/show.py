"""The catalogue for people and for programs: rich tables, and the same content as plain JSON-able data.

A figure that rests on an assumption is marked `~`; what nobody has published says `unknown`; `-` is a format the chip
does not compute.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from chipmeter.chips.catalogue import cheapest_price, chip, chips, systems
from chipmeter.chips.records import Chip, Link, Price, PriceKind, System
from chipmeter.evidence import Figure, Grade, weakest

RENTED: tuple[PriceKind, ...] = ("on-demand", "capacity-block")
"""The kinds of price that the overview quotes the lowest of: those open to anybody without a long commitment."""

UNKNOWN = "unknown"
_ABSENT = "-"
_BEST = {"bf16": ("bf16",), "fp8": ("fp8", "mxfp8"), "fp4": ("nvfp4", "mxfp4")}


def catalogue_table(records: Iterable[Chip] | None = None) -> Table:
    """Draw the overview behind `chipmeter chips`: one row per chip.

    Parameters
    ----------
    records : iterable of Chip, optional
        Chips to list; by default the whole catalogue.
    """
    table = Table(
        box=box.SIMPLE,
        caption="Dense TFLOP/s; fp8 and fp4: the faster of plain and block-scaled. Evidence: weakest hardware figure. ~ assumed, - none.",
    )
    for title in ("chip", "vendor", "launch"):
        table.add_column(title, no_wrap=True)
    for title in ("bf16", "fp8", "fp4", "GB", "TB/s", "TDP W", "$/chip-h"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("evidence", no_wrap=True)
    for record in chips() if records is None else records:
        best = _best_rates(record)
        missing = UNKNOWN if record.status == "announced" else _ABSENT
        price = cheapest_price(record, RENTED)
        table.add_row(
            record.id,
            record.vendor,
            record.launch,
            *(_amount(best[name], 1e12, 1, missing) for name in _BEST),
            _amount(record.memory, 1e9, 0),
            _amount(record.memory_bandwidth, 1e12, 2),
            _amount(record.tdp, 1, 0),
            UNKNOWN if price is None else _marked(f"{price.dollars_per_chip_hour:.3f}", price.grade),
            _row_grade(record),
        )
    return table


def catalogue_data(records: Iterable[Chip] | None = None) -> list[dict[str, Any]]:
    """Give what `catalogue_table` shows, in SI units, as JSON-able data; None is unknown or absent.

    >>> [row["bf16"]["value"] for row in catalogue_data() if row["id"] == "h100_sxm"]
    [989400000000000.0]
    """
    rows = []
    for record in chips() if records is None else records:
        price = cheapest_price(record, RENTED)
        rows.append(
            {
                "id": record.id,
                "name": record.name,
                "aliases": list(record.aliases),
                "vendor": record.vendor,
                "launch": record.launch,
                "status": record.status,
                **{name: msgspec.to_builtins(figure) for name, figure in _best_rates(record).items()},
                "memory": msgspec.to_builtins(record.memory),
                "memory_bandwidth": msgspec.to_builtins(record.memory_bandwidth),
                "tdp": msgspec.to_builtins(record.tdp),
                "price": None if price is None else _price_data(price),
                "evidence": _row_grade(record),
            }
        )
    return rows


def chip_card(of: Chip | str) -> RenderableType:
    """Draw everything known of one chip, behind `chipmeter chips show ID`: figures, conflicts, systems and prices.

    Raises
    ------
    UnknownNameError
        If a name is given that no chip has.
    """
    record = of if isinstance(of, Chip) else chip(of)
    parts: list[RenderableType] = [_heading(record), _figures_table(record)]
    if record.conflicts:
        parts.append(_conflicts_table(record))
    parts.append(_systems_table(record))
    return Group(*parts)


def chip_data(of: Chip | str) -> dict[str, Any]:
    """Give what `chip_card` shows, in SI units, as JSON-able data.

    >>> chip_data("trn3")["peak"]["mxfp8"]["grade"], chip_data("trn3")["tdp"]
    ('inferred', None)
    """
    record = of if isinstance(of, Chip) else chip(of)
    data: dict[str, Any] = msgspec.to_builtins(record)
    data["systems"] = [
        {
            **msgspec.to_builtins(entry),
            "prices": [_price_data(price) for price in entry.prices],
            "history": [_price_data(price) for price in entry.history],
        }
        for entry in _systems_of(record)
    ]
    return data


def figures(record: Chip) -> tuple[tuple[str, Figure | None, float, str], ...]:
    """List the figures of a chip as (field, figure, scale, unit): a value divided by its scale is in the unit."""
    rows: list[tuple[str, Figure | None, float, str]] = []
    for name, figure in record.peak.items():
        rows.append((f"peak.{name}", figure, 1e12, "TOP/s" if name.startswith("int") else "TFLOP/s"))
    rows += [
        ("vector", record.vector, 1e12, "TFLOP/s"),
        ("clock", record.clock, 1e9, "GHz"),
        ("memory", record.memory, 1e9, "GB"),
        ("memory_bandwidth", record.memory_bandwidth, 1e12, "TB/s"),
    ]
    for field, link in (("scale_up", record.scale_up), ("scale_out", record.scale_out)):
        rows.append((f"{field}.bandwidth", link.bandwidth if link else None, 1e9, "GB/s each way"))
    rows += [("tdp", record.tdp, 1, "W"), ("idle", record.idle, 1, "W")]
    for name, figure in record.energy_per_flop.items():
        rows.append((f"energy_per_flop.{name}", figure, 1e-12, "pJ/FLOP"))
    rows.append(("energy_per_byte", record.energy_per_byte, 1e-12, "pJ/B"))
    return tuple(rows)


def _heading(record: Chip) -> Text:
    text = Text(f"{record.name} ({record.id})", style="bold")
    text.append(f"\n{record.vendor}, {record.status}, {record.launch}", style="not bold")
    for label, value in (
        ("also called", ", ".join(record.aliases)),
        ("process", record.process),
        ("cores", record.cores),
        ("matrix engine", record.matrix_unit),
        ("on chip", record.onchip),
        ("scale-up", _link_text(record.scale_up)),
        ("scale-out", _link_text(record.scale_out)),
        ("bit-exact units", ", ".join(record.units.values())),
    ):
        text.append(f"\n{label}: {value or UNKNOWN}", style="not bold")
    if record.notes:
        text.append(f"\n{record.notes}", style="not bold")
    return text


def _figures_table(record: Chip) -> Table:
    table = _table("Figures", "field", ">value", "unit", "evidence", "source", "date", "note")
    for field, figure, scale, unit in figures(record):
        if figure is None:
            table.add_row(field, UNKNOWN)
        else:
            value = _amount(figure, scale, 3)
            note = escape(figure.note or "")
            table.add_row(field, value, unit, figure.grade, escape(figure.source), figure.date or "", note)
    return table


def _conflicts_table(record: Chip) -> Table:
    table = _table("Figures that disagree", "field", ">value", "unit", "evidence", "source", "date", "note")
    for entry in record.conflicts:
        value = _marked(f"{entry.value:,.10g}", entry.grade)
        note = escape(entry.note or "")
        table.add_row(entry.field, value, entry.unit, entry.grade, escape(entry.source), entry.date or "", note)
    return table


def _systems_table(record: Chip) -> Table:
    table = _table(
        "Systems and prices", "system", ">chips", ">kW", "price", ">$/h", ">$/chip-h", "region", "date", "source"
    )
    for entry in _systems_of(record):
        first = (entry.id, str(entry.chips), _amount(entry.power, 1e3, 1))
        if not entry.prices:
            table.add_row(*first, UNKNOWN)
        for price in entry.prices:
            per_chip = f"{price.dollars_per_chip_hour:.3f}"
            if price.high is not None:
                per_chip += f" to {price.high / price.chips:.3f}"
            table.add_row(
                *first,
                price.kind,
                f"{price.dollars_per_chip_hour * entry.chips:,.2f}",
                _marked(per_chip, price.grade),
                price.region or "",
                price.date or "",
                escape(price.source),
            )
            first = ("", "", "")
    return table


def _table(title: str, *columns: str) -> Table:
    """Make a table whose columns named with a leading `>` are aligned to the right."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE)
    for column in columns:
        table.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    return table


def _best_rates(record: Chip) -> dict[str, Figure | None]:
    return {
        name: max((record.peak[f] for f in formats if f in record.peak), key=lambda rate: rate.value, default=None)
        for name, formats in _BEST.items()
    }


def _row_grade(record: Chip) -> Grade:
    """Grade the row by its weakest hardware figure; the price, which ages faster, carries its own mark."""
    shown = [*_best_rates(record).values(), record.memory, record.memory_bandwidth, record.tdp]
    return weakest(*(figure.grade for figure in shown if figure is not None))


def _systems_of(record: Chip) -> list[System]:
    return [entry for entry in systems() if entry.chip == record.id]


def _price_data(price: Price) -> dict[str, Any]:
    return {**msgspec.to_builtins(price), "dollars_per_chip_hour": price.dollars_per_chip_hour}


def _amount(figure: Figure | None, scale: float, digits: int, missing: str = UNKNOWN) -> str:
    if figure is None:
        return missing
    text = f"{figure.value / scale:,.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return _marked(text, figure.grade)


def _marked(text: str, grade: Grade) -> str:
    return f"~{text}" if grade == "assumed" else text


def _link_text(link: Link | None) -> str | None:
    if link is None:
        return None
    details = [f"{link.domain} chips" if link.domain else None, link.topology]
    return ", ".join([link.name, *(detail for detail in details if detail)])
