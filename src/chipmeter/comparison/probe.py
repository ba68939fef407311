"""What the error of a unit is measured on: a network that is run, or matrices that are sampled."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from chipmeter.checkpoint import Checkpoint
from chipmeter.comparison.error import NumericError, next_token_error, summarise
from chipmeter.comparison.linear import EmulatedLinear, Float32, exact_linear
from chipmeter.networks import Decoder, Encoder, Tokenizer, float32_linear, synthetic
from chipmeter.networks.sentences import SENTENCES
from chipmeter.quantize import sqnr
from chipmeter.workloads import Architecture, Weight

SAMPLE_TOKENS = 16
SAMPLE_CHANNELS = 256
"""Rows of activations, and output channels of a weight, that are multiplied where the network itself cannot be run."""

DECODERS = ("llama", "mistral", "qwen2", "qwen3")
LARGEST_DECODER = 2 * 10**9
"""Parameters up to which a decoder is run."""
SEQUENCE = 32
"""Tokens that a decoder is run on."""
_ROWS = 4096
"""Output channels that are multiplied exactly at a time: a weight in float64 takes twice its own memory."""


class Probe(Protocol):
    """What the error of a unit is measured on."""

    data: str
    """What it is, for people."""
    identity: str
    """What it is, to the last value: two probes of one identity measure the same."""
    work: int

    def measure(self, linear: EmulatedLinear) -> NumericError:
        """Run the layers under `linear` and compare."""


def probe_of(architecture: Architecture, folder: Path | None, layers: int | None) -> Probe:
    """Choose what can be measured: the whole network, the checkpoint's matrices, or synthetic ones."""
    if folder is None:
        return MatrixProbe(architecture, None, layers)
    if architecture.kind == "encoder" and (folder / "tokenizer.json").is_file():
        return EncoderProbe(folder, layers)
    checkpoint = Checkpoint(folder)
    if architecture.model_type not in DECODERS or architecture.parameters > LARGEST_DECODER:
        return MatrixProbe(architecture, checkpoint, layers)
    try:
        decoder = Decoder.from_folder(folder)
    except ValueError as error:  # its matrices can still be measured, and the reason is said
        return MatrixProbe(architecture, checkpoint, layers, note=f"; the network was not run: {error}")
    return DecoderProbe(decoder, folder, layers)


def identity_of(checkpoint: Checkpoint) -> str:
    """Name a checkpoint by its tensors and the size and time of its files; contents are not read."""
    files = {info.path: os.stat(info.path) for info in checkpoint.tensors.values()}
    tensors = hashlib.sha256(repr([(n, i.dtype, i.shape) for n, i in checkpoint.tensors.items()]).encode()).hexdigest()
    return f"{tensors[:16]} {[(s.st_size, s.st_mtime_ns) for s in files.values()]}"


class EncoderProbe:
    """The real network on real sentences: every linear layer on the activations of the float32 run, and end to end."""

    def __init__(self, folder: Path, layers: int | None = None) -> None:
        encoder = Encoder.from_folder(folder)
        self._encoder = encoder
        self._ids, self._mask = Tokenizer(folder / "tokenizer.json").encode(SENTENCES)
        self._inputs: dict[str, tuple[Float32, Float32]] = {}
        wanted = {f"encoder.layer.{i}." for i in range(encoder.config.num_hidden_layers)[: layers or None]}

        def record(x: Float32, weight: Float32, bias: Float32 | None, name: str) -> Float32:
            if any(name.startswith(prefix) for prefix in wanted):
                self._inputs[name] = (x, weight)
            return float32_linear(x, weight, bias, name)

        self._reference = self._pool(encoder.forward(self._ids, self._mask, record))
        self._exact = {name: exact_linear(x, weight) for name, (x, weight) in self._inputs.items()}
        self._whole = layers is None or layers >= encoder.config.num_hidden_layers
        tokens = int(self._mask.sum())
        self.data = f"real weights, {len(SENTENCES)} sentences of {tokens} tokens"
        self.identity = f"{self.data}; layers {layers}; {identity_of(Checkpoint(folder))}"
        self.work = (1 + self._whole) * sum(x.size * len(w) for x, w in self._inputs.values())

    def _pool(self, hidden: Float32) -> Float32:
        from chipmeter.networks.layers import mean_pool

        return mean_pool(hidden, self._mask)

    def measure(self, linear: EmulatedLinear) -> NumericError:
        """Run every layer under `linear` on the float32 run's activations, then the whole network."""
        layers = {
            name: sqnr(self._exact[name], linear(x, weight, None, name)) for name, (x, weight) in self._inputs.items()
        }
        if not self._whole:
            return summarise(layers)
        embeddings = self._pool(self._encoder.forward(self._ids, self._mask, linear))
        cosines = np.einsum("ij,ij->i", embeddings.astype(np.float64), self._reference.astype(np.float64))
        return summarise(layers, cosines)


