"""Records of a verification: one row per recorded output array, and the report that holds them."""

from __future__ import annotations

from typing import Any

import msgspec


class Row(msgspec.Struct, frozen=True):
    """What became of one recorded output array.

    Attributes
    ----------
    name : str
        Unique within its recording; in a directory of several, the recording's folder stands before it.
    compared : int
        Outputs compared bit for bit (NaN as a class where the recording says that any NaN is right).
    mismatches : int
        Outputs that differ.
    unsupported : int
        Outputs that no rule of chipmeter describes. They are neither compared nor counted as right.
    note : str
        Which call emulated the row, or what is missing.
    first_mismatch : str or None
        Position, emulated and recorded bits of the first output that differs.
    """

    name: str
    compared: int
    mismatches: int
    unsupported: int
    note: str = ""
    first_mismatch: str | None = None


class Report(msgspec.Struct, frozen=True):
    """Rows of one verification, in the order of their indexes.

    >>> report = Report((Row("a", 10, 0, 0), Row("b", 0, 0, 4, "no such unit")))
    >>> report.compared, report.mismatches, report.unsupported, report.agrees
    (10, 0, 4, True)
    """

    rows: tuple[Row, ...]

    @property
    def compared(self) -> int:
        """Outputs compared."""
        return sum(row.compared for row in self.rows)

    @property
    def mismatches(self) -> int:
        """Outputs that differ."""
        return sum(row.mismatches for row in self.rows)

    @property
    def unsupported(self) -> int:
        """Outputs that were not compared, because nothing here describes them."""
        return sum(row.unsupported for row in self.rows)

    @property
    def agrees(self) -> bool:
        """Whether something was compared and nothing differs."""
        return self.compared > 0 and self.mismatches == 0

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints: `{"rows": [{"name", "compared", "mismatches", "unsupported"}]}`.

        >>> Report((Row("a", 10, 0, 0, "unit x"),)).to_dict()
        {'rows': [{'name': 'a', 'compared': 10, 'mismatches': 0, 'unsupported': 0}]}
        """
        keys = ("name", "compared", "mismatches", "unsupported")
        return {"rows": [{key: getattr(row, key) for key in keys} for row in self.rows]}
