"""From a forward pass to a training step: backward, recomputation, low-rank adapters, accumulation, optimizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, get_args

import msgspec

from chipmeter.workloads.architecture import Architecture
from chipmeter.workloads.ops import AllReduce, Attention, Gemm, Op, Optimizer

Recompute = Literal["none", "selective", "full"]
"""What the backward pass computes again: nothing, the attention core, or the whole forward pass of each layer."""

RECOMPUTES: tuple[str, ...] = get_args(Recompute)


def adapted(model: Architecture) -> tuple[str, ...]:
    """Name the matrices that adapters go with: every linear layer outside the routed experts and their router."""
    return tuple(w.role for w in model.weights if w.layers and not w.experts and w.role != "router")


def adapter_parameters(model: Architecture, rank: int) -> int:
    """Count the parameters of low-rank adapters: rank x (inputs + outputs) for each matrix.

    >>> from chipmeter.workloads import preset
    >>> adapter_parameters(preset("llama-2-7b"), 16)
    39976960
    """
    roles = set(adapted(model))
    return sum(w.matrices * rank * (w.n + w.k) for w in model.weights if w.role in roles)


def training_ops(
    model: Architecture, forward: Iterable[Op], *, recompute: str, lora: int, accumulate: int
) -> tuple[Op, ...]:
    """List the operations of a step from those of one microbatch's forward pass.

    A product is run forward, for the gradient of its input and for that of its weight; attention backward takes 2.5
    times its forward pass. Frozen weights need no gradient of their own.

    Parameters
    ----------
    model : Architecture
    forward : iterable of Op
    recompute : {"none", "selective", "full"}
    lora : int
        Rank of adapters that alone are trained; 0 trains everything.
    accumulate : int
        Microbatches whose gradients are added before the optimizer's step.
    """
    again = 1 if recompute == "full" else 0
    core = 0 if recompute == "none" else 1
    ops = []
    for op in _with_adapters(model, forward, lora):
        if isinstance(op, Attention):
            passes = 3.5 + core
        elif isinstance(op, AllReduce):
            passes = 2.0 + again
        elif isinstance(op, Gemm):
            passes = (2.0 if lora and op.weights else 3.0) + again
        else:
            passes = 3.0 + again
        ops.append(msgspec.structs.replace(op, passes=passes, count=op.count * accumulate))
    trained = adapter_parameters(model, lora) if lora else model.parameters
    return (*ops, Optimizer(parameters=trained))


def _with_adapters(model: Architecture, forward: Iterable[Op], rank: int) -> Iterator[Op]:
    roles = set(adapted(model)) if rank else set()
    for op in forward:
        yield op
        if isinstance(op, Gemm) and op.weights and {w.role for w in op.weights} <= roles:
            several = len(op.weights)
            yield Gemm(op.m, several * rank, op.k, name=f"{op.name} adapter in", count=op.count)
            yield Gemm(op.m, op.n, rank, name=f"{op.name} adapter out", count=op.count, split=op.split)
