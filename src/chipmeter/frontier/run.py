"""frontier: measure the error of every unit and recipe once, price every chip, put both together."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import msgspec

from chipmeter._version import __version__
from chipmeter.chips import Chip
from chipmeter.comparison import EmulatedLinear, NumericError
from chipmeter.comparison.linear import Progress, recipes_of
from chipmeter.comparison.probe import Probe, probe_of
from chipmeter.comparison.rows import chips_named, formats_named, locate, rentable_price
from chipmeter.cost import estimate
from chipmeter.frontier.interval import interval
from chipmeter.frontier.points import Frontier, Point
from chipmeter.frontier.store import Store
from chipmeter.matmul import Unit
from chipmeter.matmul import unit as find_unit
from chipmeter.matmul.names import aliases
from chipmeter.workloads import Architecture

DEFAULT_CHIPS = (
    "v100", "a100", "l40s", "h100", "h200", "b200", "gb300", "trn1", "trn2", "trn3", "tpu-v5p", "tpu-v6e", "tpu-v7", "mi300x",
)  # fmt: skip
DEFAULT_FORMATS = ("fp32", "tf32", "bf16", "fp16", "fp8", "int8", "mxfp8", "mxfp6", "mxfp4", "nvfp4")


def frontier(
    model: str | os.PathLike[str],
    *,
    chips: Sequence[str] | None = None,
    formats: Sequence[str] | None = None,
    phase: str | None = None,
    batch: int = 32,
    seq: int | None = None,
    context: int | None = None,
    layers: int | None = None,
    threads: int | None = None,
    store: Store | None = None,
    client: Any = None,
    progress: Progress | None = None,
) -> Frontier:
    """Measure error against dollars, joules and seconds for every chip, number format and recipe.

    The error is that of the chip's bit-exact emulation on the model's own tensors: end to end where the network can be
    run, on sampled layers and rows otherwise, with a confidence interval over what was not sampled. A unit and recipe
    that several chips share are measured once.

    Parameters
    ----------
    model : str or path
        As for `chipmeter.compare`.
    chips, formats : sequence of str, optional
        Names, or ``["all"]`` for chips; formats that a chip lacks are left out.
    phase, batch, seq, context
        As in `chipmeter.estimate`.
    layers : int, optional
        Layers measured, as for `chipmeter.compare`.
    threads : int, optional
        Of the emulation.
    store : Store, optional
        Measurements found in it are not made again, and each new one is written as soon as it is done, so that a run
        that was stopped goes on where it was.
    client : distributed.Client, optional
        Workers that measure; they must see the same files. The result is the same.
    progress : callable, optional
        Called with what is being done and the share that is finished.

    Raises
    ------
    ValueError
        For an unknown model, chip or format, a damaged file, or sizes out of range.

    Examples
    --------
    >>> f = frontier("gpt2", chips=["h100", "trn2"], formats=["bf16", "fp8"], layers=1)
    >>> len(f.points), f.best("seconds")[-1].format
    (6, 'bf16')
    """
    architecture, folder = locate(model)
    named = chips_named(DEFAULT_CHIPS if chips is None else chips)
    asked = [(c, f, _unit(c, f)) for c in named for f in _formats(formats)]
    emulated = [(c, f, unit) for c, f, unit in asked if unit is not None]
    skipped = () if formats is None and chips is None else tuple(
        f"{c.id} has no {f} arithmetic known here" for c, f, unit in asked if unit is None
    )  # fmt: skip
    if not emulated:
        raise ValueError("no chip asked for has any of the formats asked for: " + "; ".join(skipped[:3]))
    probe = probe_of(architecture, folder, layers)
    linears = list(
        dict.fromkeys(EmulatedLinear(u, threads, recipe) for _, _, u in emulated for recipe in recipes_of(u))
    )
    measure = _here if client is None else partial(_on, client)
    errors = measure(probe, linears, architecture, store, progress, (model, layers))
    if progress is not None:
        progress("done", 1.0)
    points = []
    for c, f, u in emulated:
        cost = estimate(
            architecture, c, phase=phase, batch=batch, seq=seq, context=context, format=f, price=rentable_price(c)
        )
        for recipe in recipes_of(u):
            error = errors[u, recipe]
            low, high = interval(error.layers)
            points.append(Point(c, f, recipe, u, error, low, high, cost))
    return Frontier(architecture, probe.data, "synthetic" in probe.data, tuple(points), skipped)


Errors = dict[tuple[Unit, str], NumericError]
Source = tuple[str | os.PathLike[str], int | None]
"""What a worker needs to build the probe for itself: the model and the layers."""


def _here(
    probe: Probe,
    linears: Sequence[EmulatedLinear],
    model: Architecture,
    store: Store | None,
    progress: Progress | None,
    source: Source,
) -> Errors:
    """Measure in this process, one after the other."""
    errors: Errors = {}
    for done, linear in enumerate(linears):
        if progress is not None:
            progress(f"{linear.unit.name} {linear.recipe}", done / len(linears))
        name = key(probe, linear, model)
        found = None if store is None else store.get(name)
        if found is None:
            error = probe.measure(linear)
            if store is not None:
                store.put(name, _written(error))
        else:
            error = _read(found, name, store)
        errors[linear.unit, linear.recipe] = error
    return errors


def _on(
    client: Any,
    probe: Probe,
    linears: Sequence[EmulatedLinear],
    model: Architecture,
    store: Store | None,
    progress: Progress | None,
    source: Source,
) -> Errors:
    """Measure on the workers of a client."""
    from chipmeter.distributed import sweep

    names = {key(probe, linear, model): linear for linear in linears}
    arguments = {name: (str(source[0]), source[1], linear) for name, linear in names.items()}
    found = sweep(measure_on_worker, arguments, client, store=store, progress=progress)
    return {(names[n].unit, names[n].recipe): _read(value, n, store) for n, value in found.items()}


def measure_on_worker(model: str, layers: int | None, linear: EmulatedLinear) -> bytes:
    """Measure one unit and recipe in a worker, which keeps the probe for the next."""
    return _written(_probe(model, layers).measure(linear))


@functools.lru_cache(maxsize=2)
def _probe(model: str, layers: int | None) -> Probe:
    return probe_of(*locate(model), layers)


def _written(error: NumericError) -> bytes:
    return json.dumps(
        asdict(error)
    ).encode()  # which, unlike msgspec, writes infinity and NaN so that they are read back


def _read(value: bytes, name: str, store: Store | None) -> NumericError:
    try:
        return msgspec.convert(json.loads(value), NumericError)
    except (ValueError, RecursionError) as error:  # msgspec's errors and bad UTF-8 are ValueErrors
        where = "a worker" if store is None else f"{store.path}"
        raise ValueError(f"{where}: the result {name!r} cannot be read: {error}; it was left as it is") from None


def key(probe: Probe, linear: EmulatedLinear, model: Architecture) -> str:
    """Name a measurement by all that it depends on: version, model, data, the unit's whole record and the recipe."""
    parts = (__version__, repr(model), probe.identity, repr(linear.unit), linear.recipe)
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
    return f"{model.name} {linear.unit.name} {linear.recipe} {digest}"


def _formats(names: Sequence[str] | None) -> list[str]:
    return formats_named(DEFAULT_FORMATS if names is None else names)


def _unit(c: Chip, number_format: str) -> Unit | None:
    name = c.units.get(number_format)
    return None if name not in aliases() or number_format not in c.peak else find_unit(name)
