"""The weight matrices that follow from an architecture's sizes and the names its family gives them."""

from __future__ import annotations

from collections.abc import Mapping

from chipmeter.workloads.architecture import Architecture
from chipmeter.workloads.weights import Weight


def matrices(a: Architecture, patterns: Mapping[str, str], bias: set[str], transposed: bool) -> list[Weight]:
    """List the weight matrices of an architecture: (n, k) by role, and the layers that have them."""
    everywhere, dense, sparse = tuple(range(a.layers)), a.dense_layers, a.moe_layers
    source = a.hidden if a.encoder is None else a.encoder.hidden
    q, kv, v = a.heads * a.head_dim, a.kv_heads * a.head_dim, a.heads * a.value_dim
    shapes: dict[str, tuple[int, int, tuple[int, ...]]] = {
        "embed": (a.vocab, a.hidden, ()),
        "q": (q, a.hidden, everywhere if not a.q_rank else ()),
        "k": (kv, a.hidden, everywhere),
        "v": (kv, a.hidden, everywhere),
        "qkv": (q + 2 * kv, a.hidden, everywhere),
        "q_a": (a.q_rank, a.hidden, everywhere),
        "q_b": (q, a.q_rank, everywhere),
        "kv_a": (a.kv_rank + a.rope_dim, a.hidden, everywhere),
        "kv_b": (a.heads * (a.nope_dim + a.value_dim), a.kv_rank, everywhere),
        "o": (a.hidden, v, everywhere),
        "gate": (a.ffn, a.hidden, dense),
        "up": (a.ffn, a.hidden, dense),
        "gate_up": (2 * a.ffn, a.hidden, dense),
        "down": (a.hidden, a.ffn, dense),
        "router": (a.experts, a.hidden, sparse),
        "expert_gate_up": (2 * a.expert_ffn, a.hidden, sparse),
        "expert_gate": (a.expert_ffn, a.hidden, sparse),
        "expert_up": (a.expert_ffn, a.hidden, sparse),
        "expert_down": (a.hidden, a.expert_ffn, sparse),
        "shared_router": (1, a.hidden, sparse),
        "shared_gate": (a.shared_ffn, a.hidden, sparse),
        "shared_up": (a.shared_ffn, a.hidden, sparse),
        "shared_down": (a.hidden, a.shared_ffn, sparse),
        "cross_q": (q, a.hidden, everywhere),
        "cross_k": (kv, source, everywhere),
        "cross_v": (v // a.heads * a.kv_heads, source, everywhere),
        "cross_o": (a.hidden, v, everywhere),
        "patch": (a.hidden, a.channels * a.patch**2, ()),
        "conv1": (a.hidden, 3 * a.channels, ()),
        "conv2": (a.hidden, 3 * a.hidden, ()),
        "pooler": (a.hidden, a.hidden, ()),
        "head": (a.vocab, a.hidden, ()),
    }
    weights = []
    for role, pattern in patterns.items():
        n, k, layers = shapes[role]
        if n * k == 0 or (role == "head" and a.tied) or ("{i}" in pattern and not layers):
            continue
        experts = a.experts if role.startswith("expert_") else 0
        weights.append(
            Weight(
                role=role,
                pattern=pattern,
                n=n,
                k=k,
                layers=layers,
                experts=experts,
                bias=role in bias,
                transposed=transposed and bool(layers),
            )
        )
    return weights
