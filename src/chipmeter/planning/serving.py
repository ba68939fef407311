"""The best way to serve a model on some chips within limits on the time to the first token and between tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal, get_args

import msgspec

from chipmeter.chips import Chip, Price, PriceKind, System
from chipmeter.cost.predict import Prediction, decode_step, first_token
from chipmeter.cost.serving import Serving, capacity, weight_bytes
from chipmeter.planning.site import Model, Site, find_site, whole
from chipmeter.planning.space import LEAST_TENSOR, divisors

ServingObjective = Literal["tokens_per_second", "tpot", "ttft"]

MOST_SEQUENCES = 4096
"""Requests in flight on one copy of a model, at most."""

SPARE = 0.88
"""Share of a chip's memory for weights and cache; the rest is the runtime's and activations' (as in `capacity`)."""


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """One way to serve, at the load where it does most within the limits.

    Attributes
    ----------
    load : Serving
        Of one copy of the model: its chips, the requests in flight, formats, and whether attention is data-parallel.
    copies : int
    tpot, ttft : Prediction
        Seconds between tokens, and to the first one, with intervals.
    tokens_per_second : float
        New tokens of all copies.
    dollars_per_million_tokens : float or None
        None where no price is known.
    room : float
        Requests whose cache fits beside the weights on one copy.
    """

    load: Serving
    copies: int
    tpot: Prediction
    ttft: Prediction
    tokens_per_second: float
    dollars_per_million_tokens: float | None
    room: float

    @property
    def layout(self) -> str:
        """The deployment in one line."""
        load = self.load
        kind = "TP" if not load.split_requests else "DP attention, EP"
        return f"{self.copies} x {kind} {load.chips}, {load.format}, {load.sequences:g} requests in flight each"


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
    price: PriceKind | Price = "on-demand",
    engine: str = "vllm",
) -> ServingSearch:
    """Find the best ways to serve a model on some chips: copies, chips of each, requests in flight.

    Each copy is tensor-parallel over its chips; a mixture of experts may also split attention by requests and experts
    over the chips. Prompts are read by the chips that decode. Requests keep coming: whenever one ends, another takes
    its place.

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
    for base in _layouts(site, chips, prompt, answer, formats, cache_width, broken):
        within = []
        for one in _loads(site, base, chips):
            examined += 1
            if (ttft or one.ttft.seconds) < one.ttft.seconds or (tpot or one.tpot.seconds) < one.tpot.seconds:
                break
            within.append(one)
        if within:
            found.append(min(within, key=lambda one: _key(one, objective)))
        else:
            broken["limits on time"] += 1
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
    return times[objective], -one.tokens_per_second


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
    copies, sequences = chips // base.chips, 1.0
    while sequences <= min(room, MOST_SEQUENCES):
        load = msgspec.structs.replace(base, sequences=sequences)
        between = decode_step(site.model, site.chip, load, engine=site.software)
        first = first_token(site.model, site.chip, load, engine=site.software)
        rate = copies * sequences * load.answer / (first.seconds + (load.answer - 1.0) * between.seconds)
        paid = (
            None if site.price is None else site.price.dollars_per_chip_hour * copies * base.chips / 3600.0 / rate * 1e6
        )
        yield Deployment(
            load=load, copies=copies, tpot=between, ttft=first, tokens_per_second=rate,
            dollars_per_million_tokens=paid, room=room,
        )  # fmt: skip
        sequences *= 2.0
