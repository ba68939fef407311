"""NCCL's map of elements to channels and chunks: size, protocol and the other collectives of a group decide it.

Rules read in the source of NCCL 2.30.7 (5067397). The machine decides the channels and the order of each ring; both
are inputs, printed by NCCL_DEBUG=INFO.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from chipmeter.collectives import trees
from chipmeter.collectives.plans import Plan, Segment, Shape
from chipmeter.collectives.schedule import Tree

Protocol = Literal["simple", "ll", "ll128"]

_LEAST = 32 << 10  # traffic of a channel, bytes
_THREADS = {"simple": 512, "ll": 512, "ll128": 640}
_THRESHOLD = {"simple": 64, "ll": 8, "ll128": 8}
_CHUNK = {"simple": 2 << 20, "ll": 32 << 10, "ll128": 576_000}
SLICE = 1920
"""Data bytes of a warp's slice under LL128: 120 units of 16."""


@dataclass(frozen=True)
class Nccl:
    """How NCCL runs one all-reduce.

    Parameters
    ----------
    channels : int
        Channels of the communicator.
    protocol : {"simple", "ll", "ll128"}
    group : tuple of int
        Elements of every collective of the group, all of one type, this one among them; empty: it is alone.
    index : int
        Place of this one in the group.
    orders : tuple of tuple of int
        Ranks by ring position, for channel c at c mod the number given; empty: 0, 1, 2, ...
    per_node : int
        GPUs of a node, for trees; 0: all ranks are on one node.
    """

    channels: int = 16
    protocol: Protocol = "simple"
    group: tuple[int, ...] = ()
    index: int = 0
    orders: tuple[tuple[int, ...], ...] = ()
    per_node: int = 0

    def __post_init__(self) -> None:
        for name in ("channels", "index", "per_node"):
            if not isinstance(getattr(self, name), (int, np.integer)):
                raise TypeError(f"{name} must be a whole number, got {getattr(self, name)!r}")
        if self.channels < 1:
            raise ValueError(f"channels must be at least 1, got {self.channels}")
        if self.protocol not in _THREADS:
            raise ValueError(f"protocol must be one of {', '.join(_THREADS)}, got {self.protocol!r}")
        if not 0 <= self.index < max(1, len(self.group)):
            raise ValueError(f"index must be a place in the group of {len(self.group)}, got {self.index}")
        if any(c < 1 for c in self.group):
            raise ValueError(f"collectives of a group must have elements, got {self.group}")


@dataclass(frozen=True)
class Part:
    """Elements begin..end that a channel reduces."""

    channel: int
    begin: int
    end: int


@dataclass(frozen=True)
class Chunk:
    """Elements begin..end of a ring's loop, whose sum is finished at ring position `position`."""

    channel: int
    position: int
    begin: int
    end: int


