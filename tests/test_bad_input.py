"""Input that makes no sense gives one error that names it, not whatever NumPy, torch or Python says deep inside."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.collectives import ALGORITHMS, Nccl, reduce
from chipmeter.factory import read_plan
from chipmeter.matmul import mx_layout, mx_scale_layout, sparse_matmul, sparsify
from chipmeter.quantize import quantize_measured, save
from chipmeter.report import page


class Refuses:
    """Something that says it is an array and is none."""

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("no")


X = np.ones((4, 32), np.float32)
MASKED = np.ma.masked_array(X, mask=X > 0)
NO_ARRAYS: list[Any] = [[1, [2]], {}, [10**400], ["x"], Refuses(), MASKED]


@pytest.mark.parametrize("x", NO_ARRAYS, ids=lambda x: type(x).__name__)
@pytest.mark.parametrize(
    "call",
    [
        lambda x: cm.cast(x, "bf16"),
        lambda x: cm.decode(x, "e4m3fn"),
        lambda x: cm.quantize(x, "nvfp4"),
        lambda x: cm.all_reduce(x),
        lambda x: cm.sqnr(X, x),
        lambda x: cm.quantize(X, "mxfp8").sqnr(x),
    ],
)
def test_what_is_no_array_is_named(call: Callable[[Any], Any], x: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^(x|codes|shards|approximation|original|ranks)\b"):
        call(x)


def test_a_mask_that_masks_nothing_is_no_obstacle() -> None:
    assert cm.sqnr(X, np.ma.masked_array(X)) == float("inf")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cm.cast(X, "bf16", rounding=np.array([1, 2])), "unknown rounding"),
        (lambda: cm.cast(X, "bf16", overflow={}), "unknown overflow"),
        (lambda: cm.cast(X, "bf16", seed=None), "seed must be an integer"),
        (lambda: cm.cast(X, "bf16", random_bits=2**64), "random_bits must be an integer"),
        (lambda: cm.quantize(X, "nvfp4", axis="1"), "axis must lie in"),
        (lambda: cm.quantize(X, "nvfp4", axis=True), "axis must lie in"),
        (lambda: quantize_measured(np.float32(1), "mxfp6"), "at least one axis"),
        (lambda: cm.sqnr(X, X.astype(complex)), "real numbers"),
        (lambda: cm.all_reduce(X, []), "unknown algorithm"),
        (lambda: cm.all_reduce(X, op=[]), "unknown operation"),
        (lambda: cm.all_reduce(X, dtype=np.array([1, 2])), "dtype must be the name"),
        (lambda: cm.all_reduce(X, chunks=(3, 2)), "chunks must be pairs"),
        (lambda: cm.all_reduce(X, grid=1.5), "grid must be a tuple"),
        (lambda: cm.all_reduce(X, nccl="ll"), "nccl must be"),
        (lambda: Nccl(channels="2"), "channels must be a whole number"),
        (lambda: mx_layout(7), "x must have shape"),
        (lambda: mx_scale_layout(np.ones((4, 2), np.float32)), "one byte"),
        (lambda: save("x", X), "map names to arrays"),
        (lambda: cm.chip("p5.48xlarge"), "is a system, not a chip"),
        (lambda: cm.system("h100"), "is a chip, not a system"),
    ],
)
def test_a_wrong_value_is_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call()


@pytest.mark.parametrize("operation", [cm.all_reduce, cm.reduce_scatter, reduce])
@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_shards_without_elements_have_no_sums(name: str, operation: Callable[..., Any]) -> None:
    # refused are algorithms of another operation, or for another number of ranks
    with contextlib.suppress(ValueError):
        assert operation(np.zeros((4, 0), np.float32), name).size == 0


@pytest.mark.parametrize("operation", [cm.all_reduce, cm.broadcast, cm.all_to_all])
def test_shards_that_are_read_only_are_no_output(operation: Callable[..., Any]) -> None:
    x = np.ones((4, 8), np.float32)
    x.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        operation(x, out=x)


def test_a_gemm_order_asks_for_block_scales() -> None:
    a = cm.cast(np.ones((4, 64), np.float32), "e2m1")
    with pytest.raises(ValueError, match="pass scale_a and scale_b"):
        cm.matmul(a, a.T, unit="b200/nvfp4", gemm="psum-bf16-stochastic")
    fp8 = cm.cast(X, "e4m3fn")
    with pytest.raises(ValueError, match="takes no block scales"):
        cm.matmul(fp8, fp8.T, unit="h100/fp8", gemm="chain", scale_a=X, scale_b=X)


def test_a_sparse_product_with_no_columns_raises_no_division() -> None:
    a = sparsify(cm.cast(X, "e5m2"))
    with pytest.raises(ValueError, match="at least one element"):
        sparse_matmul(a, cm.cast(np.ones((32, 0), np.float32), "e5m2"), unit="blackwell/mma.e5m2.e5m2.f32.f32")


def test_a_plan_nested_too_deep_is_no_plan(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text("x = " + "[" * 5000)
    with pytest.raises(ValueError, match="not a TOML file"):
        read_plan(path)


def test_a_report_goes_through_a_link_and_replaces_no_pipe(tmp_path: Path) -> None:
    target, link, pipe = tmp_path / "page.html", tmp_path / "link.html", tmp_path / "pipe"
    link.symlink_to(target)
    page.write(page.Page("title", "verdict"), link)
    assert link.is_symlink()
    assert "verdict" in target.read_text()
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        page.write(page.Page("title", "verdict"), pipe)
        assert b"verdict" in os.read(reader, 1 << 16)
    finally:
        os.close(reader)
    assert pipe.is_fifo()
