"""Look-ups by name that answer a wrong name with the nearest right ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UnknownNameError(ValueError):
    """A name that stands for nothing here; the message lists the nearest names that do."""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """Build the error for an unknown `name` of a `kind` ("format", "unit", "chip", "preset").

    >>> print(unknown_name("chip", "h10", ["h100", "h200", "trn2"]))
    unknown chip 'h10'; did you mean 'h100' or 'h200'?
    >>> print(unknown_name("chip", 7, ["h100", "trn2"]))
    unknown chip 7; known: h100, trn2
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(name).lower(), names, n=3, cutoff=0.5)
    if near:
        return UnknownNameError(f"unknown {kind} {name!r}; did you mean {' or '.join(map(repr, near))}?")
    shown = ", ".join(names[:12]) + (f", ... ({len(names)} in all)" if len(names) > 12 else "")
    return UnknownNameError(f"unknown {kind} {name!r}; known: {shown}")
