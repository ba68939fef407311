"""The operations of one kind of layer: attention (plain and latent) and feed-forward (dense and mixture of experts)."""

from __future__ import annotations

from collections.abc import Iterator

from chipmeter.workloads.architecture import Architecture
from chipmeter.workloads.ops import AllReduce, Attention, Gemm, Op, Pointwise, Split
from chipmeter.workloads.weights import Weight


def experts_hit(experts: int, active: int, tokens: int) -> float:
    """Return the expected number of different experts that a batch of tokens is routed to, under uniform routing.

    >>> experts_hit(8, 2, 1)
    2.0
    """
    if tokens == 1:
        return float(active)
    return experts * (1.0 - (1.0 - active / experts) ** tokens)


def _linear(a: Architecture, roles: tuple[str, ...], name: str, tokens: int, split: Split) -> Iterator[Gemm]:
    """One GEMM over the weights of some roles, concatenated along n as every serving stack fuses them."""
    weights = tuple(weight for role in roles if (weight := a.weight(role)) is not None)
    if weights:
        n, k, layers = sum(weight.n for weight in weights), weights[0].k, weights[0].layers
        count = max(1, len(layers))
        yield Gemm(tokens, n, k, name=name, count=count, weights=weights, split=split)


def attention_ops(a: Architecture, batch: int, queries: int, keys: int, *, absorb: bool) -> Iterator[Op]:
    """Projections and attention of all layers.

    `absorb` multiplies the compressed cache of latent attention directly, as decoding does, instead of expanding it.
    """
    tokens = batch * queries
    if a.kv_rank:
        yield from _latent_attention(a, batch, queries, keys, absorb=absorb)
    else:
        yield from _linear(a, ("q", "k", "v", "qkv"), "qkv", tokens, "column")
        if not a.positions and not a.relative:
            width = (a.heads + a.kv_heads) * a.head_dim
            yield Pointwise(tokens=tokens, width=width, name="rotary", split="column", count=a.layers)
        windowed = len(a.windowed_layers)
        for window, count in ((None, a.layers - windowed), (a.window, windowed)):
            if count:
                yield Attention(
                    batch=batch,
                    queries=queries,
                    keys=keys,
                    heads=a.heads,
                    kv_heads=a.kv_heads,
                    head_dim=a.head_dim,
                    value_dim=a.value_dim,
                    causal=a.kind != "encoder",
                    window=window,
                    name="attention" if window is None else "windowed attention",
                    count=count,
                )
    yield from _linear(a, ("o",), "attention output", tokens, "row")
    yield AllReduce(tokens=tokens, width=a.hidden, name="attention all-reduce", count=a.layers)


def cross_ops(a: Architecture, batch: int, queries: int, source: int) -> Iterator[Op]:
    """Attention of a decoder's tokens to the encoder's result, whose keys and values are made once per source."""
    tokens = batch * queries
    yield from _linear(a, ("cross_q",), "cross query", tokens, "column")
    yield Attention(
        batch=batch,
        queries=queries,
        keys=source,
        heads=a.heads,
        kv_heads=a.kv_heads,
        head_dim=a.head_dim,
        value_dim=a.value_dim,
        causal=False,
        name="cross attention",
        count=a.layers,
    )
    yield from _linear(a, ("cross_o",), "cross attention output", tokens, "row")
    yield AllReduce(tokens=tokens, width=a.hidden, name="cross attention all-reduce", count=a.layers)


def source_ops(a: Architecture, tokens: int) -> Iterator[Op]:
    """Keys and values that every layer of a decoder makes of the encoder's result."""
    yield from _linear(a, ("cross_k", "cross_v"), "cross key-value", tokens, "column")


def input_ops(a: Architecture, tokens: int) -> Iterator[Op]:
    """Turn pixels or sound into tokens: a product over patches, or two convolutions of width 3, the second of stride 2."""
    yield from _linear(a, ("patch",), "patches", tokens, "none")
    yield from _linear(a, ("conv1",), "convolution 1", 2 * tokens, "none")
    yield from _linear(a, ("conv2",), "convolution 2", tokens, "none")


