"""The best way to serve a model on some chips within limits on the time to the first token and between tokens."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, get_args

import msgspec

from chipmeter.chips import Chip, Price, PriceKind, System
from chipmeter.cost.predict import Prediction, decode_step, first_token, prompt_step
from chipmeter.cost.ranges import Range
from chipmeter.cost.serving import Serving, capacity, weight_bytes
from chipmeter.planning.site import Model, Site, find_site, whole
from chipmeter.planning.space import LEAST_TENSOR, divisors

ServingObjective = Literal["tokens_per_second", "tpot", "ttft"]

MOST_SEQUENCES = 4096
"""Requests in flight on one copy of a model, at most."""

READERS_BUSY = 0.8
"""Share of the time that copies which only read prompts may be busy, so that prompts queue for about two readings
(a queue of one server and equal jobs; assumed)."""

SPARE = 0.88
"""Share of a chip's memory for weights and cache; the rest is the runtime's and activations' (as in `capacity`)."""


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """One way to serve, at the load where it does most within the limits.

    Attributes
    ----------
    chip : str
    load : Serving
        Of one copy of the model that answers: its chips, the requests in flight, formats, whether attention is
        data-parallel, and whether other copies read the prompts.
    copies : int
    reader : Serving or None
        Of one copy that only reads prompts and passes the cache on; None where prompts are read by those that answer.
    readers : int
    tpot, ttft : Prediction
        Seconds between tokens, and to the first one, with intervals.
    tokens_per_second : Range
        New tokens of all copies.
    dollars_per_million_tokens : Range or None
        None where no price is known.
    room : float
        Requests whose cache fits beside the weights on one copy.
    """

    unit: ClassVar[str] = "token"
    joules_range: ClassVar[None] = None

    chip: str
    load: Serving
    copies: int
    tpot: Prediction
    ttft: Prediction
    tokens_per_second: Range
    dollars_per_million_tokens: Range | None
    room: float
    reader: Serving | None = None
    readers: int = 0

    @property
    def chips(self) -> int:
        """Chips of all copies."""
        return _chips(self.load, self.copies, self.reader, self.readers)

    @property
    def units(self) -> float:
        """Tokens of the answers to all requests in flight."""
        return self.copies * self.load.sequences * self.load.answer

    @property
    def seconds_range(self) -> Range:
        """Low, expected and high seconds of answering all requests in flight."""
        return self.units / self.tokens_per_second

    @property
    def dollars_range(self) -> Range | None:
        """Low, expected and high dollars of answering all requests in flight; None where no price is known."""
        paid = self.dollars_per_million_tokens
        return None if paid is None else paid * (self.units / 1e6)

    @property
    def layout(self) -> str:
        """The deployment in one line."""
        load = self.load
        reading = "" if self.reader is None else f"prompts on {self.readers} x {_group(self.reader)}, answers on "
        return f"{reading}{self.copies} x {_group(load)}, {load.format}, {load.sequences:g} requests in flight each"


def _chips(load: Serving, copies: int, reader: Serving | None, readers: int) -> int:
    return copies * load.chips + readers * (0 if reader is None else reader.chips)


def _group(load: Serving) -> str:
    return f"{'DP attention, EP' if load.split_requests else 'TP'} {load.chips}"


