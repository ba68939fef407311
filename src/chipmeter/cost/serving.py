"""Seconds of a decode step and of a prompt while serving: the parts at full speed, ready to be weighed by constants."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import numpy as np

from chipmeter.cost.constants import constants
from chipmeter.cost.device import Device
from chipmeter.cost.fitting import Array
from chipmeter.cost.gemm import WIDTH, gemm_seconds
from chipmeter.cost.network import collective_seconds
from chipmeter.cost.shape import Shape
from chipmeter.cost.training import attention_forward

STEP_PARTS = (
    "linear", "experts", "expert_work", "cache", "latent_work", "layers", "moe_layers", "syncs", "reduce", "exchange", "host",
    "sequences", "prefill",
)  # fmt: skip

STEP_PRIORS: dict[str, tuple[float, float]] = {
    "linear": (1.1, 0.2), "experts": (1.3, 0.4), "expert_work": (1.3, 0.4), "cache": (1.3, 0.3),
    "latent_work": (1.5, 0.5), "layers": (25.0, 0.7), "moe_layers": (30.0, 0.7), "syncs": (8.0, 0.7), "reduce": (1.0, 0.6),
    "exchange": (1.0, 0.6), "host": (0.6, 0.8), "sequences": (0.5, 0.9), "prefill": (1.1, 0.3),
}  # fmt: skip
"""Weight of each part of a decode step before any row is seen, and how far it may move. ``layers``, ``moe_layers``
and ``syncs`` are microseconds per layer, per layer of experts and per exchange, ``host`` milliseconds per step, ``sequences`` tens of microseconds each."""

FIRST_PARTS = ("own", "joined", "burst", "turn", "full", "bundle", "balance", "scores", "eager", "wait")

FIRST_PRIORS: dict[str, tuple[float, float]] = {
    "own": (1.3, 0.4), "joined": (1.0, 0.7), "burst": (0.1, 1.0), "turn": (1.0, 0.7), "full": (0.6, 0.3),
    "bundle": (20.0, 0.7), "balance": (60.0, 0.7), "scores": (5.0, 1.0), "eager": (3.0, 0.8), "wait": (15.0, 0.7),
}  # fmt: skip
"""Of the time to the first token: the prompt itself, those that begin in the same step, the prompts in front of it, the step
in progress, waiting for cache space, steps until enough prompts are gathered to be read together, steps until every chip
of a data-parallel attention has a prompt to read, attention scores that pass through memory where kernels are not fused, tenths of a
millisecond per layer (prompts run outside captured graphs), and milliseconds of software, which each engine has its own of."""

ALONE = 32.0
"""Requests beyond which pools of prompt readers are taken to grow with the load (rows do not state them)."""

GROWING = ("vllm", "sglang")
"""Engines that give a request pages as its answer grows; others set its whole cache aside as it begins."""

BUNDLING = ("trtllm",)
"""Engines that let a prompt wait for others, so that more tokens are read at once and data-parallel chips get alike."""

LONGEST_BUNDLE = 16.0
"""Steps that a prompt waits for others at most, before the fitted weight: the full wait of requests that are few."""


CHUNK = 8192.0
"""Tokens of prompts that engines read in one step at most (the usual setting of the three that were measured)."""


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment and its load.

    Attributes
    ----------
    chips : int
        Chips that hold one copy of the model (of the decode pool, if pools are apart).
    sequences : float
        Requests in flight, on all of them.
    prompt, answer : float
        Tokens per request.
    format : str
        Of the weights and products.
    cache_width : float
        Bytes of a cached element.
    split_requests : bool
        Whether attention is data-parallel: each chip holds whole heads of some requests.
    pools : bool
        Whether prompts are read by other chips.
    weight_width : float, optional
        Bytes of a stored weight where they are stored narrower than they are multiplied.
    drafted : int
        Tokens of a draft that each step checks beside the one it makes.
    page : int
        Tokens of a page of the cache; a request takes whole pages.
    """

    chips: int
    sequences: float
    prompt: float
    answer: float
    format: str = "bf16"
    cache_width: float = 2.0
    split_requests: bool = False
    pools: bool = False
    weight_width: float | None = None
    drafted: int = 0
    page: int = 1

    @property
    def stored(self) -> float:
        """Bytes of a stored weight."""
        return WIDTH.get(self.format, 2.0) if self.weight_width is None else self.weight_width

    @property
    def context(self) -> float:
        """Tokens in the cache of a request, on average over its answer."""
        return self.prompt + self.answer / 2.0


def weight_bytes(model: Shape, format: str, stored: float | None = None) -> float:
    """Bytes of the weights in a format, or of `stored` bytes each; the tables at both ends stay in 16 bits."""
    tables = model.vocab * model.hidden * (1 if model.tied else 2)
    return (model.parameters - tables) * (stored or WIDTH.get(format, 2.0)) + 2.0 * tables


