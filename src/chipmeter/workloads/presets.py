"""Well-known models by name: the architecture facts of their public `config.json`, kept inside the package."""

from __future__ import annotations

import functools
from importlib import resources

import msgspec

from chipmeter._names import unknown_name
from chipmeter.workloads.architecture import Architecture
from chipmeter.workloads.config import read_config


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the facts of a preset come from: the model on the Hugging Face hub, and other names it goes by."""

    model: str
    aliases: tuple[str, ...] = ()


@functools.cache
def _index() -> dict[str, Source]:
    text = resources.files("chipmeter.workloads").joinpath("data/presets.toml").read_bytes()
    return msgspec.toml.decode(text, type=dict[str, Source])


def presets() -> tuple[str, ...]:
    """Names of the models that `preset` knows.

    >>> "llama-3.1-8b" in presets()
    True
    """
    return tuple(sorted(_index()))


def preset(name: str) -> Architecture:
    """Return the architecture of a well-known model.

    Parameters
    ----------
    name : str
        One of `presets()`, an alias, or the model's name on the Hugging Face hub; case does not matter.

    Raises
    ------
    ValueError
        If no model of that name is known.

    Examples
    --------
    >>> preset("llama-3.1-8b").parameters
    8030261248
    """
    known: dict[str, str] = {}
    for short, source in _index().items():
        known |= dict.fromkeys((short, source.model.lower(), *source.aliases), short)
    if not isinstance(name, str) or name.lower() not in known:
        raise unknown_name("model", name, known)
    return _read(known[name.lower()])


@functools.cache
def _read(short: str) -> Architecture:
    text = resources.files("chipmeter.workloads").joinpath(f"data/{short}.json").read_bytes()
    return read_config(msgspec.json.decode(text), name=short)
