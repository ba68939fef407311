"""Reading tables of measurements: every file is data from outside, bounded and checked before anything uses it."""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path

import msgspec

LARGEST_FILE = 64 * 2**20
LARGEST_TABLE = 500_000
Row = dict[str, str]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One CSV file: its stem, its columns in order, and its rows as text."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def need(self, *columns: str) -> None:
        """Check that columns exist.

        Raises
        ------
        ValueError
            Naming the columns that are missing and those there are.
        """
        missing = [name for name in columns if name not in self.columns]
        if missing:
            raise ValueError(f"{self.name}: no column {', '.join(missing)}; there are {', '.join(self.columns)}")

    def number(self, index: int, column: str, default: float | None = None) -> float:
        """Read a positive finite number from a cell; `default` where the cell is empty and one is given.

        Raises
        ------
        ValueError
            Naming table, line, column and what stands there.
        """
        text = (self.rows[index].get(column) or "").strip()
        if not text and default is not None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (0 < value < math.inf):
            # The header is line 1.
            raise ValueError(f"{self.name}: line {index + 2}, {column}: expected a positive number, got {text[:40]!r}")
        return value


def number_or(cells: Row, column: str, default: float) -> float:
    """Read a positive number from a cell; `default` for whatever else stands there."""
    text = (cells.get(column) or "").strip()
    return float(text) if re.fullmatch(r"\d+(\.\d*)?", text) and float(text) > 0 else default


def read_table(path: Path) -> Table:
    """Read a CSV file with a header.

    Raises
    ------
    ValueError
        If the file is no text in UTF-8, too large, has no header, repeats a column, or a row has more cells than the
        header.
    """
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path.name}: larger than {LARGEST_FILE // 2**20} MiB")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name}: not UTF-8 text (byte {error.start})") from None
    if "\0" in text:
        raise ValueError(f"{path.name}: not a text file")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if not any(header):
            raise ValueError(f"{path.name}: no header line")
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise ValueError(f"{path.name}: column {twice[0]!r} appears twice")
        rows = []
        for cells in reader:
            if not cells:
                continue
            if len(cells) > len(header):
                raise ValueError(
                    f"{path.name}: line {reader.line_num} has {len(cells)} cells, the header {len(header)}"
                )
            rows.append(dict(zip(header, cells, strict=False)))
            if len(rows) > LARGEST_TABLE:
                raise ValueError(f"{path.name}: more than {LARGEST_TABLE} rows")
    except csv.Error as error:
        raise ValueError(f"{path.name}: line {reader.line_num}: {error}") from None
    return Table(name=path.stem, columns=tuple(header), rows=tuple(rows))


def read_folder(folder: Path) -> list[Table]:
    """Read every CSV file of a folder, by name.

    Raises
    ------
    ValueError
        If there is no such folder or no table in it, or a file is not a table.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    paths = sorted(path for path in folder.iterdir() if path.suffix == ".csv" and path.is_file())
    if not paths:
        raise ValueError(f"no .csv file in {folder}")
    return [read_table(path) for path in paths if path.stem != "model_shapes"]
