"""NCCL's chunks cover the vector, depend on size, protocol and group, and decide the association of every element."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipmeter.collectives import Nccl, all_reduce
from chipmeter.collectives.nccl import Protocol, channel_count, channel_parts, chunks, ll128_fused

PROTOCOLS: tuple[Protocol, ...] = ("simple", "ll", "ll128")


@given(
    st.lists(st.integers(1, 1 << 24), min_size=1, max_size=4),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(2, 64),
    st.integers(1, 32),
    st.sampled_from(PROTOCOLS),
)
def test_parts_follow_each_other_on_ascending_channels(
    counts: list[int], item: int, ranks: int, channels: int, protocol: Protocol
) -> None:
    last = 0
    for count, parts in zip(counts, channel_parts(counts, item, ranks, channels, protocol), strict=True):
        assert [p.begin for p in parts] == [0, *(p.end for p in parts[:-1])]
        assert parts[-1].end == count
        assert all(p.begin < p.end for p in parts)
        assert [p.channel for p in parts] == list(range(parts[0].channel, parts[0].channel + len(parts)))
        assert last <= parts[0].channel
        last = parts[-1].channel
        assert last < channels


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("count", [1, 7, 1000, 1_000_003])
def test_chunks_cover_the_vector(protocol: Protocol, count: int) -> None:
    found = chunks(count, 4, 5, Nccl(4, protocol))
    assert [c.begin for c in found] == [0, *(c.end for c in found[:-1])]
    assert found[-1].end == count


def test_loops_of_full_chunks() -> None:
    found = chunks(3 << 20, 4, 2, Nccl(1))  # 12 MiB: three loops of two chunks of 2 MiB
    assert [(c.position, c.end - c.begin) for c in found] == [(0, 1 << 19), (1, 1 << 19)] * 3
    assert {c.end - c.begin for c in chunks(1 << 16, 4, 2, Nccl(1, "ll"))} == {8192}
    assert chunks(10**6, 4, 2, Nccl(1, "ll128"))[0].end == 144_000


def test_channels_wait_for_enough_work() -> None:
    assert channel_count(512 * 64 * 3, 8, 32, "simple") == 3
    assert channel_count(512 * 8 * 8 * 3, 8, 32, "ll") == 3
    assert channel_count(512 * 8 * 3, 8, 32, "ll", ring=False) == 3
    assert channel_count(640 * 8 * 3, 8, 32, "ll128") == 3


def test_a_group_moves_the_chunks() -> None:
    alone = chunks(100_000, 4, 4, Nccl(4))
    grouped = chunks(100_000, 4, 4, Nccl(4, group=(50_000, 100_000), index=1))
    assert alone != grouped
    x = np.random.default_rng(0).standard_normal((4, 100_000)).astype(np.float32)
    a = all_reduce(x, "nccl/ring", nccl=Nccl(4))
    b = all_reduce(x, "nccl/ring", nccl=Nccl(4, group=(50_000, 100_000), index=1))
    assert a.tobytes() != b.tobytes()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_chunk_is_a_chain_that_ends_at_its_position(protocol: Protocol) -> None:
    orders = ((0, 1, 2), (2, 0, 1), (1, 0, 2))
    how = Nccl(3, protocol, orders=orders)
    x = np.random.default_rng(1).standard_normal((3, 60_001)).astype(np.float32)
    got = all_reduce(x, "nccl/ring", nccl=how)
    for c in chunks(60_001, 4, 3, how):
        first, second, last = (orders[c.channel][(c.position + 1 + i) % 3] for i in range(3))
        part = slice(c.begin, c.end)
        assert got[1, part].tobytes() == ((x[first] + x[second]) + x[last])[part].tobytes()


def test_trees_by_channel() -> None:
    x = np.random.default_rng(2).standard_normal((4, 100_000)).astype(np.float32)
    got = all_reduce(x, "nccl/tree", nccl=Nccl(2, per_node=1))[0]
    half = channel_parts([100_000], 4, 4, 2, "simple", ring=False)[0][0].end
    assert got[:half].tobytes() == (x[0] + ((x[2] + x[1]) + x[3]))[:half].tobytes()
    assert got[half:].tobytes() == (x[3] + ((x[1] + x[2]) + x[0]))[half:].tobytes()
    one = all_reduce(x, "nccl/tree", nccl=Nccl(2))
    assert one.tobytes() == all_reduce(x, "tree").tobytes()
    two = all_reduce(x, "nccl/tree", nccl=Nccl(1, per_node=2))[0]
    assert two.tobytes() == ((x[0] + x[1]) + (x[2] + x[3])).tobytes()


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
@pytest.mark.parametrize("in_place", [False, True])
def test_an_average_under_ll128_is_fused_in_places(dtype: type, in_place: bool) -> None:
    x = np.random.default_rng(3).standard_normal((3, 5000)).astype(dtype)
    how = Nccl(1, "ll128")
    fused, rounded = (all_reduce(x, "nccl/ring", op="avg", average=a, nccl=Nccl(1, "ll")) for a in ("fused", "pre"))  # type: ignore[arg-type]
    mask = ll128_fused(chunks(5000, x.itemsize, 3, how), 5000, x.itemsize)
    want = np.where(mask, fused, rounded)
    assert want.tobytes() != fused.tobytes()
    y = x.copy()
    assert all_reduce(y, "nccl/ring", op="avg", nccl=how, out=y if in_place else None).tobytes() == want.tobytes()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"channels": 0}, "at least 1, got 0"),
        ({"protocol": "LL"}, "must be one of simple, ll, ll128"),
        ({"index": 1}, "place in the group"),
        ({"group": (0,)}, "must have elements"),
        ({"group": (5,)}, "says 5 elements"),
        ({"orders": ((0, 0),)}, "name each of 2 ranks once"),
    ],
)
def test_bad_settings(how: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        all_reduce(np.ones((2, 8), np.float32), "nccl/ring", nccl=Nccl(**how))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="nodes of 3 GPUs"):
        all_reduce(np.ones((2, 8), np.float32), "nccl/tree", nccl=Nccl(per_node=3))
