"""Evidence: how sure a rule or a figure is, and where it comes from, carried as data to what users see."""

from __future__ import annotations

from typing import Literal

import msgspec

Grade = Literal["hardware", "documented", "inferred", "assumed"]
"""`hardware`: checked against device outputs. `documented`: stated by the vendor or the standard. `inferred`: follows
from documented facts or from measurements of others. `assumed`: a secondary or recalled source, or a choice of ours."""

GRADES: tuple[Grade, ...] = ("hardware", "documented", "inferred", "assumed")


def weakest(*grades: Grade) -> Grade:
    """Return the least sure of some grades: a result is no surer than its weakest input.

    >>> weakest("hardware", "inferred", "documented")
    'inferred'
    """
    return max(grades, key=GRADES.index)


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a rule comes from: its grade, a source a reader can open, and the date it was read or recorded."""

    grade: Grade
    source: str
    date: str | None = None


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One number with its evidence; the unit is that of the field that holds it."""

    value: float
    grade: Grade
    source: str
    date: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        if not (self.value == self.value and abs(self.value) != float("inf")):
            raise ValueError(f"a figure must be a finite number, got {self.value}")
