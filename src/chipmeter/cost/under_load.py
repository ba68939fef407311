"""Serving at a rate of requests: throughput against latency, with time to the first token and between tokens.

Continuous batching as a closed loop: with C requests in flight each takes its time to the first token and a step for
every further one, so C over that time is the rate (Little's law). A rate asked for is met by the C that gives it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import msgspec

from chipmeter.chips import Chip, Price, PriceKind, System
from chipmeter.cost.device import device, one_core
from chipmeter.cost.memory import weight_bytes
from chipmeter.cost.predict import decode_step, first_token
from chipmeter.cost.ranges import Range
from chipmeter.cost.records import Estimate
from chipmeter.cost.result import pay
from chipmeter.cost.roofline import peak_of
from chipmeter.cost.serving import Serving, capacity
from chipmeter.cost.serving_curve import Draft, LoadPoint, ServingCurve
from chipmeter.cost.shape import Shape
from chipmeter.cost.step import estimate, hardware
from chipmeter.workloads import Architecture, Formats, bytes_per_element, find_model

LOADS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
"""Requests in flight at which a curve is drawn, as far as their cache fits."""


def serve(
    model: Architecture | str | os.PathLike[str],
    chip: Chip | str | None = None,
    *,
    system: System | str | None = None,
    prompt: int = 1024,
    answer: int = 256,
    request_rate: float | None = None,
    concurrency: Sequence[int] | None = None,
    format: str = "bf16",
    weight_format: str | None = None,
    kv_format: str | None = None,
    tensor_parallel: int | None = None,
    copies: int = 1,
    prefill_copies: int = 0,
    chunk: int | None = None,
    page: int = 16,
    draft: Draft | None = None,
    engine: str = "vllm",
    price: PriceKind | Price = "on-demand",
) -> ServingCurve:
    """Predict what a deployment gives under load.

    Parameters
    ----------
    model : Architecture, str or path
        A decoder.
    chip, system
        As in `estimate`.
    prompt, answer : int
        Tokens per request.
    request_rate : float, optional
        Requests per second on the whole deployment.
    concurrency : sequence of int, optional
        Requests in flight at which to draw the curve; by default powers of two as far as their cache fits.
    format, weight_format, kv_format : str
        Of products, stored weights and the cache.
    tensor_parallel : int, optional
        Chips of one copy of the model; by default the fewest in whose memory one request fits.
    copies : int
        Copies of the model that requests are spread over.
    prefill_copies : int
        Further copies that read prompts for the others and pass the cache on; 0 reads prompts where answers are made.
    chunk : int, optional
        Tokens of a prompt that a step reads at most; by default whole prompts.
    page : int
        Tokens of a page of the cache.
    draft : Draft, optional
        Speculative decoding.
    engine : str
        See `decode_step`.
    price : str or Price

    Raises
    ------
    ValueError
        If a size is out of range, the model is no decoder, or it does not fit.

    Examples
    --------
    >>> curve = serve("llama-3.1-8b", "h100", request_rate=4.0)
    >>> curve.asked.ttft.expected < 1.0, curve.points[0].tpot.expected < curve.points[-1].tpot.expected
    (True, True)
    """
    shape_of = find_model(model)
    if shape_of.kind != "decoder":
        raise ValueError(f"{shape_of.name} is of kind {shape_of.kind}; only decoders are served")
    for name, value, least in (
        ("prompt", prompt, 1), ("answer", answer, 2), ("copies", copies, 1), ("prefill_copies", prefill_copies, 0),
        ("chunk", chunk or 1, 1), ("page", page, 1),
    ):  # fmt: skip
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 2**24:
            raise ValueError(f"{name} must be an integer from {least} to {2**24}, got {value!r}")
    if request_rate is not None and not 0 < request_rate < math.inf:
        raise ValueError(f"request_rate must be a positive number of requests per second, got {request_rate}")
    on, rented = hardware(chip, system)
    formats = Formats.of(format, weight=weight_format, kv=kv_format)
    peak_of(on, formats.gemm)
    one = estimate(
        shape_of, on, system=rented, phase="decode", context=prompt + answer, format=format,
        weight_format=weight_format, kv_format=kv_format, tensor_parallel=tensor_parallel,
    )  # fmt: skip
    if not one.fits:
        raise ValueError(
            f"{shape_of.name} takes {weight_bytes(shape_of, formats) / 1e9:.0f} GB in {formats.weight}, and one request of "
            f"{prompt + answer} tokens does not fit {one.chips} x {on.id}: give a larger tensor_parallel or a narrower format"
        )
    load = Serving(
        chips=one.chips, sequences=1.0, prompt=prompt, answer=answer, format=format, page=page,
        cache_width=bytes_per_element(formats.kv), weight_width=bytes_per_element(formats.weight),
        pools=prefill_copies > 0,
    )  # fmt: skip
    loop = _Loop(shape_of, on, rented, load, formats, copies, prefill_copies, chunk, draft, engine, price)
    wanted = tuple(concurrency) if concurrency else tuple(c * copies for c in LOADS if c == 1 or c <= loop.room)
    points = tuple(loop.point(float(c)) for c in wanted)
    asked = None if request_rate is None else loop.at_rate(request_rate)
    notes = list(loop.notes())
    if request_rate is not None and asked is None:
        most = loop.point(loop.room * copies).requests_per_second.expected
        notes.insert(
            0,
            f"{request_rate:g} requests per second are more than it keeps up with ({most:.3g}): the queue grows; give a "
            "larger tensor_parallel or more copies, or let best_serving (chipmeter plan --prompt --answer) find a layout",
        )
    return ServingCurve(
        model=shape_of.name, chip=on.id, chips=one.chips * (copies + prefill_copies), points=points, asked=asked,
        room=loop.room * copies, outside=loop.outside, notes=tuple(notes),
    )  # fmt: skip


class _Loop:
    """One deployment: everything that a load does not change, worked out once."""

    def __init__(
        self, model: Architecture, chip: Chip, system: System | None, load: Serving, formats: Formats, copies: int,
        readers: int, chunk: int | None, draft: Draft | None, engine: str, price: PriceKind | Price,
    ) -> None:  # fmt: skip
        self.model, self.chip, self.load, self.copies, self.readers = model, chip, load, copies, readers
        self.chunk, self.draft, self.engine, self.formats = chunk, draft, engine, formats
        self.shape, on = Shape.of(model), device(chip)
        cores = on.logical_cores
        self.room = math.floor(
            capacity(self.shape, one_core(on), msgspec.structs.replace(load, chips=load.chips * cores))
        )
        self.paid = pay(chip, system, price)
        self.prompt = self._estimate("prefill", seq=int(load.prompt))
        self.whole = self.prompt.seconds
        self.outside = decode_step(self.shape, chip, load, engine=engine).outside

    def _estimate(self, phase: str, *, batch: int = 1, seq: int | None = None, context: int | None = None) -> Estimate:
        return estimate(
            self.model, self.chip, phase=phase, batch=batch, seq=seq, context=context, format=self.formats.gemm,
            weight_format=self.formats.weight, kv_format=self.formats.kv, tensor_parallel=self.load.chips,
        )  # fmt: skip

    def _read(self, tokens: int, before: int) -> float:
        """Seconds of reading some tokens of a prompt after those before."""
        return self._estimate("prefill", seq=tokens, context=before).seconds

    def _steps(self, load: Serving) -> tuple[Range, float]:
        """Time between tokens, and a step by itself."""
        step = decode_step(self.shape, self.chip, load, engine=self.engine)
        alone = decode_step(self.shape, self.chip, load, engine=self.engine, alone=True)
        if self.draft is None:
            return step.range, alone.seconds
        small = Shape.of(self.draft.model)
        checked = msgspec.structs.replace(load, drafted=self.draft.tokens)
        check = decode_step(self.shape, self.chip, checked, engine=self.engine, alone=True).seconds
        drafting = self.draft.tokens * decode_step(small, self.chip, load, engine=self.engine, alone=True).seconds
        between = max(step.seconds - alone.seconds, 0.0)
        seconds = (check + drafting) / self.draft.per_step + between
        return step.range * (seconds / step.seconds), check + drafting

    def point(self, crowd: float) -> LoadPoint:
        """Work out a load of some requests in flight on all copies."""
        load = msgspec.structs.replace(self.load, sequences=max(1.0, crowd / self.copies))
        tpot, alone = self._steps(load)
        first = first_token(self.shape, self.chip, load, engine=self.engine).range
        stall = alone + (0.0 if self.readers else self.whole)
        if self.chunk is not None and self.chunk < load.prompt:
            starts = range(0, int(load.prompt), self.chunk)
            pieces = [self._read(min(self.chunk, int(load.prompt) - at), at) for at in starts]
            longer = max(sum(pieces) - self.whole, 0.0) + (0.0 if self.readers else (len(pieces) - 1) * alone)
            first = first * ((first.expected + longer) / first.expected)
            stall = alone + (0.0 if self.readers else max(pieces))
        rate = crowd / (first + (load.answer - 1.0) * tpot)
        if self.readers:
            most = self.readers / self.prompt.seconds_range
            rate = Range(*(min(getattr(rate, e), getattr(most, e)) for e in ("low", "expected", "high")))
        chips = self.load.chips * (self.copies + self.readers)
        tokens = rate * load.answer
        money = None if self.paid.range is None else chips / 3600.0 * 1e6 * self.paid.range / tokens
        return LoadPoint(
            concurrency=crowd, requests_per_second=rate, tokens_per_second=tokens, ttft=first, tpot=tpot, stall=stall,
            joules_per_token=self._joules(load), dollars_per_million_tokens=money,
        )  # fmt: skip

    def _joules(self, load: Serving) -> Range | None:
        """Joules of the boards per token of an answer: its steps, and its share of the prompt."""
        step = self._estimate("decode", batch=max(1, round(load.sequences)), context=int(load.context))
        if step.joules_per_unit_range is None or self.prompt.joules_range is None:
            return None
        return step.joules_per_unit_range + self.prompt.joules_range / load.answer

    def at_rate(self, rate: float) -> LoadPoint | None:
        """Find the load that a rate of requests settles at, by halving; None where the deployment cannot keep up."""
        low, high = 1e-3, float(self.room * self.copies)
        if self.point(high).requests_per_second.expected < rate:
            return None
        for _ in range(40):
            middle = math.sqrt(low * high)
            if self._rate(middle) < rate:
                low = middle
            else:
                high = middle
            if high / low < 1.005:
                break
        return self.point(high)

    def _rate(self, crowd: float) -> float:
        return self.point(crowd).requests_per_second.expected

    def notes(self) -> tuple[str, ...]:
        """List in words what the curve takes for granted."""
        load = self.load
        lengths = f"requests of {load.prompt:.0f} + {load.answer:.0f} tokens"
        cache = f"cache in {self.formats.kv} by pages of {load.page}: {self.room} fit a copy at once"
        said = [
            f"{self.copies} x {load.chips} {self.chip.id}, {lengths}, {cache}",
            "closed loop: a request in flight is replaced when it ends; latencies are means, arrivals no burstier",
            self.paid.note,
        ]
        if self.readers:
            moved = self.model.kv_elements(int(load.prompt)) * bytes_per_element(self.formats.kv)
            wire = device(self.chip).network * load.chips
            said.append(
                f"{self.readers} copies read prompts: {self.readers / self.whole:.3g} per second at most; each passes on "
                f"{moved / 1e6:.0f} MB of cache in {moved / wire * 1e3:.1f} ms or more"
            )
        if self.draft is not None:
            d = self.draft
            said.append(
                f"{d.model.name} drafts {d.tokens} tokens of which {d.acceptance:.0%} hold: {d.per_step:.2f} tokens a step"
            )
        if self.outside:
            said.insert(0, "outside the calibrated range: model or chip was not measured, and the ranges are wider")
        return tuple(said)