def capacity(model: Shape, chip: Device, load: Serving, spare: float = 0.88, *, grows: bool = False) -> float:
    """Count the requests whose whole cache fits beside the weights, or as much as they have on average; at least one."""
    room = load.chips * chip.memory * spare - weight_bytes(model, load.format, load.stored)
    copies = load.chips if model.latent and not load.split_requests else 1.0
    whole = load.context if grows else load.prompt + load.answer
    tokens = math.ceil(whole / load.page) * load.page if load.page > 1 else whole
    each = model.cached(tokens) * load.cache_width * copies
    return max(1.0, room / each)


def _products(
    chip: Device, format: str, shapes: list[tuple[float, float, float, float]], stored: float | None = None
) -> float:
    """Time products without what starts each: (rows, outputs, inputs, executions)."""
    m, n, k, count = (np.array(column, dtype=np.float64) for column in zip(*shapes, strict=True))
    return float(np.sum(count * product_bodies(chip, format, np.maximum(m, 1.0), np.maximum(n, 1.0), k, stored)))


def product_bodies(chip: Device, format: str, m: Array, n: Array, k: Array, stored: float | None = None) -> Array:
    """Time matrix products inside a captured graph: the body alone, quantised operands and no launch.

    `stored` gives the bytes of a weight that is widened as it is read.
    """
    width = stored or WIDTH.get(format, 2.0)
    if chip.array:
        flops = 2.0 * np.maximum(m, 64.0) * n * k
        return np.maximum(flops / chip.rate(format), (width * n * k + 2.0 * m * (n + k)) / chip.bandwidth)
    variants = {"nvfp4": ("nvfp4", "fp8", "bf16"), "fp8": ("fp8", "bf16"), "mxfp4": ("nvfp4", "fp8", "bf16")}
    found, _ = constants(chip.id, "gemm", *variants.get(format, ("bf16",)))
    time = gemm_seconds(found.values, chip, format, m, n, k, stored)
    return time.total - time.launch


def layer_shapes(
    model: Shape, rows: float, attention_split: float, split: float
) -> list[tuple[float, float, float, float]]:
    """List the dense products of all layers: (rows, outputs, inputs, executions)."""
    h, d, layers = float(model.hidden), float(model.head_dim), float(model.layers)
    heads = model.heads / attention_split
    own = rows if attention_split > 1 or split == 1 else rows / split
    if model.latent:
        low = float(model.query_rank or h)
        shapes = [
            (own, low + model.latent + model.rope, h, layers),
            (own, heads * (d + model.rope), low, layers),
            (own, heads * 2.0 * d, model.latent, layers),
            (own, h, heads * d, layers),
        ]
    else:
        wide = (heads + 2.0 * max(model.kv_heads / attention_split, 1.0)) * d
        shapes = [(own, wide, h, layers), (own, h, heads * d, layers)]
    up, dense, moe = model.mats - 1, float(model.layers - model.moe_layers), float(model.moe_layers)
    if dense and model.ffn:
        shapes += [(rows, up * model.ffn / split, h, dense), (rows, h, model.ffn / split, dense)]
    if moe and model.shared:
        shapes += [(rows, up * model.shared / split, h, moe), (rows, h, model.shared / split, moe)]
    return shapes


def prompt_seconds(model: Shape, chip: Device, load: Serving, *, prompts: float = 1.0, before: float = 0.0) -> float:
    """Seconds of reading prompts at once, after `before` tokens of each that were read already; all chips at work."""
    g, tokens = float(load.chips), load.prompt * prompts
    split = 1.0 if load.split_requests else g
    total = _products(chip, load.format, layer_shapes(model, tokens, split, g), load.weight_width)
    if model.moe_layers:
        flops = 2.0 * tokens * model.active * model.expert_weights * model.moe_layers
        hit = model.experts * (1.0 - (1.0 - model.active / model.experts) ** tokens)
        read = model.moe_layers * hit * model.expert_weights * load.stored
        total += max(flops / (g * chip.rate(load.format) * 0.6), read / (g * chip.bandwidth))

    def attention(seq: float) -> float:
        return attention_forward(
            chip, prompts / (g if load.split_requests else 1.0), model.heads / split, max(model.kv_heads / split, 1.0),
            float(model.head_dim + model.rope / 2), seq,
        )  # fmt: skip

    whole = before + load.prompt
    seen = attention(whole) - (attention(before) if before else 0.0)
    total += model.whole_attentions(whole) * max(seen, 0.0)
    return total + 2.0 * model.layers * collective_seconds(
        chip, "all-reduce", tokens * model.hidden * 2.0, g, engine=True
    )


