"""How much of a workload one system does: the best batch and group of chips that keep its limits."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from chipmeter import chips
from chipmeter.chips import Chip, System
from chipmeter.cost import Estimate, estimate
from chipmeter.factory.records import Serving, Training
from chipmeter.workloads import Architecture

_LARGEST_BATCH = 1024


@dataclass(frozen=True)
class Capability:
    """What one system gives a workload.

    Attributes
    ----------
    load : float
        Systems' worth of time that the whole workload takes, before the planned utilisation; above 1 it takes several.
    least : int
        Systems that must work together for the model to fit.
    format, note : str
        Number format, and how it runs: group of chips and batch, or why it does not run.
    """

    load: float
    least: int
    format: str
    note: str

    @property
    def possible(self) -> bool:
        """Whether the system can do it at all."""
        return self.load < float("inf")


def _impossible(why: str) -> Capability:
    return Capability(float("inf"), 0, "", why)


def capability(work: Serving | Training, model: Architecture, system: System, utilisation: float) -> Capability:
    """Find the least share of a system that does the workload within its limits, over its number formats."""
    chip = chips.chip(system.chip)
    formats = [f for f in work.formats if f in chip.peak]
    if not formats:
        return _impossible(f"{chip.id} has none of {', '.join(work.formats)}")
    found = [
        _serving(work, model, chip, system, f, utilisation)
        if isinstance(work, Serving)
        else _training(work, model, chip, system, f)
        for f in formats
    ]
    return min(found, key=lambda c: c.load)


def _serving(
    work: Serving, model: Architecture, chip: Chip, system: System, number_format: str, utilisation: float
) -> Capability:
    """Continuous batching: a request takes its prefill and its share of the decode steps.

    The time to the first token is the prefill, the decode step it interrupts, and the wait in a queue with one server and
    constant service at the planned utilisation; the time between tokens is the decode step stretched by the prefills
    that arrive meanwhile.
    """
    best, why = _impossible(f"{model.name} does not fit {system.id}"), ""
    length = work.input_tokens + work.output_tokens
    for group in _groups(model, system):
        first = _estimate(model, system, "prefill", number_format, group, 1, work.input_tokens, 0)
        if first is None or not first.fits:
            continue
        queue = utilisation / (2 * (1 - utilisation)) * first.seconds

        def at(
            batch: int, group: int = group, first: Estimate = first, queue: float = queue
        ) -> Capability | str | None:
            """Give what a batch does, or why it does not keep the limits; None: it does not fit."""
            step = _estimate(model, system, "decode", number_format, group, batch, 1, length - 1)
            if step is None or not step.fits:
                return None
            between = step.seconds + batch / work.output_tokens * first.seconds
            start = first.seconds + step.seconds + queue
            if between > work.tpot or start > work.ttft:
                return f"{between * 1e3:.0f} ms between tokens and {start:.2f} s to the first at batch {batch}"
            request = first.seconds + work.output_tokens * step.seconds / batch
            load = work.requests_per_second * request / (system.chips // group)
            return Capability(load, 1, number_format, f"{_chips(group)}, batch {batch}")

        # A larger batch takes longer for each step and less for each token, so the largest that keeps the limits is best;
        # where tiles make it worse than its half, the half is.
        low, high = -1, _LARGEST_BATCH.bit_length()
        while high - low > 1:
            middle = (low + high) // 2
            found = at(1 << middle)
            low, high = (middle, high) if isinstance(found, Capability) else (low, middle)
        for exponent in (low, low - 1):
            if exponent >= 0 and isinstance(found := at(1 << exponent), Capability) and found.load < best.load:
                best = found
        if low < 0 and isinstance(found := at(1), str):
            why = found
    return best if best.possible or not why else _impossible(f"{system.id}: {why}")


def _chips(count: int) -> str:
    return "1 chip" if count == 1 else f"{count} chips"


def _training(work: Training, model: Architecture, chip: Chip, system: System, number_format: str) -> Capability:
    """Fully sharded data parallelism: state divided over all chips, one sequence per chip and step at least.

    Where the state needs several systems, each sequence waits for the weights, twice, and sends its gradients once, through
    the network of the whole system, unless the computation takes longer.
    """
    step = _estimate(model, system, "train", number_format, 1, 1, work.sequence, 0)
    if step is None:
        return _impossible(f"{chip.id} cannot train {model.name} in {number_format}")
    state = step.memory.weights + step.memory.gradients + step.memory.optimizer
    # with full recomputation a layer's input is kept per layer, and one layer's activations at a time
    kept = step.memory.activations / max(1, model.layers) + 2.0 * work.sequence * model.hidden * model.layers
    room = step.memory.capacity - step.memory.runtime - kept
    if room <= 0:
        return _impossible(f"the activations of one sequence of {model.name} do not fit {chip.id}")
    least = -(-int(state // room + 1) // system.chips)
    each, bound = step.seconds * 4 / 3, ""
    if least > 1:
        network = system.scale_out or chip.scale_out
        if network is None or network.bandwidth is None:
            return _impossible(
                f"{model.name} needs {least} of {system.id}, and nobody has published the network between them"
            )
        exchange = 3 * step.memory.weights / (system.chips * network.bandwidth.value)
        each, bound = max(each, exchange), ", bound by the network between systems" if exchange > each else ""
    seconds = work.tokens / work.sequence * each
    available = work.deadline_days * 86400.0
    load = seconds / system.chips / available
    return Capability(
        load, least, number_format, f"sharded over at least {_chips(least * system.chips)}, recomputed{bound}"
    )


def _groups(model: Architecture, system: System) -> Iterator[int]:
    group = 1
    while group <= system.chips:
        if model.heads % group == 0:
            yield group
        group *= 2


def _estimate(
    model: Architecture, system: System, phase: str, number_format: str, group: int, batch: int, seq: int, context: int
) -> Estimate | None:
    return _alike(model, _bare(system), phase, number_format, group, batch, seq, context)


@functools.lru_cache(maxsize=256)
def _bare(system: System) -> System:
    """Keep of a system what its speed depends on: what many rent under many names and prices is estimated once."""
    return System(
        id=system.chip, name=system.chip, kind=system.kind, chip=system.chip, chips=system.chips,
        scale_up=system.scale_up, scale_out=system.scale_out,
    )  # fmt: skip


@functools.lru_cache(maxsize=1 << 15)
def _alike(
    model: Architecture, system: System, phase: str, number_format: str, group: int, batch: int, seq: int, context: int
) -> Estimate | None:
    try:
        return estimate(
            model, system=system, phase=phase, batch=batch, seq=seq, context=context or None, format=number_format,
            tensor_parallel=group,
        )  # fmt: skip
    except ValueError:
        return None
