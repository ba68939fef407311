"""The architecture of a transformer as the cost model sees it: sizes, and the weight matrices that follow from them."""

from __future__ import annotations

from typing import Literal

import msgspec

from chipmeter.workloads.weights import Weight

Kind = Literal["decoder", "encoder", "encoder-decoder", "graph"]


class Architecture(msgspec.Struct, frozen=True, kw_only=True):
    """A transformer, as `read_config` derives it from a ``config.json``.

    Attributes
    ----------
    name, model_type : str
    kind : {"decoder", "encoder", "encoder-decoder", "graph"}
        A "graph" is a list of operations that nothing else is known of.
    hidden, layers, heads, kv_heads, head_dim, value_dim, ffn, vocab : int
        Sizes in the usual terms; `head_dim` is the width of a query, `value_dim` that of a value. `ffn` is 0 when
        every layer is a mixture of experts.
    gated : bool
        Whether the feed-forward part has a gate (SwiGLU, GeGLU).
    norm : {"rms", "layer"}
    norms_per_layer : int
    qk_norm : bool
        Whether queries and keys are normalised per head.
    sinks : bool
        Whether each head has a learned score that no key answers to.
    tied : bool
        Whether the output projection shares the embedding table.
    positions, token_types, relative : int
        Rows of learned tables of positions, segments and relative positions; 0 for none. Of an image, its tokens.
    position_offset, norms_outside : int
        Rows of the position table that no token uses, and norms outside the layers.
    patch, channels : int
        Side of an image patch and its colours; 0 for text.
    encoder : Architecture or None
        The encoder whose result every layer attends to as well.
    window : int or None
        Sliding-window length of the windowed layers.
    windowed_layers : tuple of int
    experts, active_experts, expert_ffn, shared_ffn : int
        Mixture of experts: routed experts, those a token uses, width of each, width of the shared one. 0 for none.
    moe_layers : tuple of int
    q_rank, kv_rank, nope_dim, rope_dim : int
        Multi-head latent attention; 0 for none.
    weights : tuple of Weight
        Every weight matrix, the embedding table included, with the name of its checkpoint tensor.
    """

    name: str
    model_type: str
    kind: Kind
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int
    ffn: int
    vocab: int
    gated: bool
    norm: Literal["rms", "layer"]
    norms_per_layer: int
    qk_norm: bool = False
    sinks: bool = False
    tied: bool = False
    positions: int = 0
    token_types: int = 0
    window: int | None = None
    windowed_layers: tuple[int, ...] = ()
    experts: int = 0
    active_experts: int = 0
    expert_ffn: int = 0
    shared_ffn: int = 0
    moe_layers: tuple[int, ...] = ()
    q_rank: int = 0
    kv_rank: int = 0
    nope_dim: int = 0
    rope_dim: int = 0
    relative: int = 0
    position_offset: int = 0
    norms_outside: int = 1
    patch: int = 0
    channels: int = 0
    encoder: Architecture | None = None
    weights: tuple[Weight, ...] = ()

    def weight(self, role: str) -> Weight | None:
        """Find the weight matrix that plays a role; None if the model has none."""
        return next((weight for weight in self.weights if weight.role == role), None)

    @property
    def dense_layers(self) -> tuple[int, ...]:
        """Layers whose feed-forward part is not a mixture of experts."""
        sparse = set(self.moe_layers)
        return tuple(layer for layer in range(self.layers) if layer not in sparse)

    @property
    def _vectors(self) -> int:
        """Parameters that are no matrix: norms and learned position tables."""
        per_norm = self.hidden * (2 if self.norm == "layer" else 1)
        norms = (self.layers * self.norms_per_layer + self.norms_outside) * per_norm
        per_head = (2 * self.head_dim if self.qk_norm else 0) + (self.heads if self.sinks else 0)
        inside = self.layers * (self.q_rank + self.kv_rank + per_head)
        rows = self.positions + self.position_offset + self.token_types
        return norms + inside + rows * self.hidden + self.relative * self.heads

    @property
    def parameters(self) -> int:
        """All parameters; a tied output projection counts once."""
        encoder = 0 if self.encoder is None else self.encoder.parameters
        return self._vectors + sum(weight.parameters for weight in self.weights) + encoder

    @property
    def active_parameters(self) -> int:
        """Parameters that one token uses: all but the experts it is not routed to."""
        routed = sum(weight.parameters for weight in self.weights if weight.experts)
        return self.parameters - (routed - routed * self.active_experts // self.experts if self.experts else 0)

    @property
    def kv_width(self) -> int:
        """Elements that one token adds to the cache in one layer; a source token of an encoder takes as many."""
        return self.kv_rank + self.rope_dim if self.kv_rank else self.kv_heads * (self.head_dim + self.value_dim)

    def kv_elements(self, tokens: int) -> int:
        """Count the elements in the cache of one sequence of `tokens` tokens; windowed layers keep the window only.

        An encoder keeps no cache.
        """
        if self.kind in ("encoder", "graph"):
            return 0
        windowed = len(self.windowed_layers)
        kept = tokens if self.window is None else min(tokens, self.window)
        return self.kv_width * ((self.layers - windowed) * tokens + windowed * kept)
