"""Reading the TOML files of the catalogue, or a user's own, into records, with errors that name file and field.

A file says once, under `[evidence.<key>]`, where its figures come from; a figure, price or conflict then refers to it by
`evidence = "<key>"` and may override `grade`, `source` or `date`.
"""

from __future__ import annotations

import math
import tomllib
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from chipmeter.chips.records import Chip, System
from chipmeter.chips.units import BASE, quantity

MAX_BYTES = 128 << 10
"""A larger file is refused unread; the largest of ours has 18 KB."""

MAX_LINE_BYTES = 1 << 10
"""A file with a longer line is refused: the time to parse a dotted key grows with the cube of its length."""

_MAX_DEPTH = 16
_T = TypeVar("_T")


def read_chip(path: Path) -> Chip:
    """Read one chip file.

    Raises
    ------
    ValueError
        If the file is too large, is not TOML, or holds anything but one well-formed chip.
    """
    table = _read_table(path)
    return _convert(path, "", _with_evidence(path, table), Chip)


def read_systems(path: Path) -> tuple[System, ...]:
    """Read one file of systems: a `[[systems]]` list sharing one `[evidence]` table.

    A price that does not say how many `chips` it pays for pays for the whole system.

    Raises
    ------
    ValueError
        As `read_chip`.
    """
    table = _with_evidence(path, _read_table(path))
    entries = table.pop("systems", None)
    if not isinstance(entries, list) or table:
        raise ValueError(f"{path}: expected a [[systems]] list and nothing beside it but [evidence]")
    return tuple(_read_system(path, position, entry) for position, entry in enumerate(entries))


def load_chip(path: str | PathLike[str]) -> Chip:
    """Load a chip of your own from a TOML file, in the layout of the files in `chipmeter/chips/data/chips`.

    Parameters
    ----------
    path : str or path-like
        A TOML file of at most `MAX_BYTES` bytes.

    Returns
    -------
    Chip
        The record; it is not added to the catalogue, pass it wherever a chip is accepted.

    Raises
    ------
    ValueError
        If the file is too large, is not TOML, or holds anything but one well-formed chip; the message names the field.
    OSError
        If the file cannot be read.
    """
    return read_chip(Path(path))


def _read_system(path: Path, position: int, entry: Any) -> System:
    label = f"systems[{position}]"
    if isinstance(entry, dict):
        label += f" ({entry.get('id', 'no id')})"
        for price in [*_list(entry.get("prices")), *_list(entry.get("history"))]:
            if isinstance(price, dict) and "chips" in entry:
                price.setdefault("chips", entry["chips"])
    return _convert(path, f" {label}", entry, System)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _read_table(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{path}: larger than the {MAX_BYTES} bytes accepted")
    if any(len(line) > MAX_LINE_BYTES for line in data.splitlines()):
        raise ValueError(f"{path}: has a line longer than the {MAX_LINE_BYTES} bytes accepted")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise ValueError(f"{path}: not a TOML file: {error}") from None


def _convert(path: Path, label: str, value: Any, record: type[_T]) -> _T:
    try:
        return msgspec.convert(value, record)
    except (msgspec.ValidationError, OverflowError) as error:
        raise ValueError(f"{path}:{label} {error}") from None


def _with_evidence(path: Path, table: dict[str, Any]) -> dict[str, Any]:
    """Return the table with every `evidence = "<key>"` replaced by the grade, source and date that the key stands for."""
    sources = table.pop("evidence", {})
    if not isinstance(sources, dict) or not all(isinstance(entry, dict) for entry in sources.values()):
        raise ValueError(f"{path}: evidence must be a table of tables: [evidence.<key>] with grade, source, date")

    def expand(value: Any, field: str, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise ValueError(f"{path}: {field}: nested deeper than {_MAX_DEPTH} levels")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{path}: {field}: expected a finite number, got {value}")
        if isinstance(value, list):
            return [expand(item, f"{field}[{i}]", depth + 1) for i, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        given = {key: expand(item, f"{field}.{key}" if field else key, depth + 1) for key, item in value.items()}
        written = field.split(".")
        unit = next((name for name in reversed(written) if name in BASE), None)
        if unit is not None and isinstance(given.get("value"), str):
            try:
                given["value"] = quantity(given["value"], unit)
            except ValueError as error:
                raise ValueError(f"{path}: {field}: {error}") from None
        if "evidence" not in given:
            return given
        key = given.pop("evidence")
        if not isinstance(key, str) or key not in sources:
            known = ", ".join(sources) or "none"
            raise ValueError(f"{path}: {field}: unknown evidence {key!r}; this file defines: {known}")
        return {**sources[key], **given}

    expanded: dict[str, Any] = expand(table, "", 0)
    return expanded
