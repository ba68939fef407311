"""Tensor parallelism gives each chip its share, all shares cover the whole, and the all-reduce takes what its schedule is priced at."""

import msgspec
import pytest

from chipmeter.chips import Chip, Link
from chipmeter.collectives import duration, rated
from chipmeter.cost import Efficiency
from chipmeter.cost.parallel import all_reduce_seconds, shard
from chipmeter.workloads import (
    AllReduce,
    Attention,
    Embedding,
    Formats,
    Gemm,
    Op,
    Optimizer,
    Pointwise,
    preset,
    presets,
    workload,
)

BF16 = Formats.of("bf16")


@pytest.mark.parametrize(
    ("whole", "share"),
    [
        (Gemm(16, 64, 32, split="column"), Gemm(16, 16, 32, split="column")),
        (Gemm(16, 64, 32, split="row"), Gemm(16, 64, 8, split="row")),
        (Gemm(16, 64, 32, groups=8, split="groups"), Gemm(4, 64, 32, groups=2, split="groups")),
        (Gemm(16, 64, 32), Gemm(16, 64, 32)),
        (Gemm(16, 65, 32, split="column"), Gemm(16, 17, 32, split="column")),
        (
            Pointwise(tokens=3, width=8, name="x", split="column"),
            Pointwise(tokens=3, width=2, name="x", split="column"),
        ),
        (Pointwise(tokens=3, width=8, name="x"), Pointwise(tokens=3, width=8, name="x")),
        (Embedding(tokens=3, width=8), Embedding(tokens=3, width=8)),
        (Optimizer(parameters=9), Optimizer(parameters=3)),
        (AllReduce(tokens=3, width=8), AllReduce(tokens=3, width=8)),
    ],
)
def test_share_of_one_of_four_chips(whole: Op, share: Op) -> None:
    assert shard(whole, 4) == share
    assert shard(whole, 1) is whole


def test_key_value_heads_are_replicated_beyond_their_number() -> None:
    whole = Attention(batch=1, queries=1, keys=9, heads=16, kv_heads=2, head_dim=4, value_dim=4)
    share = shard(whole, 8)
    assert isinstance(share, Attention)
    assert (share.heads, share.kv_heads) == (2, 1)


@pytest.mark.parametrize("name", presets())
def test_shares_cover_the_work(name: str) -> None:
    model = preset(name)
    step = workload(model, batch=4)
    shares = [shard(op, 2) for op in step.ops if model.heads % 2 == 0]
    for op, share in zip(step.ops, shares, strict=False):
        assert 2 * share.flops >= op.flops
        assert share.flops <= op.flops


def test_all_reduce_at_the_links_full_rate(round_chip: Chip, link: Link) -> None:
    """Two shots over a switch: each chip's port carries 2 (n - 1) / n of the vector."""
    op = AllReduce(tokens=1000, width=5000, count=3)
    found, grade = all_reduce_seconds(op, 4, round_chip, link, BF16, Efficiency.ideal())
    assert found == pytest.approx(3 * 2 * 3 / 4 * 10e6 / 100e9, rel=1e-12)
    assert grade == "documented"


def test_all_reduce_is_priced_by_its_schedule(round_chip: Chip, link: Link, plain: Efficiency) -> None:
    on = rated("round", 100e9, 100e9, 8, 4, engine=True)
    for tokens in (1, 1000):
        op = AllReduce(tokens=tokens, width=5000, count=3)
        found, _ = all_reduce_seconds(op, 4, round_chip, link, BF16, plain)
        assert found == pytest.approx(3 * duration("all_reduce", tokens * 1e4, on, 4), rel=1e-12)


def test_one_chip_reduces_nothing(round_chip: Chip, link: Link, plain: Efficiency) -> None:
    assert all_reduce_seconds(AllReduce(tokens=9, width=9), 1, round_chip, link, BF16, plain)[0] == 0.0


def test_unknown_link_rate_is_refused(round_chip: Chip, link: Link, plain: Efficiency) -> None:
    dark = msgspec.structs.replace(link, bandwidth=None)
    with pytest.raises(ValueError, match="bandwidth of wire is not published"):
        all_reduce_seconds(AllReduce(tokens=9, width=9), 2, round_chip, dark, BF16, plain)