class DecoderProbe:
    """The real decoder on one token sequence: its layers' linears on the activations of the float32 run, and end to end.

    The output head is not among the layers; its rounding shows in the next-token distributions.
    """

    def __init__(self, decoder: Decoder, folder: Path, layers: int | None = None) -> None:
        self._decoder = decoder
        count = decoder.config.num_hidden_layers
        self._whole = layers is None or layers >= count
        self._ids, tokens = _sequence(decoder, folder)
        self._inputs: dict[str, Float32] = {}
        self._exact: dict[str, NDArray[np.float64]] = {}
        wanted = tuple(f"model.layers.{i}." for i in range(count if layers is None else min(layers, count)))

        def record(x: Float32, weight: Float32, bias: Float32 | None, name: str) -> Float32:
            if name.startswith(wanted):
                self._inputs[name] = x
                parts = [exact_linear(x, weight[at : at + _ROWS]) for at in range(0, len(weight), _ROWS)]
                self._exact[name] = np.concatenate(parts, axis=1)
            return float32_linear(x, weight, bias, name)

        self._hidden = decoder.forward(self._ids, record)
        self._logits = decoder.logits(self._hidden)[0]
        self.data = f"real weights, {tokens}" + ("" if self._whole else f"; the first {layers} layers")
        self.identity = f"decoder; {self.data}; {self._ids.tolist()}; {identity_of(Checkpoint(folder))}"
        self.work = (1 + self._whole) * sum(x.size * self._exact[n].shape[1] for n, x in self._inputs.items())

    def measure(self, linear: EmulatedLinear) -> NumericError:
        """Run every layer under `linear` on the float32 run's activations, then the whole network."""
        weights = self._decoder.parameters
        with np.errstate(all="ignore"):  # what overflows in a format is its result, and no mishap here
            error = summarise(
                {
                    name: sqnr(self._exact[name], linear(x, weights[f"{name}.weight"], None, name))
                    for name, x in self._inputs.items()
                }
            )
            if not self._whole:
                return error
            hidden = self._decoder.forward(self._ids, linear)
            divergence, agreement = next_token_error(self._logits, self._decoder.logits(hidden, linear)[0])
            cosines = _cosines(hidden[0].astype(np.float64), self._hidden[0].astype(np.float64))
        return replace(
            error,
            cosine=float(cosines.mean()),
            worst_cosine=float(cosines.min()),
            divergence=divergence,
            agreement=agreement,
        )


def _cosines(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)))


def _sequence(decoder: Decoder, folder: Path) -> tuple[NDArray[np.int64], str]:
    """Give the tokens a decoder is run on, (1, length), and what they are."""
    length = min(SEQUENCE, decoder.config.longest or SEQUENCE)
    if (folder / "tokenizer.json").is_file() and importlib.util.find_spec("tokenizers") is not None:
        ids, _ = Tokenizer(folder / "tokenizer.json", max_tokens=length).encode([" ".join(SENTENCES)])
        return ids, f"{ids.shape[1]} tokens of text"
    drawn = np.random.default_rng(0).integers(0, decoder.config.vocab_size, (1, length))
    return drawn, f"{length} synthetic token ids, seeded (text needs a tokenizer.json and the tokenizers package)"


