"""Inputs of claims: figures as a vendor prints them, prices of a place and a time, and findings made of them."""

from __future__ import annotations

from chipmeter import chips
from chipmeter.chips import Price
from chipmeter.claims.records import Finding
from chipmeter.evidence import Figure, Grade, weakest

_TERA = {"TFLOP/s": 1e12, "TB/s": 1e12, "W": 1.0}


def printed(chip: str, field: str) -> Figure:
    """Find the figure a vendor prints where the catalogue uses another: vendors compare what they print.

    A chip's whole rate, for instance, includes engines beside the matrix engine. Without such a conflict it is the
    catalogue's own figure.
    """
    record = chips.chip(chip)
    for conflict in record.conflicts:
        if conflict.field == field and conflict.grade == "documented" and conflict.unit in _TERA:
            value = conflict.value * _TERA[conflict.unit]
            return Figure(value, conflict.grade, conflict.source, conflict.date, conflict.note)
    head, _, number_format = field.partition(".")
    found = record.peak[number_format] if head == "peak" else getattr(record, head)
    assert isinstance(found, Figure)
    return found


def price(system: str, kind: str, *, date: str | None = None) -> Price:
    """Find a price of a system: the one in force, or the one that was in force at `date` (a prefix such as 2026-01)."""
    record = chips.system(system)
    offers = [p for p in record.prices if date is None and p.kind == kind]
    offers += [p for p in record.history if date is not None and p.kind == kind and (p.date or "").startswith(date)]
    return offers[0]


def finding(what: str, value: float, unit: str, how: str, *inputs: Figure | Price | Grade) -> Finding:
    """Make a finding whose grade is the weakest of its inputs."""
    grades: list[Grade] = [i if isinstance(i, str) else i.grade for i in inputs]
    return Finding(what=what, value=value, unit=unit, how=how, grade=weakest(*grades))
