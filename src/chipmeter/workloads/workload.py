"""One step of a model as a list of operations: prefill, decode, encode or train."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Literal, SupportsIndex, get_args

import msgspec

from chipmeter._names import unknown_name
from chipmeter.workloads.architecture import Architecture
from chipmeter.workloads.layers import attention_ops, cross_ops, feed_forward_ops, input_ops, source_ops
from chipmeter.workloads.ops import Attention, Embedding, Gemm, Op, Pointwise
from chipmeter.workloads.training import RECOMPUTES, Recompute, training_ops

Phase = Literal["prefill", "decode", "encode", "train", "generate", "run"]
Unit = Literal["token", "sequence", "image", "frame", "run"]

PHASES: tuple[str, ...] = get_args(Phase)[:4]
ACCEPTED: dict[str, tuple[str, ...]] = {
    "decoder": ("prefill", "decode", "train"),
    "encoder": ("encode", "train"),
    "encoder-decoder": ("encode", "decode", "train"),
}
"""Phases by kind of model."""

LARGEST_BATCH = 2**20
LARGEST_SEQUENCE = 2**26


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a model.

    Attributes
    ----------
    model : Architecture
    phase : {"prefill", "decode", "encode", "train", "generate", "run"}
        Pictures are generated; a list of operations is run.
    batch, seq, context : int
        Sequences, new tokens of each, and tokens of each that were in the cache before the step.
    unit : {"token", "sequence"}
        What `units` counts: prompt tokens in prefill, generated tokens in decode, trained tokens in training,
        sequences for an encoder.
    units : int
        Units of work that one step completes.
    ops : tuple of Op
        In order of execution.
    accumulate : int
        Microbatches of a training step.
    recompute : {"none", "selective", "full"}
    lora : int
        Rank of the adapters that alone are trained; 0 where everything is.
    source : int
        Tokens of each source that an encoder-decoder answers; 0 for other models.
    """

    model: Architecture
    phase: Phase
    batch: int
    seq: int
    context: int
    unit: Unit
    units: int
    ops: tuple[Op, ...]
    accumulate: int = 1
    recompute: Recompute = "none"
    lora: int = 0
    source: int = 0

    @property
    def tokens(self) -> int:
        """New tokens of the step."""
        return self.batch * self.seq

    @property
    def flops(self) -> float:
        """Floating-point operations of the step, on matrix and vector units."""
        return sum(op.flops for op in self.ops)

    @property
    def matrix_flops(self) -> float:
        """Floating-point operations of GEMMs and attention."""
        return sum(op.flops for op in self.ops if isinstance(op, Gemm | Attention))

    @property
    def model_flops(self) -> float:
        """Matrix operations that the model needs, without what is computed again: what MFU counts."""
        if self.phase != "train" or self.recompute == "none":
            return self.matrix_flops
        whole, again = (1.0 if self.recompute == "full" else 0.0), 1.0
        return sum(
            op.flops * (1.0 - (again if isinstance(op, Attention) else whole) / op.passes)
            for op in self.ops
            if isinstance(op, Gemm | Attention)
        )

    @property
    def kv_elements(self) -> int:
        """Elements of the key-value cache at the end of the step."""
        if self.phase in ("train", "encode"):
            return 0
        sources = self.source * self.model.layers * self.model.kv_width
        return self.batch * (self.model.kv_elements(self.context + self.seq) + sources)


