"""A Llama-like decoder in NumPy whose linears are computed by a callable of yours.

The network is that of Touvron et al. 2023 (arXiv 2302.13971) with grouped queries (Ainslie et al. 2023, arXiv
2305.13245) and rotary positions (Su et al. 2021, arXiv 2104.09864), in the variants that the public `transformers` code
calls llama, mistral, qwen2 and qwen3. Every product with a weight, the output head included, goes through the callable;
the products inside attention, norms, softmax, SiLU and the rotation stay in float32 (see `layers`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from chipmeter.checkpoint import Checkpoint
from chipmeter.networks.decoder_config import DecoderConfig, decoder_shapes
from chipmeter.networks.encoder import Linear, checked_linear, float32_linear
from chipmeter.networks.layers import causal_attention, rms_norm, rotate, silu
from chipmeter.networks.parameters import Float32, check_parameters, check_tensor, read_config, widened

__all__ = ["Decoder"]

_ACCEPTED = "the config.json of a Llama-like decoder"


class _Widened(Mapping[str, Float32]):
    """A checkpoint's tensors as float32, widened each time they are read: a large model is never held twice."""

    def __init__(self, checkpoint: Checkpoint, names: Mapping[str, str]) -> None:
        self._checkpoint, self._names = checkpoint, names

    def __getitem__(self, name: str) -> Float32:
        return widened(self._checkpoint, self._names[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(frozen=True, eq=False)
class Decoder:
    """A decoder: its config and its parameters by name.

    Parameters
    ----------
    config : DecoderConfig
    parameters : mapping of str to float32 array
        What `decoder_shapes` lists; checked here.

    Raises
    ------
    ValueError
        If a parameter is missing, or has another shape or dtype.

    Examples
    --------
    >>> from chipmeter.networks import synthetic
    >>> tiny = DecoderConfig(model_type="llama", vocab_size=9, hidden_size=4, intermediate_size=8, num_hidden_layers=1,
    ...                      num_attention_heads=2, num_key_value_heads=1)
    >>> decoder = Decoder(tiny, synthetic.tensors(decoder_shapes(tiny)))
    >>> hidden = decoder.forward([[1, 2, 3]])
    >>> hidden.shape, decoder.logits(hidden).shape
    ((1, 3, 4), (1, 3, 9))
    """

    config: DecoderConfig
    parameters: Mapping[str, Float32]

    def __post_init__(self) -> None:
        if isinstance(self.parameters, _Widened):  # checked from the header; reading would widen the whole model
            return
        check_parameters(self.parameters, decoder_shapes(self.config))

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, config: DecoderConfig | Mapping[str, Any]) -> Decoder:
        """Take the parameters from a checkpoint: F32 as they lie in the file, F16 and BF16 widened, which is exact.

        Parameters
        ----------
        checkpoint : Checkpoint
            Names as `decoder_shapes` has them, or without "model." before them. They are read when they are used.
        config : DecoderConfig or mapping
            A mapping is a config.json's content.

        Raises
        ------
        ValueError
            If the config is none that this decoder computes, or the checkpoint does not fit it.
        """
        if not isinstance(config, DecoderConfig):
            try:
                config = msgspec.convert(config, DecoderConfig)
            except msgspec.ValidationError as error:
                raise ValueError(f"config: {error}; accepted is {_ACCEPTED}") from None
        short = "model.embed_tokens.weight" not in checkpoint and "embed_tokens.weight" in checkpoint
        names: dict[str, str] = {}
        for name, shape in decoder_shapes(config):
            stored = name.removeprefix("model.") if short else name
            check_tensor(checkpoint, stored, shape)
            names[name] = stored
        return cls(config, _Widened(checkpoint, names))

    @classmethod
    def from_folder(cls, folder: str | Path) -> Decoder:
        """Take config.json and the safetensors of a model's folder; errors as in `from_checkpoint`."""
        config = read_config(folder, DecoderConfig, _ACCEPTED)
        return cls.from_checkpoint(Checkpoint(folder), config)

    def forward(self, ids: ArrayLike, linear: Linear = float32_linear) -> Float32:
        """Run the network over sequences of one length.

        Parameters
        ----------
        ids : (sequences, length) integers
            Token ids; each token sees those before it in its sequence, and itself.
        linear : Linear
            Computes every linear layer, on the tokens of all sequences as the rows of one matrix.

        Returns
        -------
        (sequences, length, h) float32
            The hidden states after the last norm.

        Raises
        ------
        ValueError, TypeError
            If ids are not as above, a sequence is longer than the network's positions or its sliding window, or
            `linear` returns another shape or dtype than (tokens, n) float32.
        """
        tokens = self._checked(ids)
        x: Float32 = self.parameters["model.embed_tokens.weight"][tokens.reshape(-1)]
        angles = np.arange(tokens.shape[1])[:, None] * self.config.frequencies()
        turn = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        for index in range(self.config.num_hidden_layers):
            x = self._layer(x, len(tokens), turn, f"model.layers.{index}", linear)
        return self._norm(x, "model.norm").reshape(*tokens.shape, -1)

    def logits(self, hidden: Float32, linear: Linear = float32_linear) -> Float32:
        """Give the scores of the next token from what `forward` returned, (..., h): (..., vocabulary) float32."""
        flat = hidden.reshape(-1, self.config.hidden_size)
        weight = self.parameters["model.embed_tokens.weight" if self.config.tie_word_embeddings else "lm_head.weight"]
        return checked_linear(linear, flat, weight, None, "lm_head").reshape(*hidden.shape[:-1], -1)

    def _checked(self, ids: ArrayLike) -> NDArray[np.int64]:
        tokens = np.asarray(ids)
        if tokens.dtype.kind not in "iu":
            raise TypeError(f"ids are {tokens.dtype}; integers are accepted")
        if tokens.ndim != 2 or not tokens.size:
            raise ValueError(f"ids {tokens.shape}: accepted is (sequences, length), neither of them 0")
        limit = self.config.longest
        if limit is not None and tokens.shape[1] > limit:
            raise ValueError(f"sequences of {tokens.shape[1]} tokens; the network is computed up to {limit}")
        wrong = tokens[(tokens < 0) | (tokens >= self.config.vocab_size)]
        if wrong.size:
            raise ValueError(f"token id {int(wrong[0])}; accepted is 0 to {self.config.vocab_size - 1}")
        return tokens.astype(np.int64)

    def _norm(self, x: Float32, name: str) -> Float32:
        return rms_norm(x, self.parameters[f"{name}.weight"], self.config.rms_norm_eps)

    def _layer(self, x: Float32, sequences: int, turn: tuple[Float32, Float32], layer: str, linear: Linear) -> Float32:
        config = self.config

        def apply(part: str, x: Float32) -> Float32:
            name = f"{layer}.{part}"
            return checked_linear(
                linear, x, self.parameters[f"{name}.weight"], self.parameters.get(f"{name}.bias"), name
            )

        def heads(part: str, x: Float32) -> Float32:
            return apply(f"self_attn.{part}_proj", x).reshape(sequences, len(x) // sequences, -1, config.depth)

        normed = self._norm(x, f"{layer}.input_layernorm")
        query, key, value = (heads(part, normed) for part in "qkv")
        if config.model_type == "qwen3":
            query, key = self._norm(query, f"{layer}.self_attn.q_norm"), self._norm(key, f"{layer}.self_attn.k_norm")
        mixed = causal_attention(rotate(query, *turn), rotate(key, *turn), value)
        x = x + apply("self_attn.o_proj", mixed.reshape(len(x), -1))
        normed = self._norm(x, f"{layer}.post_attention_layernorm")
        return x + apply("mlp.down_proj", silu(apply("mlp.gate_proj", normed)) * apply("mlp.up_proj", normed))
