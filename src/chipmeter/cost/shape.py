"""A transformer reduced to the sizes that training and serving formulas need."""

from __future__ import annotations

import re

import msgspec

from chipmeter.workloads import Architecture


def normal(name: str) -> str:
    """Reduce a model's name to what tells it apart.

    >>> normal("meta-llama/Meta-Llama-3.1-70B"), normal("Llama-2-70b"), normal("llama3.1-8b")
    ('llama3.1-70b', 'llama2-70b', 'llama3.1-8b')
    """
    low = name.lower().split(" (")[0].split("/")[-1].replace("meta-", "").replace("_", ".")
    low = re.sub(r"^deepseek-(r1|v3)(\.\d)?\b.*", "deepseek-v3", low)
    low = re.sub(r"-(instruct|fp8|nvfp4|hf|base|it|v0\.\d|99(\.9)?|lora)\b", "", low)
    return (
        re.sub(r"^(llama|gpt|codellama|mixtral|gemma)-(\d)", r"\1\2", low).replace("llama3.0", "llama3").split(" ")[0]
    )


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes of a decoder in the usual terms.

    Attributes
    ----------
    moe_layers : int
        Layers whose feed-forward part is a mixture of experts.
    shared : int
        Width of the experts that every token uses.
    gated : bool
        Whether the feed-forward part has a gate.
    latent, query_rank, rope : int
        Ranks and rotary width of latent attention; 0 for none.
    windowed_layers, window : int
        Layers whose attention reads at most `window` cached tokens: sliding windows, chunks, the selected keys of sparse
        attention, and layers that keep a state of fixed size instead of a cache.
    """

    name: str
    layers: int
    hidden: int
    ffn: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    experts: int = 0
    active: int = 0
    moe_ffn: int = 0
    moe_layers: int = 0
    shared: int = 0
    gated: bool = True
    latent: int = 0
    query_rank: int = 0
    rope: int = 0
    windowed_layers: int = 0
    window: int = 0
    tied: bool = False

    @classmethod
    def of(cls, model: Architecture) -> Shape:
        """Reduce an architecture.

        >>> from chipmeter.workloads import preset
        >>> round(Shape.of(preset("llama-3.1-8b")).parameters / 1e9, 2)
        8.03
        """
        return cls(
            name=normal(model.name),
            layers=model.layers,
            hidden=model.hidden,
            ffn=model.ffn,
            heads=model.heads,
            kv_heads=model.kv_heads,
            head_dim=model.value_dim,
            vocab=model.vocab,
            experts=model.experts,
            active=model.active_experts,
            moe_ffn=model.expert_ffn,
            moe_layers=len(model.moe_layers),
            shared=model.shared_ffn,
            gated=model.gated,
            latent=model.kv_rank,
            query_rank=model.q_rank,
            rope=model.rope_dim,
            windowed_layers=len(model.windowed_layers),
            window=model.window or 0,
            tied=model.tied,
        )

    @property
    def mats(self) -> int:
        """Matrices of a feed-forward part."""
        return 3 if self.gated else 2

    @property
    def attention_weights(self) -> int:
        """Parameters of the projections of one layer."""
        if self.latent:
            wide = self.head_dim + self.rope
            query = (
                self.query_rank * (self.hidden + self.heads * wide)
                if self.query_rank
                else self.hidden * self.heads * wide
            )
            keys = self.hidden * (self.latent + self.rope) + self.latent * self.heads * 2 * self.head_dim
            return query + keys + self.heads * self.head_dim * self.hidden
        return self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)

    @property
    def expert_weights(self) -> int:
        """Parameters of one routed expert."""
        return self.mats * self.hidden * self.moe_ffn

    @property
    def dense_weights(self) -> int:
        """Parameters of all layers outside the routed experts."""
        dense = (self.layers - self.moe_layers) * self.mats * self.hidden * self.ffn
        shared = self.moe_layers * (self.mats * self.hidden * self.shared + self.hidden * self.experts)
        return self.layers * self.attention_weights + dense + shared

    @property
    def parameters(self) -> int:
        """All parameters, norms left out."""
        tables = self.vocab * self.hidden * (1 if self.tied else 2)
        return self.dense_weights + self.moe_layers * self.experts * self.expert_weights + tables

    @property
    def active_parameters(self) -> int:
        """Parameters in the products of one token, the output projection included."""
        routed = self.moe_layers * self.active * self.expert_weights
        return self.dense_weights + routed + self.vocab * self.hidden

    @property
    def cache_width(self) -> int:
        """Elements that one token adds to the cache of one layer."""
        return self.latent + self.rope if self.latent else 2 * self.kv_heads * self.head_dim

    def cached(self, tokens: float) -> float:
        """Elements that the cache of one sequence of `tokens` tokens holds, all layers together.

        >>> from chipmeter.workloads import preset
        >>> gemma = Shape.of(preset("gemma-2-9b"))
        >>> 0.5 < gemma.cached(65536) / (gemma.layers * 65536 * gemma.cache_width) < 0.6
        True
        """
        whole = (self.layers - self.windowed_layers) * tokens
        return (whole + self.windowed_layers * min(tokens, self.window)) * self.cache_width

    def whole_attentions(self, tokens: float) -> float:
        """Count the layers by what their causal attention over a prompt of `tokens` tokens costs: a window's is a part.

        >>> from chipmeter.workloads import preset
        >>> gemma = Shape.of(preset("gemma-2-9b"))
        >>> gemma.whole_attentions(1024), 0.6 < gemma.whole_attentions(16384) / gemma.layers < 0.75
        (42.0, True)
        """
        near = min(tokens, self.window)
        share = near * (2.0 * tokens - near) / tokens**2
        return self.layers - self.windowed_layers * (1.0 - share)
