"""What training software does where a run does not say."""

from __future__ import annotations

import functools
from importlib import resources

import msgspec

from chipmeter.evidence import Grade

GRADIENT_BYTES = 4
"""Of software that is not described: the usual 32 bits, which never lets a plan fit that does not."""


class Software(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Habits of one training software.

    Attributes
    ----------
    gradient_bytes : {4, 2}
        Bytes of a gradient as it is kept and reduced.
    grade : Grade
    source : str
    """

    gradient_bytes: int
    grade: Grade
    source: str


@functools.cache
def _all() -> dict[str, Software]:
    text = resources.files("chipmeter.cost").joinpath("data/software.toml").read_bytes()
    return msgspec.toml.decode(text, type=dict[str, Software])


def gradient_bytes(software: str) -> int:
    """Return the bytes that a training software keeps a gradient in.

    Parameters
    ----------
    software : str
        As `training_step` names it; any other counts 4.

    Examples
    --------
    >>> gradient_bytes("mbridge"), gradient_bytes("torchtitan"), gradient_bytes("mine")
    (2, 4, 4)
    """
    found = _all().get(software)
    return GRADIENT_BYTES if found is None else found.gradient_bytes
