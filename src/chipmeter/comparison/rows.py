"""compare: for each chip and number format, the error its bits make on a model and what the work costs there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chipmeter._names import UnknownNameError, unknown_name
from chipmeter.chips import Chip, Price, PriceKind, cheapest_price, chip, chips
from chipmeter.chips.records import FORMATS
from chipmeter.comparison.error import NumericError
from chipmeter.comparison.linear import EmulatedLinear, Progress
from chipmeter.comparison.probe import probe_of
from chipmeter.cost import Estimate, estimate
from chipmeter.matmul import Unit
from chipmeter.matmul import unit as find_unit
from chipmeter.matmul.names import aliases
from chipmeter.networks import find_minilm
from chipmeter.workloads import Architecture, preset, read_config

DEFAULT_CHIPS = ("a100", "h100", "b200", "trn2", "trn3", "tpu-v6e", "tpu-v7")
DEFAULT_FORMATS = ("bf16", "fp8", "mxfp8", "mxfp4", "nvfp4", "int8")


@dataclass(frozen=True)
class Row:
    """One chip and number format.

    Attributes
    ----------
    chip, format : str
    unit : Unit or None
        The matrix unit whose bits were computed; None where no arithmetic is published or modelled.
    recipe : str or None
        How operands were quantised.
    error : NumericError or None
    cost : Estimate
    """

    chip: Chip
    format: str
    unit: Unit | None
    recipe: str | None
    error: NumericError | None
    cost: Estimate


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`.

    Attributes
    ----------
    model : Architecture
    data : str
        What the error was measured on.
    synthetic : bool
        Whether weights or activations were made up.
    reference : NumericError
        The error of plain float32 arithmetic (the unit `cpu/fp32`) on the same data.
    rows : tuple of Row
    skipped : tuple of str
        Formats asked for that a chip does not have, one line each.
    """

    model: Architecture
    data: str
    synthetic: bool
    reference: NumericError
    rows: tuple[Row, ...]
    skipped: tuple[str, ...]


def compare(
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
    progress: Progress | None = None,
) -> Comparison:
    """Compare chips and number formats on a model: numeric error beside time, memory, energy and dollars.

    The error is that of the model's own weight matrices under each chip's bit-exact emulation, against exact
    arithmetic. For a network that can be run (all-MiniLM-L6-v2; a Llama-like decoder of up to 2 G parameters whose
    checkpoint is whole), activations are the network's own and all of it runs end to end; otherwise matrices are
    sampled and activations synthetic, as `Comparison.data` says.

    Parameters
    ----------
    model : str or path
        A folder with `config.json` and `*.safetensors`, a lone `config.json`, or the name of a preset.
    chips : sequence of str, optional
        Names of chips, or "all"; default `DEFAULT_CHIPS`.
    formats : sequence of str, optional
        Default `DEFAULT_FORMATS`, of which each chip takes those it has.
    phase, batch, seq, context
        As in `chipmeter.estimate`.
    layers : int, optional
        Layers measured: the first of a network that is run (the end-to-end figure then needs them all), or how many
        spread over the model where matrices are sampled (default 3).
    threads : int, optional
        Of the emulation.
    progress : callable, optional
        See `Progress`.

    Raises
    ------
    ValueError
        For an unknown model, chip or format, a damaged file, or sizes out of range.

    Examples
    --------
    >>> result = compare("gpt2", chips=["h100"], formats=["bf16"], layers=1)
    >>> [(row.chip.id, row.format, row.unit.name) for row in result.rows]
    [('h100_sxm', 'bf16', 'hopper/wgmma.bf16.bf16.f32.f32')]
    """
    if layers is not None and (isinstance(layers, bool) or not isinstance(layers, int) or layers < 1):
        raise ValueError(f"layers must be a positive integer, got {layers!r}")
    architecture, folder = locate(model)
    places = [(c, f) for c in chips_named(chips or DEFAULT_CHIPS) for f in formats_named(formats or DEFAULT_FORMATS)]
    pairs = [(c, f) for c, f in places if f in c.peak]
    skipped = tuple(f"{c.id} has no {f} matrix rate" for c, f in places if f not in c.peak and formats is not None)
    if not pairs:
        raise ValueError("no chip asked for has any of the formats asked for: " + "; ".join(skipped[:3]))
    costs = [
        estimate(architecture, c, phase=phase, batch=batch, seq=seq, context=context, format=f, price=rentable_price(c))
        for c, f in pairs
    ]
    linears = [_linear(c, f, threads) for c, f in pairs]
    probe = probe_of(architecture, folder, layers)
    errors: dict[Unit, NumericError] = {}
    reference = find_unit("cpu/fp32")
    units = list(dict.fromkeys([reference, *(linear.unit for linear in linears if linear is not None)]))
    for done, unit in enumerate(units):
        if progress is not None:
            progress(unit.name, done / len(units))
        errors[unit] = probe.measure(EmulatedLinear(unit, threads))
    if progress is not None:
        progress("done", 1.0)
    rows = tuple(
        Row(c, f, None, None, None, cost)
        if linear is None
        else Row(c, f, linear.unit, linear.recipe, errors[linear.unit], cost)
        for (c, f), linear, cost in zip(pairs, linears, costs, strict=True)
    )
    return Comparison(architecture, probe.data, "synthetic" in probe.data, errors[reference], rows, skipped)


def locate(model: str | os.PathLike[str]) -> tuple[Architecture, Path | None]:
    """Find a model's architecture, and the folder of its weights if there are any.

    >>> locate("llama-3.1-8b")[1] is None
    True
    """
    path = Path(model)
    if path.is_dir():
        return read_config(path), path if any(path.glob("*.safetensors")) else None
    if path.suffix == ".json" or path.is_file():
        return read_config(path), None
    try:
        architecture = preset(str(model))
    except UnknownNameError as error:
        if len(path.parts) < 2:
            raise
        raise ValueError(f"no folder or file {str(model)!r}, and no preset of that name") from error
    folder = find_minilm()
    # the demo's weights belong to the preset of the same architecture
    return architecture, folder if folder is not None and architecture == preset("minilm") else None


def chips_named(names: Sequence[str]) -> list[Chip]:
    """Look up chips; ``["all"]`` gives all."""
    return list(chips()) if list(names) == ["all"] else [chip(name) for name in names]


def formats_named(names: Sequence[str]) -> list[str]:
    """Check the names of number formats and drop what is named twice."""
    for name in names:
        if name not in FORMATS:
            raise unknown_name("number format", name, FORMATS)
    return list(dict.fromkeys(names))


def rentable_price(c: Chip) -> Price | PriceKind:
    """Find the lowest on-demand price; where there is none, that of a capacity block, which anybody can buy too."""
    return cheapest_price(c) or cheapest_price(c, ("capacity-block",)) or "on-demand"


def _linear(c: Chip, number_format: str, threads: int | None) -> EmulatedLinear | None:
    """Build the emulation of a chip's format, where its arithmetic is known here."""
    name = c.units.get(number_format)
    return None if name not in aliases() else EmulatedLinear(find_unit(name), threads)