def decode_parts(model: Shape, chip: Device, load: Serving, batch: float) -> dict[str, float]:
    """Parts of one decode step with `batch` requests in flight, before weights; see `STEP_PRIORS`.

    Parameters
    ----------
    model : Shape
    chip : Device
    load : Serving
    batch : float

    Returns
    -------
    dict of str to float
        In the order of `STEP_PARTS`.
    """
    g = float(load.chips)
    split = 1.0 if load.split_requests else g
    width, rows = load.stored, batch * (1.0 + load.drafted)
    linear = _products(chip, load.format, layer_shapes(model, rows, split, g), load.weight_width)
    linear += _products(chip, "bf16", [(rows, model.vocab / g, model.hidden, 1.0)])
    experts = work = 0.0
    if model.moe_layers:
        hit = model.experts * (1.0 - (1.0 - model.active / model.experts) ** rows)
        experts = model.moe_layers * hit / g * model.expert_weights * width / chip.bandwidth
        work = model.moe_layers * rows * model.active * 2.0 * model.expert_weights / g / chip.rate(load.format)
    read = model.cached(load.context)
    replicated = not load.split_requests and (bool(model.latent) or g > model.kv_heads)
    copies = g if model.latent and replicated else max(1.0, g / model.kv_heads) if replicated else 1.0
    cache = batch * read * load.cache_width * copies / g / chip.bandwidth
    latent = 0.0
    if model.latent:
        # Every head multiplies each cached element by its query and, but for the rotary part, by its weight.
        flops = 2.0 * model.heads * (2 * model.latent + model.rope) / model.cache_width
        latent = rows / g * read * flops / chip.rate("bf16")
    exchange = 0.0
    if load.split_requests and model.moe_layers:
        sent = rows / g * model.active * model.hidden * 3.0
        exchange = model.moe_layers * collective_seconds(chip, "all-to-all", sent, g)
    reduce = 0.0 if load.split_requests else 2.0 * model.layers * collective_seconds(
        chip, "all-reduce", rows * model.hidden * 2.0, g, engine=True
    )  # fmt: skip
    prefill = 0.0
    if not load.pools:
        # As many requests end in a step as begin, and the prompts of those that begin are read together.
        joined = max(1.0, min(batch / load.answer, CHUNK / load.prompt))
        prefill = max(batch - 1.0, 0.0) * prompt_seconds(model, chip, load, prompts=joined) / joined / load.answer
    return {
        "linear": linear,
        "experts": experts,
        "expert_work": work,
        "cache": cache,
        "latent_work": latent,
        "layers": model.layers * 1e-6,
        "moe_layers": model.moe_layers * 1e-6,
        "syncs": 2.0 * model.layers * 1e-6 * (1.0 if g > 1 else 0.0),
        "reduce": reduce,
        "exchange": exchange,
        "host": 1e-3,
        "sequences": batch * 1e-5,
        "prefill": prefill,
    }


def first_parts(
    model: Shape, chip: Device, load: Serving, step: float, room: float, *, bundles: bool = False
) -> dict[str, float]:
    """Parts of the time to the first token, before weights; see `FIRST_PRIORS`.

    Parameters
    ----------
    model : Shape
    chip : Device
    load : Serving
    step : float
        Seconds of a decode step.
    room : float
        Requests that fit at once: those beyond wait for a whole answer of others.
    bundles : bool
        Whether the engine is one of `BUNDLING`.
    """
    own = prompt_seconds(model, chip, load)
    beyond = max(0.0, load.sequences / room - 1.0)
    scores = model.layers * model.heads * load.prompt**2 * 8.0 / (load.chips * chip.bandwidth) * load.sequences
    waits = step if bundles and not load.pools else 0.0
    # One request in flight begins as another ends, so enough tokens to fill a chunk come in so many steps.
    gathered = CHUNK / load.prompt * load.answer / min(load.sequences, room)
    crowd = min(load.sequences, ALONE) if load.pools and not chip.array else load.sequences
    return {
        "own": own,
        "joined": min(load.sequences, room) / load.answer * own,
        "burst": (crowd - 1.0) / 2.0 * own if crowd > 1 else 0.0,
        "turn": step,
        "full": beyond * load.answer * step,
        "bundle": waits * min(1.0, gathered / LONGEST_BUNDLE),
        "balance": waits if load.split_requests else 0.0,
        "scores": scores if chip.family == "trainium" else 0.0,
        "eager": eager_seconds(model),
        "wait": 1e-3,
    }


def eager_seconds(model: Shape) -> float:
    """Tenths of a millisecond for each layer of a pass outside a captured graph, two for a layer of experts."""
    return (model.layers + model.moe_layers) * 1e-4


def wait_of(engine: str, values: Mapping[str, float] | None = None) -> str:
    """Name the software's share of a first token: the engine's own, where runs of it were measured."""
    own = f"wait {engine}"
    return own if values is None or own in values else "wait"