def channel_count(nbytes: int, ranks: int, channels: int, protocol: Protocol, *, ring: bool = True) -> int:
    """Channels worth using for a size: one less as long as their threads would have too little to do.

    >>> channel_count(1 << 20, 8, 32, "simple"), channel_count(1 << 30, 8, 32, "simple")
    (32, 32)
    >>> channel_count(1 << 18, 8, 32, "simple")
    8
    """
    least = _THREADS[protocol] * _THRESHOLD[protocol] * (ranks if ring and protocol == "ll" else 1)
    return max(1, min(channels, nbytes // least))


def channel_parts(
    counts: Sequence[int], item: int, ranks: int, channels: int, protocol: Protocol, *, ring: bool = True
) -> list[list[Part]]:
    """Split the all-reduces of one group over channels.

    Parameters
    ----------
    counts : sequence of int
        Elements of each, in order.
    item : int
        Bytes of an element.
    ranks, channels : int
    protocol : str
    ring : bool
        Whether the algorithm is the ring.

    Returns
    -------
    list of list of Part
        For each collective: its channels; a channel may go on with the next collective.

    Examples
    --------
    >>> [(p.channel, p.begin, p.end) for p in channel_parts([1 << 18], 4, 8, 2, "simple")[0]]
    [(0, 0, 131072), (1, 131072, 262144)]
    """
    per_byte = 8 if protocol == "ll" else 2
    used = min(channels, sum(channel_count(c * item, ranks, channels, protocol, ring=ring) for c in counts))
    traffic = sum(max(_LEAST, c * item * per_byte) for c in counts)
    budget = _up(traffic // used, 16)
    cell = _up(-(-_LEAST // per_byte), 16)
    channel, spent = 0, 0
    found = []
    for count in counts:
        cells = -(-count * item // cell)
        whole = min(cells, -(-budget // (cell * per_byte)))  # of a middle channel
        low = cells
        if channel + 1 < channels:
            low = min(cells, -(-(budget - spent) // (cell * per_byte)))
        middle, high = divmod(cells - low, whole)
        if channel + (low > 0) + middle + (high > 0) > channels:
            middle = channels - channel - 2
            whole, more = divmod(cells - low, middle + 1)
            high = whole + more
        sizes = [*([low] if low else []), *([whole] * middle), *([high] if high else [])]
        channel += not low
        edges = np.minimum(np.cumsum([0, *sizes]) * (cell // item), count).tolist()
        found.append([Part(channel + i, edges[i], edges[i + 1]) for i in range(len(sizes))])
        spent = (spent if len(sizes) == 1 and low else 0) + sizes[-1] * cell * per_byte
        channel += len(sizes) - 1
        if spent >= budget and channel + 1 < channels:
            channel, spent = channel + 1, 0
    return found


def chunks(count: int, item: int, ranks: int, how: Nccl) -> tuple[Chunk, ...]:
    """Chunks of a ring all-reduce in the order of their elements.

    Each channel's part is done in loops of `ranks` chunks; those of the last loop are shorter, and may be empty.

    >>> [(c.channel, c.position, c.end - c.begin) for c in chunks(100, 4, 3, Nccl(channels=1))]
    [(0, 0, 36), (0, 1, 36), (0, 2, 28)]
    """
    found = []
    full = _CHUNK[how.protocol] // item
    for part in _parts(count, item, ranks, how, ring=True):
        at = part.begin
        while at < part.end:
            size = full
            if part.end - at < ranks * full:
                grain = 16 // item
                size = _up(-(-(part.end - at) // ranks), grain)
            for position in range(ranks):
                low, high = min(part.end, at + position * size), min(part.end, at + (position + 1) * size)
                if low < high:
                    found.append(Chunk(part.channel, position, low, high))
            at += ranks * size
    return tuple(found)


def _up(value: int, grain: int) -> int:
    """Round up to a multiple of a grain."""
    return -(-value // grain) * grain


def _parts(count: int, item: int, ranks: int, how: Nccl, *, ring: bool) -> list[Part]:
    group = how.group or (count,)
    if group[how.index] != count:
        raise ValueError(f"the group says {group[how.index]} elements for this collective, which has {count}")
    return channel_parts(group, item, ranks, how.channels, how.protocol, ring=ring)[how.index]


def ring_plan(s: Shape) -> Plan:
    """Chain from the position after the chunk's to the chunk's; LL and LL128 add the own part to the received one."""
    how = s.nccl or Nccl()
    orders = how.orders or (tuple(range(s.ranks)),)
    for order in orders:
        if sorted(order) != list(range(s.ranks)):
            raise ValueError(f"a ring's order must name each of {s.ranks} ranks once, got {order}")
    join = trees.chain_onto if how.protocol == "simple" else trees.chain
    made: dict[tuple[int, int], Tree] = {}
    segments = []
    for c in chunks(s.count, s.item, s.ranks, how):
        key = c.channel % len(orders), c.position
        if key not in made:
            order = orders[key[0]]
            made[key] = join([order[(c.position + 1 + i) % s.ranks] for i in range(s.ranks)])
        segments.append(Segment(c.begin, c.end, made[key]))
    return (tuple(segments),)


def tree_plan(s: Shape) -> Plan:
    """On one node a chain to its first GPU; over nodes two trees, the first for the lower half of the channels.

    A node's GPUs are a chain to its first, which then adds the sums of the tree's children (the pattern TREE).
    """
    how = s.nccl or Nccl()
    width = how.per_node or s.ranks
    if s.ranks % width:
        raise ValueError(f"{s.ranks} ranks cannot be cut into nodes of {width} GPUs")
    nodes = s.ranks // width

    def built(which: int) -> Tree:
        root, children = trees.double_binary(nodes, which)

        def value(v: int) -> Tree:
            own = trees.right_chain(list(range(v * width, (v + 1) * width)))
            return trees.chain([own, *(value(child) for child in children[v])])

        return value(root)

    both = built(0), built(1)
    parts = _parts(s.count, s.item, s.ranks, how, ring=False)
    return (tuple(Segment(p.begin, p.end, both[p.channel >= -(-how.channels // 2)]) for p in parts),)


def ll128_fused(found: Sequence[Chunk], count: int, item: int) -> NDArray[np.bool_]:
    """Elements whose average is made with a fused multiply-add under LL128, as the shipped kernels are compiled.

    Of each unit of 16 bytes the low half is fused; the high half only in the units that the flag lanes handle
    (u mod 60 < 32 and u mod 8 of that = 7). Elsewhere the product is rounded before the addition.

    >>> ll128_fused(chunks(64, 4, 2, Nccl(1, "ll128")), 64, 4)[:8].tolist()
    [True, True, False, False, True, True, False, False]
    """
    mask = np.zeros(count, bool)
    for c in found:
        at = np.arange(c.end - c.begin) * item % SLICE
        unit = at // 16 % 60
        mask[c.begin : c.end] = (at % 16 < 8) | ((unit < 32) & (unit % 8 == 7))
    return mask
