"""The best plan of all: every plan that works is priced, a block of them at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, get_args

import msgspec
import numpy as np

from chipmeter.chips import Chip, Price, PriceKind, System
from chipmeter.cost.fitting import Array
from chipmeter.cost.plan import Plan, Plans
from chipmeter.cost.residency import fullest_stage, total_bytes
from chipmeter.cost.software import gradient_bytes
from chipmeter.planning.evaluate import Outcome, evaluate, in_full
from chipmeter.planning.nearest import nearest
from chipmeter.planning.records import Asked, Objective, PlanSearch
from chipmeter.planning.rules import MEMORY, Mask, faults
from chipmeter.planning.site import Model, Site, find_site, whole
from chipmeter.planning.space import Space, Tally, blocks
from chipmeter.workloads import Workload

MORE_CHIPS = 1 << 20
"""Chips up to which a number that works is looked for when none of those given does."""


class _Found(NamedTuple):
    """A plan in the running: what it is judged by, smaller first, the last of all its place in the search."""

    key: tuple[float, ...]
    plan: Plan


def best_plan(
    model: Model | Workload,
    system: System | str | None = None,
    *,
    chip: Chip | str | None = None,
    chips: int | Sequence[int],
    batch: int | None = None,
    seq: int | None = None,
    objective: Objective = "seconds",
    top: int = 10,
    distinct: bool = True,
    price: PriceKind | Price = "on-demand",
    memory: float | None = None,
    software: str = "mbridge",
    asked: Plan | None = None,
    **choices: Any,
) -> PlanSearch:
    """Find the best ways to train a model on some chips, out of all that work.

    Parameters
    ----------
    model : Architecture, Shape, Workload, str or path
        An architecture, the name of a preset, a path to a ``config.json`` or the folder that holds it, or a workload of
        training, whose batch and tokens count where none are given.
    system : System or str, optional
        Something one rents: gives the chip, its networks, and the price. One of `chip` and `system` is needed.
    chip : Chip or str, optional
    chips : int or sequence of int
        Chips in all; of several numbers each is tried.
    batch, seq : int, optional
        Sequences of a step, and tokens of each; needed unless `model` is a workload.
    objective : {"seconds", "dollars", "joules", "pareto"}
        Of one step. ``"pareto"`` gives the plans that no other beats in all three (of those that are known).
    top : int
        Plans to return; of the Pareto front all are.
    distinct : bool
        Whether to list only the best plan of each set of chips, tensor, pipeline, context and expert degrees.
    price : str or Price
        Kind of price to look up, or a price of your own.
    memory : float, optional
        Bytes of each chip that a plan may take; by default all that the catalogue says, which for most GPUs is the
        decimal reading of a size that is 7 % larger if it is in GiB.
    software : str
        Whose runs to go by; see `training_step`.
    asked : Plan, optional
        A plan to judge: which rules it breaks, and the nearest plan that works.
    **choices
        Fields of `Space` that narrow the search: ``tensor=8``, ``zero=(1, 3)``, ``format=("bf16", "fp8")``, ...
        Gradients take the bytes that the software keeps them in unless ``gradient_bytes`` is given.

    Raises
    ------
    ValueError
        If no plan works, saying why and what number of chips would; if a name is unknown, a size is out of range, or
        dollars or joules are asked for and nobody has published the price or power.

    Examples
    --------
    >>> search = best_plan("llama-3.1-70b", chip="h100", chips=64, batch=128, seq=8192)
    >>> search.best.bytes < search.best.capacity, search.best.low < search.best.seconds < search.best.high
    (True, True)
    >>> search.best.plan.tensor > 1 or search.best.plan.zero == 3
    True
    """
    if isinstance(model, Workload):
        if model.phase != "train":
            raise ValueError(f"expected a workload of training, got one of {model.phase}; best_serving plans serving")
        batch, seq, model = batch or model.batch, seq or model.seq, model.model
    if batch is None or seq is None:
        raise ValueError("give batch and seq, or a workload that has them")
    space = msgspec.structs.replace(
        Space(gradient_bytes=gradient_bytes(software)),
        **{name: _several(name, value) for name, value in choices.items() if (name, value) != ("gradient_bytes", None)},
    )
    site = find_site(model, chip, system, price, software, space.format, memory)
    numbers = _sizes(chips, batch, seq, top)
    if objective not in get_args(Objective):
        raise ValueError(f"objective must be one of {', '.join(get_args(Objective))}, got {objective!r}")
    tally = Tally()
    found: list[_Found] = []
    outside = legal = 0
    for plans, works, outcome in _priced(site, numbers, batch, seq, space, tally):
        legal += int(np.count_nonzero(works))
        values = _values(outcome, objective, site)
        fresh = _front(plans, works, values, outcome.bytes) if objective == "pareto" else _first(
            plans, works, values[0], outcome.bytes, top, distinct
        )  # fmt: skip
        found = _merge(found, fresh, objective, top, distinct)
        outside |= outcome.steps.outside
    if not found:
        raise ValueError(_nothing(site, numbers, batch, seq, space, tally))
    judged = None
    if asked is not None:
        asked = asked.kept_by(software)
        wrong = faults(site.model, site.device, asked)
        near = nearest(site.model, site.device, asked)
        judged = Asked(plan=asked, faults=wrong, nearest=None if near is None else in_full(site, near))
    unfit = tally.broken.pop(MEMORY, 0)
    return PlanSearch(
        model=site.model.name, chip=site.chip.id, system=site.system, chips=numbers,
        batch=batch, seq=seq, objective=objective, plans=tuple(in_full(site, one.plan) for one in found),
        examined=tally.examined, legal=legal, unfit=unfit, broken=dict(tally.broken), asked=judged,
        outside=bool(outside), price=site.price, assumptions=_assumptions(site, space),
    )  # fmt: skip


def _priced(
    site: Site, numbers: tuple[int, ...], batch: int, seq: int, space: Space, tally: Tally
) -> Iterator[tuple[Plans, Mask, Outcome]]:
    """Price every plan that keeps the rules; degrees at which nothing fits the memory are left out."""
    for chips in numbers:
        for plans, kept in blocks(site.model, site.device, chips, batch, seq, space, tally):
            fits = total_bytes(fullest_stage(site.model, plans)) <= site.device.memory
            works = kept & fits
            tally.broken[MEMORY] += int(np.count_nonzero(kept & ~fits))
            rows = np.flatnonzero(works.any(axis=1))
            if len(rows):
                some = plans.cut(rows, slice(None))
                yield some, works[rows], evaluate(site, some)


def _values(outcome: Outcome, objective: Objective, site: Site) -> list[Array]:
    known = {"seconds": outcome.steps.seconds, "dollars": outcome.dollars, "joules": outcome.joules}
    if objective == "pareto":
        return [values for values in known.values() if values is not None]
    values = known[objective]
    if values is None:
        missing = "price" if objective == "dollars" else "power"
        raise ValueError(f"no {missing} of {site.chip.id} is known, so plans cannot be ordered by {objective}")
    return [values]


def _first(plans: Plans, works: Mask, values: Array, needed: Array, top: int, distinct: bool) -> list[_Found]:
    """List the best plans of a block; of equal ones those that need less memory come first."""
    values = np.where(works, values, np.inf)
    needed = np.broadcast_to(needed, values.shape)
    if distinct:
        least = values.min(axis=1)
        policies = np.where(values == least[:, None], needed, np.inf).argmin(axis=1)
        rows = np.lexsort((needed[np.arange(len(least)), policies], least))
        columns = [np.broadcast_to(getattr(plans, name)[:, 0], len(least)) for name in ("tensor", "context", "expert")]
        _, first = np.unique(np.stack(columns)[:, rows], axis=1, return_index=True)
        rows = rows[np.sort(first)]
        places = np.stack([rows, policies[rows]], axis=1)
    else:
        most = min(top, int(np.count_nonzero(works))) - 1
        places = np.argwhere(values <= np.partition(values, most, axis=None)[most])
        places = places[np.lexsort((needed[tuple(places.T)], values[tuple(places.T)]))]
    return [
        _Found((float(values[row, column]), float(needed[row, column])), plans.plan(row, column))
        for row, column in places[:top].tolist()
    ]


def _front(plans: Plans, works: Mask, values: list[Array], needed: Array) -> list[_Found]:
    """List the plans of a block that no other of it beats in every value."""
    columns = np.stack([np.broadcast_to(one, works.shape)[works] for one in values])
    places, needed = np.argwhere(works), np.broadcast_to(needed, works.shape)[works]
    left = np.lexsort((needed, *columns[::-1]))
    found = []
    while len(left):
        first = left[0]
        found.append(_Found((*columns[:, first].tolist(), float(needed[first])), plans.plan(*places[first])))
        left = left[(columns[:, left] < columns[:, first : first + 1]).any(axis=0)]
    return found


def _merge(found: list[_Found], fresh: list[_Found], objective: Objective, top: int, distinct: bool) -> list[_Found]:
    """Merge what two parts of a search found, in order; the earlier part wins where all is equal."""
    merged: list[_Found] = []
    seen = set()
    for one in sorted([*found, *fresh], key=lambda one: one.key):
        plan = one.plan
        degrees = (plan.chips, plan.tensor, plan.pipeline, plan.context, plan.expert)
        if objective == "pareto":
            beaten = any(all(a <= b for a, b in zip(other.key[:-1], one.key[:-1], strict=True)) for other in merged)
            if not beaten:
                merged.append(one)
        elif not distinct or degrees not in seen:
            seen.add(degrees)
            merged.append(one)
            if len(merged) == top:
                break
    return merged


def _several(name: str, value: Any) -> Any:
    if name not in Space.__struct_fields__:
        raise TypeError(f"unknown choice {name!r}; a search may be narrowed by {', '.join(Space.__struct_fields__)}")
    return (
        value
        if name in ("adapters", "gradient_bytes") or value is None
        else tuple(value)
        if isinstance(value, (list, tuple, range))
        else (value,)
    )


def _sizes(chips: int | Sequence[int], batch: int, seq: int, top: int) -> tuple[int, ...]:
    numbers = (chips,) if isinstance(chips, int) else tuple(chips)
    if not numbers:
        raise ValueError("chips must name at least one number of chips")
    whole("batch", batch), whole("seq", seq), whole("top", top)
    return tuple(whole("chips", number) for number in numbers)


def _nothing(site: Site, numbers: tuple[int, ...], batch: int, seq: int, space: Space, tally: Tally) -> str:
    """Say why no plan works, and what number of chips would."""
    why = ", ".join(
        f"{count:,} do not fit {site.device.memory / 1e9:.0f} GB" if name == MEMORY else f"{count:,} break '{name}'"
        for name, count in tally.broken.most_common(4)
        if count
    )
    more = max(numbers) * 2
    while more <= MORE_CHIPS:
        if next(_priced(site, (more,), batch, seq, space, Tally()), None) is not None:
            break
        more *= 2
    hint = f"; {more:,} chips would do" if more <= MORE_CHIPS else "; nor on more chips"
    many = " or ".join(f"{number:,}" for number in numbers)
    return (
        f"no plan trains {site.model.name} on {many} x {site.chip.id} with {batch:,} sequences of {seq:,} tokens: "
        f"of {tally.examined:,} examined {why or 'none is left by the choices given'}{hint}"
    )


def _assumptions(site: Site, space: Space) -> tuple[str, ...]:
    notes = [
        f"times: parts of a step weighed by constants fitted on measured runs, software {site.software}; intervals are theirs",
        "zero bubble, ZeRO 2 and GPipe were never measured here: their times follow from those of 1F1B, ZeRO 1 and 3",
        f"AdamW with 32-bit master weights, gradients of {space.gradient_bytes} bytes, fused attention; the fullest stage's memory",
        "joules are the boards' alone: busy parts at rated power or by measured joules per FLOP, waiting at idle",
    ]
    if site.price is None:
        notes.append("no such price is known: dollars stay unknown")
    return tuple(notes)
