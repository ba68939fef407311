"""What a decoder's config.json must say for `Decoder` to compute it, and the parameters that follow from it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["DecoderConfig", "Rotary", "decoder_shapes"]

_Positive = Annotated[int, msgspec.Meta(ge=1)]
_Attention = Literal["full_attention", "sliding_attention"]


def _check_positive(record: Any, *names: str) -> None:
    for name in names:
        value = getattr(record, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value}; a positive number is accepted")


class Rotary(msgspec.Struct, frozen=True, kw_only=True):
    """How rotary frequencies are scaled: rope_scaling or rope_parameters of a config.json.

    Only no scaling ("default") and Llama 3's are accepted.

    Raises
    ------
    ValueError
        If a number is not positive, or Llama 3's scaling lacks a field or has its two factors the wrong way round.
    """

    rope_type: Literal["default", "llama3"] | None = None
    type: Literal["default", "llama3"] | None = None
    """The older name of rope_type, which goes first."""
    rope_theta: float | None = None
    partial_rotary_factor: float = 1.0
    factor: float | None = None
    low_freq_factor: float | None = None
    high_freq_factor: float | None = None
    original_max_position_embeddings: _Positive | None = None

    def __post_init__(self) -> None:
        _check_positive(self, "rope_theta", "factor", "low_freq_factor", "high_freq_factor")
        if self.partial_rotary_factor != 1:
            raise ValueError(f"partial_rotary_factor is {self.partial_rotary_factor}; only 1 is accepted")
        if not self.llama3:
            return
        needed = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise ValueError(f"llama3 scaling needs {missing[0]}; it is missing")
        if not (self.low_freq_factor or 0) < (self.high_freq_factor or 0):
            raise ValueError(
                f"high_freq_factor {self.high_freq_factor} is not above low_freq_factor {self.low_freq_factor}"
            )

    @property
    def llama3(self) -> bool:
        """Whether frequencies are scaled by Llama 3's rule."""
        return (self.rope_type or self.type) == "llama3"


class DecoderConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A decoder's sizes, under the names of a Hugging Face config.json, whose other keys are ignored.

    Only what this decoder computes is accepted: model_type llama, mistral, qwen2 or qwen3, hidden_act "silu", rotary
    positions over whole heads without scaling or with Llama 3's.

    Raises
    ------
    ValueError
        If the key-value heads do not divide the heads, a head's size is not even or cannot be told, or a number that
        must be positive is not.

    Examples
    --------
    >>> tiny = DecoderConfig(model_type="qwen3", vocab_size=9, hidden_size=4, intermediate_size=8, num_hidden_layers=1,
    ...                      num_attention_heads=2)
    >>> tiny.depth, tiny.key_heads
    (128, 2)
    """

    model_type: Literal["llama", "mistral", "qwen2", "qwen3"]
    vocab_size: _Positive
    hidden_size: _Positive
    intermediate_size: _Positive
    num_hidden_layers: _Positive
    num_attention_heads: _Positive
    num_key_value_heads: _Positive | None = None
    head_dim: _Positive | None = None
    max_position_embeddings: _Positive | None = None
    rms_norm_eps: float = 1e-6
    hidden_act: Literal["silu"] = "silu"
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    rope_theta: float | None = None
    partial_rotary_factor: float | None = None
    rope_scaling: Rotary | None = None
    rope_parameters: Rotary | None = None
    sliding_window: _Positive | None = None
    use_sliding_window: bool | None = None
    layer_types: tuple[_Attention, ...] | None = None

    def __post_init__(self) -> None:
        _check_positive(self, "rms_norm_eps", "rope_theta")
        if self.partial_rotary_factor not in (None, 1):
            raise ValueError(f"partial_rotary_factor is {self.partial_rotary_factor}; only 1 is accepted")
        if self.num_attention_heads % self.key_heads:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of num_key_value_heads {self.key_heads}"
            )
        if self.head_dim is None and self.model_type != "qwen3" and self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )
        if self.depth % 2:
            raise ValueError(f"heads of {self.depth} channels; rotary positions need an even number")

    @property
    def key_heads(self) -> int:
        """Heads of keys and values, each of which serves as many queries as there are heads to one."""
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def depth(self) -> int:
        """Channels of a head."""
        return self.head_dim or (128 if self.model_type == "qwen3" else self.hidden_size // self.num_attention_heads)

    @property
    def longest(self) -> int | None:
        """Tokens up to which a sequence is computed: the positions, and a window that would hide earlier tokens."""
        windowed = self.model_type == "mistral" or (self.model_type.startswith("qwen") and self.use_sliding_window)
        limits = (self.max_position_embeddings, self.sliding_window if windowed else None)
        return min((limit for limit in limits if limit is not None), default=None)

    def frequencies(self) -> NDArray[np.float64]:
        """Radians per position by which each pair of channels turns, (depth / 2,), highest first.

        theta^(-2i / depth); Llama 3's rule divides those whose wavelength is long against the original context by
        `factor`, leaves short ones, and goes from one to the other linearly in context / wavelength.
        """
        rotary = self.rope_parameters or self.rope_scaling or Rotary()
        theta = rotary.rope_theta or self.rope_theta or 10000.0
        turns = theta ** (-np.arange(0, self.depth, 2) / self.depth)
        if rotary.llama3:
            low, high = rotary.low_freq_factor or 1.0, rotary.high_freq_factor or 1.0
            cycles = (rotary.original_max_position_embeddings or 1) * turns / (2 * math.pi)
            kept = np.clip((cycles - low) / (high - low), 0, 1)
            turns = kept * turns + (1 - kept) * turns / (rotary.factor or 1.0)
        return np.asarray(turns, np.float64)


def decoder_shapes(config: DecoderConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """List a decoder's parameters, by the names that Hugging Face checkpoints use, with their shapes.

    Biases: q, k and v of qwen2; q, k, v and o of llama and qwen3 with attention_bias; llama's MLP with mlp_bias.

    >>> tiny = DecoderConfig(model_type="llama", vocab_size=9, hidden_size=4, intermediate_size=8, num_hidden_layers=1,
    ...                      num_attention_heads=2, num_key_value_heads=1)
    >>> dict(decoder_shapes(tiny))["model.layers.0.self_attn.k_proj.weight"]
    (2, 4)
    """
    hidden, inner = config.hidden_size, config.intermediate_size
    queries, keys = config.num_attention_heads * config.depth, config.key_heads * config.depth
    kind = config.model_type
    biased = set("qkv") if kind == "qwen2" else set()
    if kind in ("llama", "qwen3") and config.attention_bias:
        biased = set("qkvo")
    if kind == "llama" and config.mlp_bias:
        biased |= {"gate", "up", "down"}
    yield "model.embed_tokens.weight", (config.vocab_size, hidden)
    for index in range(config.num_hidden_layers):
        layer = f"model.layers.{index}"
        yield f"{layer}.input_layernorm.weight", (hidden,)
        for block, part, n, k in (
            ("self_attn", "q", queries, hidden), ("self_attn", "k", keys, hidden), ("self_attn", "v", keys, hidden),
            ("self_attn", "o", hidden, queries), ("mlp", "gate", inner, hidden), ("mlp", "up", inner, hidden),
            ("mlp", "down", hidden, inner),
        ):  # fmt: skip
            yield f"{layer}.{block}.{part}_proj.weight", (n, k)
            if part in biased:
                yield f"{layer}.{block}.{part}_proj.bias", (n,)
        if kind == "qwen3":
            yield f"{layer}.self_attn.q_norm.weight", (config.depth,)
            yield f"{layer}.self_attn.k_norm.weight", (config.depth,)
        yield f"{layer}.post_attention_layernorm.weight", (hidden,)
    yield "model.norm.weight", (hidden,)
    if not config.tie_word_embeddings:
        yield "lm_head.weight", (config.vocab_size, hidden)
