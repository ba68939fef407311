"""Fitted constants: one data file per chip, with the rows they came from, their residuals and their date."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import msgspec

from chipmeter.cost.fitting import widen

TRANSFER = 0.15
"""Log error added to the interval where another chip's constants are used: efficiency fitted on H100 overstates
B200 in bf16 by 15 % (0.78 against 0.68 of peak)."""

NEW = "new"
"""Prefix of the groups of rows whose model was never seen."""

WIDEST = 1.2
"""Log bound that no interval of a model never seen passes: leaving out the only model of a kind says nothing of others
(a factor of 3.3)."""

_ROOT = "data/calibration"


class Constants(msgspec.Struct, frozen=True, kw_only=True):
    """The constants of one kind of operation, and how well they describe the rows they were fitted on.

    Attributes
    ----------
    values : dict of str to float
    rows : int
        Measured rows used.
    median_error, p90_error : float
        Of |log(predicted / measured)| over those rows.
    low, high : float
        Between which 90 % of log(measured / predicted) of rows not fitted on lie.
    span : dict of str to (float, float)
        Least and greatest of each input among the rows.
    groups : dict of str to (float, float)
        Bounds in place of `low` and `high` for rows of a group; ``new GROUP`` or ``new`` where the model is not among `known`.
    known : tuple of str
        Models, chips, and software on chips (`run_on`) among the rows.
    transfer : float
        Log error added where they are carried to another chip, or to software not seen on it; measured for whole programs, see `data/transfer.toml`.
    source, date : str
    """

    values: dict[str, float]
    rows: int
    median_error: float
    p90_error: float
    low: float
    high: float
    source: str
    date: str
    span: dict[str, tuple[float, float]] = {}
    groups: dict[str, tuple[float, float]] = {}
    known: tuple[str, ...] = ()
    transfer: float = TRANSFER

    def transferred(self) -> Constants:
        """Return the same constants for a chip they were not fitted on: with a wider interval."""
        low, high = widen(self.low, self.high, self.transfer)
        return msgspec.structs.replace(self, low=low, high=high)


def group_levels(group: str) -> tuple[str, ...]:
    """Return a group and what it is part of.

    >>> group_levels("low dense of mbridge")
    ('low dense of mbridge', 'low dense')
    """
    return tuple(dict.fromkeys((group, group.partition(" of ")[0])))


def run_on(software: str, chip: str) -> str:
    """Name software on a chip, as the constants know it.

    >>> run_on("vllm", "h200")
    'vllm on h200'
    """
    return f"{software} on {chip}"


def log_bounds(found: Constants, group: str, *, model: bool = True, chip: bool = True) -> tuple[float, float]:
    """Choose the log bounds of a prediction: of its group, or of models never seen; wider for a chip never seen.

    Those of a model never seen are no narrower than those of its group.

    Parameters
    ----------
    found : Constants
    group : str
    model, chip : bool
        Whether they are among the rows that the constants come from.
    """
    levels = group_levels(group)
    usual = next((found.groups[name] for name in levels if name in found.groups), (found.low, found.high))
    low, high = usual
    if not model:
        unseen = [f"{NEW} {name}" for name in levels]
        low, high = next((found.groups[n] for n in unseen if n in found.groups), found.groups.get(NEW, usual))
        # Few models left out may miss less than rows at random do: never surer of a model not seen than of those seen.
        low, high = min(max(low, -WIDEST), usual[0]), max(min(high, WIDEST), usual[1])
    return (low, high) if chip else widen(low, high, found.transfer)


_Book = dict[str, dict[str, Constants]]


@functools.cache
def book(name: str) -> _Book:
    """Read a calibration file by its stem: a chip's id, or ``"training"``, ``"serving"``. Empty if there is none."""
    path = resources.files("chipmeter.cost").joinpath(f"{_ROOT}/{name}.toml")
    if not path.is_file():
        return {}
    found, moves = msgspec.toml.decode(path.read_bytes(), type=_Book), _transfers()
    return {
        kind: {
            key: msgspec.structs.replace(one, transfer=moves.get(kind, {}).get(key, one.transfer))
            for key, one in ones.items()
        }
        for kind, ones in found.items()
    }