def _latent_attention(a: Architecture, batch: int, queries: int, keys: int, *, absorb: bool) -> Iterator[Op]:
    tokens = batch * queries
    yield from _linear(a, ("q_a", "kv_a"), "latent down-projection", tokens, "none")
    yield from _linear(a, ("q",), "query", tokens, "column")
    yield from _linear(a, ("q_b",), "query up-projection", tokens, "column")
    rotary = (a.heads + 1) * a.rope_dim
    yield Pointwise(tokens=tokens, width=rotary, name="rotary", split="column", count=a.layers)
    expand = a.weight("kv_b")
    weights: tuple[Weight, ...] = () if expand is None else (expand,)
    if not absorb:
        # The earlier context is expanded anew: only its compressed form is cached.
        yield Gemm(
            batch * keys,
            a.heads * (a.nope_dim + a.value_dim),
            a.kv_rank,
            name="key-value up-projection",
            count=a.layers,
            weights=weights,
            split="column",
        )
        yield Attention(
            batch=batch,
            queries=queries,
            keys=keys,
            heads=a.heads,
            kv_heads=a.heads,
            head_dim=a.head_dim,
            value_dim=a.value_dim,
            count=a.layers,
        )
        return
    rows, heads = tokens * a.heads, a.heads
    yield Gemm(
        rows,
        a.kv_rank,
        a.nope_dim,
        name="query absorption",
        count=a.layers,
        groups=heads,
        weights=weights,
        split="groups",
    )
    yield Attention(
        batch=batch,
        queries=queries,
        keys=keys,
        heads=a.heads,
        kv_heads=1,
        head_dim=a.kv_rank + a.rope_dim,
        value_dim=a.kv_rank,
        shared_kv=True,
        count=a.layers,
    )
    yield Gemm(
        rows,
        a.value_dim,
        a.kv_rank,
        name="value up-projection",
        count=a.layers,
        groups=heads,
        weights=weights,
        split="groups",
    )


def _activation(a: Architecture, tokens: int, width: int, name: str, count: int) -> Pointwise:
    reads = 2 if a.gated else 1
    return Pointwise(tokens=tokens, width=width, name=name, reads=reads, split="column", count=count)


def feed_forward_ops(a: Architecture, tokens: int) -> Iterator[Op]:
    """Feed-forward part of all layers, dense and mixture of experts."""
    if a.ffn:
        yield from _linear(a, ("gate", "up", "gate_up"), "mlp up", tokens, "column")
        yield _activation(a, tokens, a.ffn, "mlp activation", len(a.dense_layers))
        yield from _linear(a, ("down",), "mlp down", tokens, "row")
    if a.moe_layers:
        yield from _expert_ops(a, tokens)
    # Routed and shared experts' partial sums are added first, so that one row per token is reduced in any layer.
    yield AllReduce(tokens=tokens, width=a.hidden, name="mlp all-reduce", count=a.layers)


def _expert_ops(a: Architecture, tokens: int) -> Iterator[Op]:
    layers = len(a.moe_layers)
    yield from _linear(a, ("router",), "router", tokens, "none")
    if a.shared_ffn:
        yield from _linear(a, ("shared_router",), "shared expert gate", tokens, "none")
        yield from _linear(a, ("shared_gate", "shared_up"), "shared expert up", tokens, "column")
        yield _activation(a, tokens, a.shared_ffn, "shared expert activation", layers)
        yield from _linear(a, ("shared_down",), "shared expert down", tokens, "row")
    routed, hit = tokens * a.active_experts, experts_hit(a.experts, a.active_experts, tokens)
    roles = ("expert_gate", "expert_up", "expert_gate_up")
    up = tuple(weight for role in roles if (weight := a.weight(role)) is not None)
    down = tuple(weight for weight in (a.weight("expert_down"),) if weight is not None)
    width = sum(weight.n for weight in up)
    yield Pointwise(tokens=routed, width=a.hidden, name="expert dispatch", flops_per_element=0, count=layers)
    yield Gemm(routed, width, a.hidden, name="expert up", count=layers, groups=hit, weights=up, split="column")
    yield _activation(a, routed, a.expert_ffn, "expert activation", layers)
    yield Gemm(routed, a.hidden, a.expert_ffn, name="expert down", count=layers, groups=hit, weights=down, split="row")
    yield Pointwise(
        tokens=tokens, width=a.hidden, name="expert combine", reads=a.active_experts, flops_per_element=2, count=layers
    )