def workload(
    model: Architecture, phase: str | None = None, *, batch: int = 1, seq: int | None = None, context: int | None = None,
    source: int | None = None, accumulate: int = 1, recompute: str = "none", lora: int = 0,
) -> Workload:  # fmt: skip
    """List the operations of one step of a model.

    Parameters
    ----------
    model : Architecture
    phase : {"prefill", "decode", "encode", "train"}, optional
        What the step does; by default "encode" for an encoder, else "decode". An encoder-decoder encodes sources of
        `seq` tokens, and decodes and trains on answers to sources of `source` tokens.
    batch : int
        Sequences in the step.
    seq : int, optional
        New tokens of each sequence: 1 in decode, else by default 2048 for a decoder and 256 for an encoder, or what
        the position table holds.
    context : int, optional
        Tokens of each sequence that are in the cache already: by default 2048 or what the position table leaves in
        decode, else 0.

    source : int, optional
        Tokens of each source that an encoder-decoder answers: by default what its encoder's table holds, at most 512 of
        text.
    accumulate : int
        Microbatches that a training step's batch is cut into; must divide it.
    recompute : {"none", "selective", "full"}
        What the backward pass of training computes again.
    lora : int
        Rank of the adapters that alone are trained, on every linear layer outside routed experts; 0 trains everything.

    Raises
    ------
    ValueError
        If the phase does not suit the model or a size is out of range.

    Notes
    -----
    Logits are computed for the last token of each sequence in prefill and decode, for every token in training. A
    training step is forward, backward (twice the forward's GEMMs, 2.5 times its attention), what is recomputed, and one
    AdamW step.

    Examples
    --------
    >>> from chipmeter.workloads import preset
    >>> step = workload(preset("llama-3.1-8b"), "decode", batch=8, context=1024)
    >>> step.units, step.unit, len(step.ops)
    (8, 'token', 12)
    """
    if phase is None:
        phase = "encode" if model.kind == "encoder" else "decode"
    if phase not in PHASES:
        raise ValueError(f"phase must be one of {', '.join(PHASES)}, got {phase!r}")
    accepted = ACCEPTED.get(model.kind, ())
    if phase not in accepted:
        raise ValueError(
            f"phase {phase!r} does not apply to {model.name}, which is of kind {model.kind}; "
            f"accepted: {', '.join(accepted)}"
        )
    encoder, reads = model.encoder, model
    if encoder is not None and phase == "encode":
        reads = encoder
    if seq is None:
        usual = 2048 if model.kind == "decoder" else model.positions if model.patch else 256
        if reads is encoder:
            usual = 1500 if encoder.channels else 512
        seq = 1 if phase == "decode" else min(usual, reads.positions or usual)
    if context is None:
        usual = 2048 if model.kind == "decoder" else 128
        context = min(usual, (model.positions or usual + 1) - 1) if phase == "decode" else 0
    source = _source(model, phase, source)
    batch = _in_range("batch", batch, 1, LARGEST_BATCH)
    seq = _in_range("seq", seq, 1, 1 if phase == "decode" else LARGEST_SEQUENCE)
    context = _in_range("context", context, 0, LARGEST_SEQUENCE if phase in ("prefill", "decode") else 0)
    if reads.positions and context + seq > reads.positions:
        raise ValueError(f"{reads.name} has {reads.positions} positions; context + seq = {context + seq}")
    if model.patch and seq != model.positions:
        raise ValueError(f"{model.name} turns every image into {model.positions} tokens, got seq = {seq}")

    accumulate = _in_range("accumulate", accumulate, 1, batch if phase == "train" else 1)
    lora = _in_range("lora", lora, 0, 2**14 if phase == "train" else 0)
    if recompute not in RECOMPUTES:
        raise unknown_name("recomputation", recompute, RECOMPUTES)
    if batch % accumulate:
        raise ValueError(f"accumulate must divide the batch of {batch}, got {accumulate}")

    ops = tuple(_step(model, phase, batch // accumulate, seq, context, source))
    if phase == "train":
        ops = training_ops(model, ops, recompute=recompute, lora=lora, accumulate=accumulate)
    unit: Unit = "image" if model.patch else "sequence" if phase == "encode" or model.kind == "encoder" else "token"
    return Workload(
        model=model,
        phase=phase,  # type: ignore[arg-type]  # checked against PHASES above
        batch=batch,
        seq=seq,
        context=context,
        source=source,
        unit=unit,
        units=batch * seq if unit == "token" else batch,
        ops=ops,
        accumulate=accumulate,
        recompute=recompute,  # type: ignore[arg-type]  # checked above
        lora=lora,
    )


def _in_range(name: str, value: SupportsIndex, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    number = operator.index(value)
    if not least <= number <= most:
        raise ValueError(f"{name} must lie from {least} to {most}, got {number}")
    return number


def _source(model: Architecture, phase: str, source: SupportsIndex | None) -> int:
    """Check the tokens of a source, or take the usual number."""
    if model.encoder is None or phase == "encode":
        return _in_range("source", source or 0, 0, 0)
    table = model.encoder.positions
    if source is None:
        source = table if model.encoder.channels else min(512, table or 512)
    return _in_range("source", source, 1, table or LARGEST_SEQUENCE)


def _step(model: Architecture, phase: str, batch: int, seq: int, context: int, source: int) -> Iterator[Op]:
    """List the forward operations of a step: those of both halves of an encoder-decoder where the phase needs them."""
    encoder = model.encoder
    if encoder is None or phase == "decode":
        yield from _forward(model, phase, batch, seq, context, source)
        return
    tokens = seq if phase == "encode" else source
    for op in _forward(encoder, "encode", batch, tokens, 0, 0):
        yield msgspec.structs.replace(op, name=f"encoder {op.name}")
    yield from source_ops(model, batch * tokens)
    if phase == "train":
        yield from _forward(model, phase, batch, seq, context, source)


def _forward(model: Architecture, phase: str, batch: int, seq: int, context: int, source: int) -> Iterator[Op]:
    tokens = batch * seq
    tables = 1 + bool(model.positions) + bool(model.token_types)
    if model.vocab:
        yield Embedding(tokens=tokens, width=model.hidden, tables=tables)
    yield from input_ops(model, tokens)
    # The residual is added in the pass that normalises it: two streams in, two out.
    norms = model.layers * model.norms_per_layer + model.norms_outside
    yield Pointwise(tokens=tokens, width=model.hidden, name="norm and residual", reads=2, writes=2, count=norms)
    yield from attention_ops(model, batch, seq, context + seq, absorb=phase == "decode")
    if source:
        yield from cross_ops(model, batch, seq, source)
    yield from feed_forward_ops(model, tokens)
    rows = tokens if phase == "train" else batch
    if model.kind != "encoder":
        head = model.weight("head") or model.weight("embed")
        weights = () if head is None else (head,)
        yield Gemm(rows, model.vocab, model.hidden, name="logits", weights=weights, split="column")
    pooler = model.weight("pooler")
    if pooler is not None:
        yield Gemm(batch, pooler.n, pooler.k, name="pooler", weights=(pooler,))
