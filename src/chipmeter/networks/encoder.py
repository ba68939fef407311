"""A BERT-like sentence encoder in NumPy whose linears are computed by a callable of yours.

The network is that of Devlin et al. 2018 (arXiv 1810.04805) with the mean pooling and the L2 normalisation of
sentence-transformers; with the weights of all-MiniLM-L6-v2 it gives that model's embeddings. Every product with a
weight, which is where an accelerator's matrix unit works, goes through the callable; the products inside attention,
norms, softmax and GELU stay in float32 (see `layers`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from chipmeter.checkpoint import Checkpoint
from chipmeter.networks.layers import attention, gelu, layer_norm, mean_pool
from chipmeter.networks.parameters import Float32, check_parameters, check_tensor, read_config, widened

__all__ = ["Encoder", "EncoderConfig", "Linear", "SentenceTokenizer", "float32_linear", "parameter_shapes"]

_Positive = Annotated[int, msgspec.Meta(ge=1)]

_ACCEPTED = "a BERT encoder's config.json"


class Linear(Protocol):
    """What computes the linears: x @ weight.T + bias, in whatever arithmetic."""

    def __call__(self, x: Float32, weight: Float32, bias: Float32 | None, name: str) -> Float32:
        """Multiply x, (tokens, k), by weight, (n, k), and add bias, (n,), for the layer `name`: (tokens, n)."""


class SentenceTokenizer(Protocol):
    """What turns sentences into ids and mask; `chipmeter.networks.Tokenizer` does."""

    def encode(self, sentences: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Give ids and mask, both (sentences, longest)."""


def float32_linear(x: Float32, weight: Float32, bias: Float32 | None, name: str) -> Float32:
    """Compute a linear by NumPy's float32 matmul: the baseline, accurate but in an order of the BLAS's choosing."""
    y: Float32 = x @ weight.T
    if bias is not None:
        y += bias
    return y


def checked_linear(linear: Linear, x: Float32, weight: Float32, bias: Float32 | None, name: str) -> Float32:
    """Call `linear` and check that it returned (tokens, n) float32; TypeError otherwise."""
    y = linear(x, weight, bias, name)
    if not isinstance(y, np.ndarray) or y.dtype != np.float32 or y.shape != (len(x), len(weight)):
        found = f"{y.dtype} {y.shape}" if isinstance(y, np.ndarray) else type(y).__name__
        raise TypeError(f"linear returned {found} for {name!r}; accepted: float32 {(len(x), len(weight))}")
    return y


class EncoderConfig(msgspec.Struct, frozen=True, kw_only=True):
    """An encoder's sizes, under the names of a Hugging Face config.json, whose other keys are ignored.

    Only what this encoder computes is accepted: model_type "bert", hidden_act "gelu" (the exact one), absolute
    positions, no decoder.

    Raises
    ------
    ValueError
        If the heads do not divide the hidden size, the norm's epsilon is not a positive number, or it is a decoder.
    """

    vocab_size: _Positive
    hidden_size: _Positive
    intermediate_size: _Positive
    num_hidden_layers: _Positive
    num_attention_heads: _Positive
    max_position_embeddings: _Positive
    type_vocab_size: _Positive = 2
    layer_norm_eps: float = 1e-12
    model_type: Literal["bert"] = "bert"
    hidden_act: Literal["gelu"] = "gelu"
    position_embedding_type: Literal["absolute"] = "absolute"
    is_decoder: bool = False

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )
        if not (math.isfinite(self.layer_norm_eps) and self.layer_norm_eps > 0):
            raise ValueError(f"layer_norm_eps is {self.layer_norm_eps}; a positive number is accepted")
        if self.is_decoder:
            raise ValueError("is_decoder is true; only encoders are accepted")