class MatrixProbe:
    """Single matrices, sampled: the checkpoint's weights (or synthetic ones) with synthetic activations."""

    def __init__(
        self, architecture: Architecture, checkpoint: Checkpoint | None, layers: int | None = None, *, note: str = ""
    ) -> None:
        self._checkpoint = checkpoint
        self._names = {} if checkpoint is None else _find(architecture, checkpoint)
        self._pairs = list(_sampled(architecture, layers))
        source = "synthetic weights" if checkpoint is None else "real weights"
        self.data = (
            f"{source}, synthetic heavy-tailed activations; {len(self._pairs)} matrices, "
            f"{SAMPLE_TOKENS} tokens x up to {SAMPLE_CHANNELS} output channels each{note}"
        )
        weights = "" if checkpoint is None else identity_of(checkpoint)
        self.identity = f"{self.data}; {[tensor for _, tensor in self._pairs]}; {weights}"
        self.work = sum(SAMPLE_TOKENS * min(w.n, SAMPLE_CHANNELS) * w.k for w, _ in self._pairs)
        self._cache: dict[str, tuple[Float32, Float32, NDArray[np.float64]]] = {}

    def measure(self, linear: EmulatedLinear) -> NumericError:
        """Multiply every sampled matrix under `linear`."""
        layers = {}
        for weight, tensor in self._pairs:
            x, w, exact = self._load(weight, tensor)
            layers[tensor] = sqnr(exact, linear(x, w, None, tensor))
        return summarise(layers)

    def _load(self, weight: Weight, tensor: str) -> tuple[Float32, Float32, NDArray[np.float64]]:
        """Give activations, weight and their exact product, which every unit is compared with."""
        if tensor not in self._cache:
            channels = min(weight.n, SAMPLE_CHANNELS)
            if self._checkpoint is None:
                w = synthetic.weights(tensor, channels, weight.k)
            else:
                stored = self._checkpoint[self._names[tensor]]
                stored = stored.T if weight.transposed else stored
                if stored.shape != (weight.n, weight.k):
                    raise ValueError(
                        f"tensor {self._names[tensor]!r} has shape {stored.shape}, the config says {(weight.n, weight.k)}"
                    )
                w = np.ascontiguousarray(stored[:: max(1, weight.n // channels)][:channels]).astype(np.float32)
            x = synthetic.activations(tensor, SAMPLE_TOKENS, weight.k)
            self._cache[tensor] = x, w, exact_linear(x, w)
        return self._cache[tensor]


def _layer_weights(architecture: Architecture) -> Iterator[Weight]:
    """Weights that a matrix unit multiplies in every layer: not tables, not the output projection."""
    return (w for w in architecture.weights if w.layers)


def _sampled(architecture: Architecture, layers: int | None) -> Iterator[tuple[Weight, str]]:
    """Each kind of matrix in `layers` layers spread evenly over the model (default 3); of experts the first."""
    for weight in _layer_weights(architecture):
        count = min(layers or 3, len(weight.layers))
        for at in np.linspace(0, len(weight.layers) - 1, count).round().astype(int):
            yield weight, weight.pattern.replace("{i}", str(weight.layers[at])).replace("{e}", "0")


def _find(architecture: Architecture, checkpoint: Checkpoint) -> dict[str, str]:
    """Map the names of the sampled tensors to those in the checkpoint, whatever prefix it was saved with."""
    found: dict[str, str] = {}
    for weight in _layer_weights(architecture):
        stored = {t.split(".layers.", 1)[-1] if ".layers." in t else t: t for t in checkpoint if weight.matches(t)}
        suffixes = {_tail(t): t for t in stored.values()}
        for tensor in weight.tensors():
            if _tail(tensor) in suffixes:
                found[tensor] = suffixes[_tail(tensor)]
        missing = [t for t in weight.tensors() if t not in found]
        if missing:
            raise ValueError(
                f"{checkpoint.path}: no tensor {missing[0]!r}, which config.json calls for ({len(missing)} of this kind missing)"
            )
    return found


def _tail(tensor: str) -> str:
    """Return the part of a tensor's name from the layer number on."""
    parts = tensor.split(".")
    first = next((i for i, part in enumerate(parts) if part.isdigit()), 0)
    return ".".join(parts[first:])