@functools.cache
def _transfers() -> dict[str, dict[str, float]]:
    text = resources.files("chipmeter.cost").joinpath("data/transfer.toml").read_bytes()
    return msgspec.toml.decode(text, type=dict[str, dict[str, float]])


@functools.cache
def relatives() -> dict[str, tuple[str, ...]]:
    """Return, for chips without measurements, the chips whose constants stand in, nearest first."""
    text = resources.files("chipmeter.cost").joinpath(f"{_ROOT}/relatives.toml").read_bytes()
    return msgspec.toml.decode(text, type=dict[str, tuple[str, ...]])


@functools.cache
def constants(chip: str, kind: str, *names: str) -> tuple[Constants, bool]:
    """Find the constants of a kind of operation on a chip.

    Parameters
    ----------
    chip : str
        Id of the chip.
    kind : str
        ``"gemm"``, ``"attention"``, ``"power"``.
    *names : str
        Of the variant, in order of preference.

    Returns
    -------
    Constants
    bool
        Whether they were fitted on another chip or variant; the interval is then wider.

    Raises
    ------
    ValueError
        If neither the chip nor a relative has any.
    """
    for name in names:
        for owner in (chip, *relatives().get(chip, relatives()["default"])):
            found = book(owner).get(kind, {}).get(name)
            if found is not None:
                moved = owner != chip or name != names[0]
                return (found.transferred() if moved else found), moved
    raise ValueError(f"no {kind} constants for {chip} in {', '.join(names)}")


def nearest_chip(chip: str, values: Mapping[str, float], prefix: str = "chip") -> str:
    """Name the chip whose factor applies: its own, or that of the nearest relative that has one.

    >>> nearest_chip("gb300", {"chip:b200": 1.1})
    'b200'
    """
    wanted = (chip, *relatives().get(chip, relatives()["default"]))
    return next((name for name in wanted if f"{prefix}:{name}" in values), chip)


def write_book(path: Path, chip: str, kinds: Mapping[str, Mapping[str, Constants]]) -> None:
    """Write a calibration file: tables of plain numbers, sorted by name."""
    lines = [f"# Constants of {chip}, fitted by `chipmeter calibrate`; log errors. See docs/cost.md.", ""]
    for kind in sorted(kinds):
        for name in sorted(kinds[kind]):
            one = kinds[kind][name]
            key = f"{kind}.{_bare(name)}"
            lines += [
                f"[{key}]",
                f"rows = {one.rows}",
                *(f"{field} = {getattr(one, field):.4f}" for field in ("median_error", "p90_error", "low", "high")),
                f"source = {_quoted(one.source)}",
                f"date = {_quoted(one.date)}",
            ]
            if one.span:
                spans = ", ".join(f"{_bare(k)} = [{low:.6g}, {high:.6g}]" for k, (low, high) in one.span.items())
                lines.append(f"span = {{ {spans} }}")
            if one.groups:
                bounds = ", ".join(f"{_bare(k)} = [{low:.4f}, {high:.4f}]" for k, (low, high) in one.groups.items())
                lines.append(f"groups = {{ {bounds} }}")
            if one.known:
                lines.append(f"known = [{', '.join(_quoted(name) for name in one.known)}]")
            lines += ["", f"[{key}.values]"]
            lines += [f"{_bare(k)} = {_number(value)}" for k, value in one.values.items()]
            lines.append("")
    path.write_text("\n".join(lines), encoding="utf-8")


def _number(value: float) -> str:
    text = f"{value:.5g}"
    return text if any(mark in text for mark in ".en") else f"{text}.0"


def _bare(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else _quoted(key)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'