def parameter_shapes(config: EncoderConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """List an encoder's parameters, by the names that BERT checkpoints use, with their shapes.

    >>> tiny = EncoderConfig(vocab_size=9, hidden_size=4, intermediate_size=8, num_hidden_layers=1,
    ...                      num_attention_heads=2, max_position_embeddings=5)
    >>> dict(parameter_shapes(tiny))["encoder.layer.0.intermediate.dense.weight"]
    (8, 4)
    """
    hidden, inner = config.hidden_size, config.intermediate_size

    def linear(name: str, n: int, k: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{name}.weight", (n, k)
        yield f"{name}.bias", (n,)

    def norm(name: str) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{name}.weight", (hidden,)
        yield f"{name}.bias", (hidden,)

    yield "embeddings.word_embeddings.weight", (config.vocab_size, hidden)
    yield "embeddings.position_embeddings.weight", (config.max_position_embeddings, hidden)
    yield "embeddings.token_type_embeddings.weight", (config.type_vocab_size, hidden)
    yield from norm("embeddings.LayerNorm")
    for index in range(config.num_hidden_layers):
        layer = f"encoder.layer.{index}"
        for part in ("query", "key", "value"):
            yield from linear(f"{layer}.attention.self.{part}", hidden, hidden)
        yield from linear(f"{layer}.attention.output.dense", hidden, hidden)
        yield from norm(f"{layer}.attention.output.LayerNorm")
        yield from linear(f"{layer}.intermediate.dense", inner, hidden)
        yield from linear(f"{layer}.output.dense", hidden, inner)
        yield from norm(f"{layer}.output.LayerNorm")


@dataclass(frozen=True, eq=False)
class Encoder:
    """An encoder: its config and its parameters by name.

    Parameters
    ----------
    config : EncoderConfig
    parameters : mapping of str to float32 array
        What `parameter_shapes` lists; checked here.

    Raises
    ------
    ValueError
        If a parameter is missing, or has another shape or dtype.

    Examples
    --------
    >>> from chipmeter.networks import synthetic
    >>> tiny = EncoderConfig(vocab_size=9, hidden_size=4, intermediate_size=8, num_hidden_layers=1,
    ...                      num_attention_heads=2, max_position_embeddings=5)
    >>> encoder = Encoder(tiny, synthetic.tensors(parameter_shapes(tiny)))
    >>> encoder.forward([[1, 2, 3], [4, 5, 0]], [[1, 1, 1], [1, 1, 0]]).shape
    (2, 3, 4)
    """

    config: EncoderConfig
    parameters: Mapping[str, Float32]

    def __post_init__(self) -> None:
        check_parameters(self.parameters, parameter_shapes(self.config))

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, config: EncoderConfig | Mapping[str, Any]) -> Encoder:
        """Take the parameters from a checkpoint: F32 as they lie in the file, F16 and BF16 widened, which is exact.

        Parameters
        ----------
        checkpoint : Checkpoint
            Names as `parameter_shapes` has them, or all with "bert." before them.
        config : EncoderConfig or mapping
            A mapping is a config.json's content.

        Raises
        ------
        ValueError
            If the config is none that this encoder computes, or the checkpoint does not fit it.
        """
        if not isinstance(config, EncoderConfig):
            try:
                config = msgspec.convert(config, EncoderConfig)
            except msgspec.ValidationError as error:
                raise ValueError(f"config: {error}; accepted is {_ACCEPTED}") from error
        prefix = "bert." if "bert.embeddings.word_embeddings.weight" in checkpoint else ""
        parameters: dict[str, Float32] = {}
        for name, shape in parameter_shapes(config):
            check_tensor(checkpoint, prefix + name, shape)
            parameters[name] = widened(checkpoint, prefix + name)
        return cls(config, MappingProxyType(parameters))

    @classmethod
    def from_folder(cls, folder: str | Path) -> Encoder:
        """Take config.json and the safetensors of a model's folder; errors as in `from_checkpoint`."""
        config = read_config(folder, EncoderConfig, _ACCEPTED)
        return cls.from_checkpoint(Checkpoint(folder), config)

    @property
    def linears(self) -> tuple[str, ...]:
        """Names of the linear layers, in the order in which `forward` calls them; weights are at `name`.weight."""
        names = (name for name, shape in parameter_shapes(self.config) if len(shape) == 2)
        return tuple(name.removesuffix(".weight") for name in names if not name.startswith("embeddings."))

    def forward(self, ids: ArrayLike, mask: ArrayLike, linear: Linear = float32_linear) -> Float32:
        """Run the network over a padded batch.

        Parameters
        ----------
        ids : (sentences, longest) integers
            Token ids. What stands in padded places is not read.
        mask : (sentences, longest) bool, or integers 0 and 1
            True for a token. Every sentence has one at least.
        linear : Linear
            Computes every linear layer. It gets the tokens of all sentences as the rows of one matrix without the
            padding, so that padding costs nothing and cannot move a scale that is taken over a whole tensor.

        Returns
        -------
        (sentences, longest, h) float32
            The last layer's hidden states; 0 where padded.

        Raises
        ------
        ValueError, TypeError
            If ids or mask are not as above, or `linear` returns another shape or dtype than (tokens, n) float32.
        """
        tokens, kept = self._checked(ids, mask)
        x = self._embed_tokens(tokens, kept)
        for index in range(self.config.num_hidden_layers):
            x = self._layer(x, kept, f"encoder.layer.{index}", linear)
        hidden = np.zeros((*kept.shape, self.config.hidden_size), np.float32)
        hidden[kept] = x
        return hidden

    def embed(self, sentences: Sequence[str], tokenizer: SentenceTokenizer, linear: Linear = float32_linear) -> Float32:
        """Give each sentence's embedding: the mean of its tokens' hidden states, scaled to length 1.

        Parameters
        ----------
        sentences : sequence of str
        tokenizer : SentenceTokenizer
        linear : Linear
            As in `forward`.

        Returns
        -------
        (sentences, h) float32
        """
        ids, mask = tokenizer.encode(sentences)
        return mean_pool(self.forward(ids, mask, linear), mask)

    def _checked(self, ids: ArrayLike, mask: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Give the ids of the tokens alone, packed, and the mask as bool."""
        padded, kept = np.asarray(ids), np.asarray(mask)
        if padded.dtype.kind not in "iu":
            raise TypeError(f"ids are {padded.dtype}; integers are accepted")
        if kept.dtype.kind not in "biu" or not np.isin(kept, (0, 1)).all():
            raise ValueError(f"mask ({kept.dtype}) has other values than 0 and 1")
        if padded.ndim != 2 or padded.shape != kept.shape:
            raise ValueError(f"ids {padded.shape} and mask {kept.shape}: accepted is (sentences, longest) for both")
        kept = kept.astype(np.bool_)
        if not kept.any(axis=1).all():
            raise ValueError(f"sentence {int(np.argmin(kept.any(axis=1)))} has no token; each needs one at least")
        if kept.shape[1] > self.config.max_position_embeddings:
            limit = self.config.max_position_embeddings
            raise ValueError(f"a batch of {kept.shape[1]} places; the network has {limit} positions")
        tokens = padded[kept]
        wrong = tokens[(tokens < 0) | (tokens >= self.config.vocab_size)]
        if wrong.size:
            raise ValueError(f"token id {int(wrong[0])}; accepted is 0 to {self.config.vocab_size - 1}")
        return tokens.astype(np.int64), kept

    def _norm(self, x: Float32, name: str) -> Float32:
        weight, bias = self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"]
        return layer_norm(x, weight, bias, self.config.layer_norm_eps)

    def _embed_tokens(self, tokens: NDArray[np.int64], kept: NDArray[np.bool_]) -> Float32:
        places = np.nonzero(kept)[1]
        x = self.parameters["embeddings.word_embeddings.weight"][tokens]
        x += self.parameters["embeddings.token_type_embeddings.weight"][0]
        x += self.parameters["embeddings.position_embeddings.weight"][places]
        return self._norm(x, "embeddings.LayerNorm")

    def _layer(self, x: Float32, kept: NDArray[np.bool_], layer: str, linear: Linear) -> Float32:
        def apply(name: str, x: Float32) -> Float32:
            weight, bias = self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"]
            return checked_linear(linear, x, weight, bias, name)

        query, key, value = (apply(f"{layer}.attention.self.{part}", x) for part in ("query", "key", "value"))
        mixed = attention(query, key, value, kept, self.config.num_attention_heads)
        x = self._norm(x + apply(f"{layer}.attention.output.dense", mixed), f"{layer}.attention.output.LayerNorm")
        inner = gelu(apply(f"{layer}.intermediate.dense", x))
        return self._norm(x + apply(f"{layer}.output.dense", inner), f"{layer}.output.LayerNorm")
