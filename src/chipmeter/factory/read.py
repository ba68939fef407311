"""From a plan file to a problem: every error names the line and the field."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from chipmeter.cost.site import site
from chipmeter.factory.records import Problem

_SITE = Path(__file__).parent / "data" / "site.toml"
_MOST = 1 << 20
"""Bytes a plan file may have."""


def read_plan(path: str | os.PathLike[str]) -> Problem:
    """Read a plan.

    Parameters
    ----------
    path : path
        A TOML file with `months`, `[[workloads]]`, `[[systems]]`, and optionally `[limits]` and `[site]`.

    Raises
    ------
    ValueError
        For anything that is not a plan, naming the file, the line and the field.
    OSError
        If the file cannot be read.
    """
    file = Path(path)
    raw = file.read_bytes()
    if len(raw) > _MOST:
        raise ValueError(f"{file}: a plan has at most {_MOST} bytes, got {len(raw)}")
    try:
        text = raw.decode()
        data = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"{file}: not a TOML file: {error}") from None
    data.setdefault("limits", {})
    given = data.setdefault("site", {})
    if isinstance(given, dict):
        data["site"] = {**_defaults(), **given}
    try:
        return msgspec.convert(data, Problem, strict=True)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        field = where.rstrip("`").lstrip(".")
        line = _line(text, field, message)
        place = f"{file}:{line}" if line else str(file)
        raise ValueError(f"{place}: {field + ': ' if field else ''}{message}") from None


def _defaults() -> dict[str, float]:
    """Return what a plan may leave out of its site: the floor of the cost model, and what only a plan needs."""
    floor = site()
    shared = {name: getattr(floor, name).expected for name in ("pue", "dollars_per_kwh", "years")}
    return {**shared, **tomllib.loads(_SITE.read_text())}


def _line(text: str, field: str, message: str) -> int | None:
    """Find the line of a field such as ``workloads[1].tokens``, or of the key a message names."""
    contradiction = re.search(r"(workload|system) '([^']*)'", message)
    if contradiction and not field:
        key = "name" if contradiction[1] == "workload" else "system"
        told = [i for i, line in enumerate(text.splitlines()) if _names(line, key, contradiction[2])]
        return told[-1] + 1 if told else None
    quoted = re.search(r"unknown field `(\w+)`", message)
    named = re.match(r"(\w+) (?:must|is for)", message)
    table, _, key = (
        field.rpartition(".") if "." in field else (("", "", field) if "[" not in field else (field, "", ""))
    )
    key = quoted[1] if quoted else key or (named[1] if named else "")
    name, _, index = table.partition("[")
    lines = text.splitlines()
    start, end = 0, len(lines)
    if name:
        heads = [i for i, line in enumerate(lines) if re.fullmatch(rf"\s*\[\[?\s*{name}\s*\]?\]\s*(#.*)?", line)]
        at = int(index.rstrip("]")) if index else 0
        if at >= len(heads):
            return None
        start = heads[at]
        end = next((i for i in range(start + 1, len(lines)) if lines[i].lstrip().startswith("[")), len(lines))
    found = (i for i in range(start, end) if re.match(rf"\s*{re.escape(key)}\s*=", lines[i])) if key else iter(())
    at_line = next(found, start if name else None)
    return None if at_line is None else at_line + 1


def _names(line: str, key: str, value: str) -> bool:
    """Whether a line of TOML gives `key` this value."""
    return re.fullmatch(rf"\s*{key}\s*=\s*[\"']{re.escape(value)}[\"']\s*(#.*)?", line) is not None


def problem_from(data: dict[str, Any]) -> Problem:
    """Make a problem from plain data, with the defaults of the site filled in.

    Raises
    ------
    ValueError
        Naming the field.
    """
    whole = {"limits": {}, **data}
    whole["site"] = {**_defaults(), **data.get("site", {})}
    try:
        return msgspec.convert(whole, Problem, strict=True)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
