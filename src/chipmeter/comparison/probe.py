"""What the error of a unit is measured on: a network that is run, or matrices that are sampled."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from chipmeter.checkpoint import Checkpoint
from chipmeter.comparison.error import NumericError, summarise
from chipmeter.comparison.linear import EmulatedLinear, Float32, exact_linear
from chipmeter.networks import Encoder, Tokenizer, float32_linear, synthetic
from chipmeter.networks.sentences import SENTENCES
from chipmeter.quantize import sqnr
from chipmeter.workloads import Architecture, Weight

SAMPLE_TOKENS = 16
SAMPLE_CHANNELS = 256
"""Rows of activations, and output channels of a weight, that are multiplied where the network itself cannot be run."""


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
    runnable = architecture.kind == "encoder" and (folder / "tokenizer.json").is_file()
    return EncoderProbe(folder, layers) if runnable else MatrixProbe(architecture, Checkpoint(folder), layers)


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


class MatrixProbe:
    """Single matrices, sampled: the checkpoint's weights (or synthetic ones) with synthetic activations."""

    def __init__(self, architecture: Architecture, checkpoint: Checkpoint | None, layers: int | None = None) -> None:
        self._checkpoint = checkpoint
        self._names = {} if checkpoint is None else _find(architecture, checkpoint)
        self._pairs = list(_sampled(architecture, layers))
        source = "synthetic weights" if checkpoint is None else "real weights"
        self.data = (
            f"{source}, synthetic heavy-tailed activations; {len(self._pairs)} matrices, "
            f"{SAMPLE_TOKENS} tokens x up to {SAMPLE_CHANNELS} output channels each"
        )
        weights = "" if checkpoint is None else identity_of(checkpoint)
        self.identity = f"{self.data}; {[tensor for _, tensor in self._pairs]}; {weights}"
        self.work = sum(SAMPLE_TOKENS * min(w.n, SAMPLE_CHANNELS) * w.k for w, _ in self._pairs)
        self._cache: dict[str, tuple[Float32, Float32]] = {}

    def measure(self, linear: EmulatedLinear) -> NumericError:
        """Multiply every sampled matrix under `linear`."""
        layers = {}
        for weight, tensor in self._pairs:
            x, w = self._load(weight, tensor)
            layers[tensor] = sqnr(exact_linear(x, w), linear(x, w, None, tensor))
        return summarise(layers)

    def _load(self, weight: Weight, tensor: str) -> tuple[Float32, Float32]:
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
            self._cache[tensor] = synthetic.activations(tensor, SAMPLE_TOKENS, weight.k), w
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
