"""How far a whole network went from its float32 run, for tables and JSON: only the figures that were measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chipmeter.comparison import NumericError
from chipmeter.report.numbers import ABSENT

_COLUMNS = {"cosine": "cosine", "KL nats": "divergence", "top-1": "agreement"}
_KEYS = {"divergence": "kl_nats", "agreement": "top1_agreement"}
_FORMATS = {"cosine": ".5f", "divergence": ".3g", "agreement": ".1%"}


def headings(errors: Iterable[NumericError | None]) -> tuple[str, ...]:
    """List the columns that any of the errors fills.

    >>> from chipmeter.comparison import NumericError
    >>> headings([None, NumericError(30.0, 30.0, "a", 0.99, 0.98, {"a": 30.0})])
    ('cosine',)
    """
    present = [error for error in errors if error is not None]
    return tuple(name for name, field in _COLUMNS.items() if any(getattr(e, field) is not None for e in present))


def cells(error: NumericError | None, columns: Sequence[str]) -> list[str]:
    """Write an error under `columns`."""
    values = [(_COLUMNS[name], None if error is None else getattr(error, _COLUMNS[name])) for name in columns]
    return [ABSENT if value is None else format(value, _FORMATS[field]) for field, value in values]


def notes(columns: Sequence[str]) -> list[str]:
    """Say what the columns of a decoder's run mean; nothing without them."""
    if "KL nats" not in columns:
        return []
    return [
        "KL, top-1: next-token distributions against those of the float32 run; the output head is in the format too."
    ]


def data(error: NumericError | None) -> dict[str, float | None]:
    """Give what a decoder's run adds to JSON; nothing where none was run, None for an infinite divergence."""
    values = {} if error is None else {key: getattr(error, field) for field, key in _KEYS.items()}
    return {key: v if v < float("inf") else None for key, v in values.items() if v is not None}