class ServingSearch(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a search.

    Attributes
    ----------
    deployments : tuple of Deployment
        Best first, one for each layout.
    examined : int
        Layouts and loads looked at.
    broken : dict of str to int
        Layouts by what keeps them from working.
    """

    model: str
    chip: str
    system: str | None
    chips: int
    prompt: int
    answer: int
    ttft: float | None
    tpot: float | None
    objective: ServingObjective
    deployments: tuple[Deployment, ...]
    examined: int
    broken: dict[str, int]
    price: Price | None

    @property
    def best(self) -> Deployment:
        """The first deployment."""
        return self.deployments[0]


def best_serving(
    model: Model,
    system: System | str | None = None,
    *,
    chip: Chip | str | None = None,
    chips: int,
    prompt: int,
    answer: int,
    ttft: float | None = None,
    tpot: float | None = None,
    objective: ServingObjective = "tokens_per_second",
    top: int = 10,
    format: tuple[str, ...] | str = ("bf16",),
    cache_width: float = 2.0,
    disaggregated: bool | None = None,
    price: PriceKind | Price = "on-demand",
    engine: str = "vllm",
) -> ServingSearch:
    """Find the best ways to serve a model on some chips: copies, chips of each, requests in flight.

    Each copy is tensor-parallel over its chips; a mixture of experts may also split attention by requests and experts
    over the chips. Prompts are read by the copies that answer, or by copies of their own: then as many as keep up
    while busy for `READERS_BUSY` of the time. Requests keep coming: whenever one ends, another takes its place.

    Parameters
    ----------
    model : Architecture, Shape, str or path
    system : System or str, optional
        One of `chip` and `system` is needed.
    chip : Chip or str, optional
    chips : int
        Chips in all.
    prompt, answer : int
        Tokens of a request.
    ttft, tpot : float, optional
        Seconds to the first token and between tokens that must not be exceeded, as expected.
    objective : {"tokens_per_second", "tpot", "ttft"}
        The most new tokens per second, or the shortest times.
    top : int
    format : str or tuple of str
        Of weights and products.
    cache_width : float
        Bytes of a cached element.
    disaggregated : bool, optional
        Whether copies of their own read the prompts; by default both ways are looked at.
    price : str or Price
    engine : str
        ``"vllm"``, ``"trtllm"`` or ``"sglang"``.

    Raises
    ------
    ValueError
        If no deployment works, saying why; if a name is unknown or a size out of range.

    Examples
    --------
    >>> found = best_serving("llama-3.1-70b", chip="h100", chips=8, prompt=1024, answer=512, tpot=0.03, format="fp8")
    >>> found.best.tpot.seconds <= 0.03, found.best.load.chips * found.best.copies <= 8
    (True, True)
    """
    formats = (format,) if isinstance(format, str) else tuple(format)
    site = find_site(model, chip, system, price, engine, formats)
    for name, size in (("chips", chips), ("prompt", prompt), ("answer", answer), ("top", top)):
        whole(name, size)
    for name, limit in (("ttft", ttft), ("tpot", tpot), ("cache_width", cache_width)):
        if limit is not None and not 0 < limit < float("inf"):
            raise ValueError(f"{name} must be positive, got {limit!r}")
    if objective not in get_args(ServingObjective):
        raise ValueError(f"objective must be one of {', '.join(get_args(ServingObjective))}, got {objective!r}")
    found: list[Deployment] = []
    broken: Counter[str] = Counter()
    examined = 0
    layouts = tuple(_layouts(site, chips, prompt, answer, formats, cache_width, broken))
    ways: list[Iterator[Deployment]] = []
    if disaggregated is not True:
        ways += [_loads(site, base, chips) for base in layouts]
    if disaggregated is not False:
        ways += [_loads_apart(site, base, layouts, chips) for base in layouts]
    for way in ways:
        within = []
        any_works = False
        for one in way:
            examined += 1
            any_works = True
            if (ttft or one.ttft.seconds) >= one.ttft.seconds and (tpot or one.tpot.seconds) >= one.tpot.seconds:
                within.append(one)
        if within:
            found.append(min(within, key=lambda one: _key(one, objective)))
        else:
            broken["limits on time" if any_works else "copies that read prompts"] += 1
    if not found:
        why = ", ".join(f"{count} break '{name}'" for name, count in broken.items())
        raise ValueError(f"no deployment serves {site.model.name} on {chips} x {site.chip.id} as asked: {why}")
    return ServingSearch(
        model=site.model.name, chip=site.chip.id, system=site.system, chips=chips, prompt=prompt, answer=answer, ttft=ttft,
        tpot=tpot, objective=objective, deployments=tuple(sorted(found, key=lambda one: _key(one, objective))[:top]),
        examined=examined, broken=dict(broken), price=site.price,
    )  # fmt: skip


def _key(one: Deployment, objective: ServingObjective) -> tuple[float, float]:
    times = {"tokens_per_second": 0.0, "tpot": one.tpot.seconds, "ttft": one.ttft.seconds}
    return times[objective], -one.tokens_per_second.expected


def _layouts(
    site: Site, chips: int, prompt: int, answer: int, formats: tuple[str, ...], width: float, broken: Counter[str]
) -> Iterator[Serving]:
    """Go through the ways to lay one copy over chips that keep the rules and hold the weights and one request."""
    model, most = site.model, max(site.device.domain, LEAST_TENSOR)
    ways = (False, True) if model.experts else (False,)
    for format in formats:
        for group in divisors(chips, most):
            for split in ways[: 1 if group == 1 else 2]:
                load = Serving(
                    chips=group, sequences=1.0, prompt=prompt, answer=answer, format=format, cache_width=width,
                    split_requests=split,
                )  # fmt: skip
                held = weight_bytes(model, format) / (SPARE * site.device.memory)
                if model.experts % group if split else model.heads % group:
                    broken["experts" if split else "heads"] += 1
                elif held > group or capacity(model, site.device, load) <= 1.0:
                    broken["memory"] += 1
                else:
                    yield load


def _loads(site: Site, base: Serving, chips: int) -> Iterator[Deployment]:
    """Serve ever more requests at once, as far as their cache fits."""
    room = capacity(site.model, site.device, base)
    for load, between, first in _times(site, base, room):
        yield _deployment(site, load, between, first, room, chips // base.chips)


def _loads_apart(site: Site, base: Serving, readers: Sequence[Serving], chips: int) -> Iterator[Deployment]:
    """Serve ever more requests at once while copies of their own read the prompts, laid out in each of many ways."""
    base = msgspec.structs.replace(base, pools=True)
    room = capacity(site.model, site.device, base)
    own = _reading(site, base)
    read = [(one, _reading(site, one)) for one in readers if one.format == base.format]
    if own is None:
        return
    for load, between, first in _times(site, base, room):
        each = load.sequences / (first.seconds + (load.answer - 1.0) * between.seconds)
        for reader, seconds in read:
            if seconds is None:
                continue
            needed = each * seconds / READERS_BUSY
            copies = next(
                (n for n in range(chips // load.chips, 0, -1)
                 if n * load.chips + math.ceil(n * needed) * reader.chips <= chips), 0,
            )  # fmt: skip
            if copies:
                # The runs behind the time to the first token do not tell the two pools' sizes: one layout is taken for both.
                later = max(seconds - own, 0.0)
                slower = msgspec.structs.replace(
                    first, seconds=first.seconds + later, low=first.low + later, high=first.high + later
                )
                yield _deployment(site, load, between, slower, room, copies, reader, math.ceil(copies * needed))


def _reading(site: Site, load: Serving) -> float | None:
    """Seconds in which a copy that does nothing else reads one prompt; None where that was not measured."""
    alone = msgspec.structs.replace(load, sequences=1.0, pools=False)
    found = prompt_step(site.model, site.chip, alone, engine=site.software)
    return None if found is None else found.seconds


def _times(site: Site, base: Serving, room: float) -> Iterator[tuple[Serving, Prediction, Prediction]]:
    """Double the requests in flight on one copy as far as their cache fits."""
    sequences = 1.0
    while sequences <= min(room, MOST_SEQUENCES):
        load = msgspec.structs.replace(base, sequences=sequences)
        yield (
            load,
            decode_step(site.model, site.chip, load, engine=site.software),
            first_token(site.model, site.chip, load, engine=site.software),
        )
        sequences *= 2.0


def _deployment(
    site: Site, load: Serving, between: Prediction, first: Prediction, room: float, copies: int,
    reader: Serving | None = None, readers: int = 0,
) -> Deployment:  # fmt: skip
    rate = copies * load.sequences * load.answer / (first.range + (load.answer - 1.0) * between.range)
    chips = _chips(load, copies, reader, readers)
    paid = None if site.paid is None else site.paid * (chips / 3600.0 * 1e6) / rate
    return Deployment(
        chip=site.chip.id, load=load, copies=copies, tpot=between, ttft=first, tokens_per_second=rate,
        dollars_per_million_tokens=paid, room=room, reader=reader, readers=readers,
    )  # fmt: skip
