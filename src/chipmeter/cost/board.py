"""Watts of a board during the operations of a step, by the power model fitted on measured kernels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chipmeter.chips import Chip
from chipmeter.cost.constants import Constants, book, constants, relatives
from chipmeter.cost.device import device
from chipmeter.cost.gemm import WIDTH
from chipmeter.cost.kernels import DECODE_QUERIES
from chipmeter.cost.power import ATTENTION_TERMS, GEMM_TERMS, attention_terms, board_watts, gemm_terms
from chipmeter.workloads import Attention, Formats, Gemm, Op, bytes_per_element

_GEMMS: dict[str, tuple[str, ...]] = {
    "nvfp4": ("gemm_nvfp4",),
    "mxfp4": ("gemm_nvfp4",),
    "fp8": ("gemm_fp8", "gemm_fp8_block"),
    "mxfp8": ("gemm_fp8", "gemm_fp8_block"),
    "int8": ("gemm_fp8", "gemm_fp8_block"),
}


def gemm_power(chip: Chip, formats: Formats) -> tuple[Constants, bool] | None:
    """Find the power constants of matrix products, and whether they are another chip's; None where no relative has any."""
    if not book(chip.id) and chip.id not in relatives():
        return None
    try:
        return constants(chip.id, "power", *_GEMMS.get(formats.gemm, ("gemm_bf16",)))
    except ValueError:
        return None


def fitted_watts(ops: Mapping[str, Op], seconds: Mapping[str, float], chip: Chip, formats: Formats) -> dict[str, float]:
    """Watts of one board during matrix products and attention, each repeated.

    Parameters
    ----------
    ops : mapping of str to Op
        By name; others than products and attention are left out.
    seconds : mapping of str to float
        Of all executions of each.
    chip : Chip
        Its power limit must be known.
    formats : Formats

    Examples
    --------
    >>> from chipmeter.chips import chip
    >>> op = {"a": Gemm(8192, 8192, 8192)}
    >>> 500 < fitted_watts(op, {"a": 1.5e-3}, chip("h200"), Formats.of("bf16"))["a"] < 700
    True
    """
    found = gemm_power(chip, formats)
    if found is None:
        return {}
    on = device(chip)
    products = {name: op for name, op in ops.items() if isinstance(op, Gemm) and name in seconds}
    watts: dict[str, float] = {}
    if products:
        m, n, k, each = (
            np.array(column, dtype=np.float64)
            for column in zip(
                *(
                    (op.m, op.n, op.k, seconds[name] / (op.count * max(op.passes, 1.0)))
                    for name, op in products.items()
                ),
                strict=True,
            )
        )
        terms = gemm_terms(on, formats.gemm, WIDTH.get(formats.gemm, 2.0), m, n, k, each)
        drawn = board_watts(found[0].values, on, terms, GEMM_TERMS)
        watts |= dict(zip(products, drawn.tolist(), strict=True))
    width = bytes_per_element(formats.kv)
    for name, attending in ops.items():
        if isinstance(attending, Attention) and name in seconds:
            watts[name] = _attention(attending, seconds[name], chip, width)
    return watts


def _attention(op: Attention, seconds: float, chip: Chip, width: float) -> float:
    on, narrow = device(chip), "fp8" if width <= 1 else "bf16"
    kind = "generation" if op.queries <= DECODE_QUERIES else "context"
    found, _ = constants(chip.id, "power", f"{kind}_attention_{narrow}", f"{kind}_attention_bf16")
    times = op.count * op.passes
    stored = op.head_dim if op.shared_kv else op.head_dim + op.value_dim
    moved = op.batch * (
        op.kv_tokens * op.kv_heads * stored * width + op.queries * op.heads * (op.head_dim + op.value_dim) * 2.0
    )
    flops, moved_, each, batch, heads, kv_heads = (
        np.array([float(value)])
        for value in (op.flops / times, moved, seconds / times, op.batch, op.heads, op.kv_heads)
    )
    terms = attention_terms(on, "bf16", flops, moved_, each, batch, heads, kv_heads)
    return float(board_watts(found.values, on, terms, ATTENTION_TERMS)[0])
