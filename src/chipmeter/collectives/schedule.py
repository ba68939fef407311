"""Collective schedules as plain frozen data: who sends which chunk to whom, in which step, and what becomes of it.

A schedule has two forms. `rounds` is symbolic: one record per kind of step, whose size does not grow with the number
of ranks, for pricing. `transfers` is the expansion, message by message, for proofs and for schedules of users.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from itertools import groupby
from typing import Literal

from chipmeter.evidence import Evidence

Pattern = Literal["shift", "xor", "up", "down", "direct", "pairs"]
Action = Literal["copy", "own+received", "received+own", "rank-order", "fused", "fused-rank-order"]
Tree = int | tuple["Tree", ...]
"""A rank's contribution, or a sum of two (or, in one rounding, of more) parts; `((3, 0), 1)` is (x3 + x0) + x1."""

ACTIONS: tuple[Action, ...] = ("copy", "own+received", "received+own", "rank-order", "fused", "fused-rank-order")
TOGETHER: tuple[Action, ...] = ACTIONS[3:]


@dataclass(frozen=True)
class Round:
    """`repeat` steps of one kind, in which every rank of a group of `size` follows the same rule.

    Parameters
    ----------
    pattern : {"shift", "xor", "up", "down", "direct", "pairs"}
        Whom place i of a group sends to. shift: (i + distance) mod size. xor: i xor distance, both ways. up: i with
        i mod 2 distance = distance sends to i - distance; down: the reverse. direct: to every other place. pairs: the
        places that `pairs` lists.
    distance : int
    fraction : Fraction
        Share of the full vector (or, for all_gather and reduce_scatter, of all blocks together) in each message.
    repeat : int
        Consecutive steps of this kind; nothing overlaps unless `pipelined`.
    reduces : bool
        Whether the receiver adds what it receives.
    size, stride : int
        Ranks of a group and the distance between neighbours in it: place i of rank r is (r // stride) % size.
    limit : int
        Only the first `limit` places take part; 0: all.
    pairs : tuple of (int, int)
        Sender and receiver of the pattern "pairs".
    pipelined : bool
        Whether the chunks of this round may follow each other without waiting for the last one.
    """

    pattern: Pattern
    distance: int
    fraction: Fraction
    repeat: int = 1
    reduces: bool = False
    size: int = 0
    stride: int = 1
    limit: int = 0
    pairs: tuple[tuple[int, int], ...] = ()
    pipelined: bool = False

    def __post_init__(self) -> None:
        if self.size < 1 or self.stride < 1 or self.repeat < 0 or self.fraction < 0:
            raise ValueError(f"a round needs a positive size and stride and no negative repeat or fraction, got {self}")

    def targets(self, place: int) -> tuple[int, ...]:
        """Places of the group that a place sends to in one step.

        >>> Round("shift", 1, Fraction(1, 4), size=4).targets(3)
        (0,)
        """
        places, d = self.limit or self.size, self.distance
        if self.pattern == "pairs":
            return tuple(b for a, b in self.pairs if a == place)
        if place >= places:
            return ()
        if self.pattern == "shift":
            return ((place + d) % places,) if places > 1 else ()
        if self.pattern == "direct":
            return tuple(i for i in range(places) if i != place)
        if self.pattern == "xor":
            to, sends = place ^ d, True
        elif self.pattern == "up":
            to, sends = place - d, place % (2 * d) == d
        else:
            to, sends = place + d, place % (2 * d) == 0
        return (to,) if sends and to < places else ()

    def messages(self) -> int:
        """Messages of one step inside one group, counted without listing them (but for "pairs")."""
        places, d = self.limit or self.size, self.distance
        if self.pattern == "pairs":
            return len(self.pairs)
        if self.pattern == "direct":
            return places * (places - 1)
        if self.pattern == "shift":
            return places if places > 1 else 0
        if self.pattern == "xor":
            return places if places % (2 * d) == 0 else sum(len(self.targets(i)) for i in range(places))
        return (places - d + 2 * d - 1) // (2 * d) if places > d else 0


@dataclass(frozen=True)
class Transfer:
    """One message: in `step`, `source` sends its current value of `chunk` to `target`, which stores or adds it.

    All messages of a step carry what their sources held before the step. Several that one target receives for one
    chunk in one step are applied in the order in which they are listed.

    Parameters
    ----------
    step, source, target, chunk : int
    action : str
        "copy" replaces what the target has. "own+received" and "received+own" add, rounding each time. Those of one
        step, target and chunk together: "rank-order" adds them and the target's own as a chain in the order of
        ranks; "fused" adds the received ones as listed, then the own, with one rounding; "fused-rank-order" both.
    """

    step: int
    source: int
    target: int
    chunk: int
    action: Action = "copy"


@dataclass(frozen=True)
class Schedule:
    """A collective for one number of ranks.

    Parameters
    ----------
    name : str
    operation : str
        "all_reduce", "reduce_scatter", "reduce", "all_gather", "broadcast", "all_to_all" (chunk i x ranks + j goes from
        rank i to j), "barrier" (chunk r is the notice of rank r).
    ranks, chunks : int
        Ranks, and the parts that the vector is cut into.
    transfers : tuple of Transfer
        The expansion; empty for a built-in one that is only priced.
    rounds : tuple of Round
        The symbolic form; empty for a schedule of a user, which is priced by its transfers.
    root : int
        The rank that holds the result of a reduce, or the input of a broadcast.
    owners : tuple of int
        For reduce_scatter (and as the sources of all_gather): the rank of each chunk. Empty: chunk c belongs to rank c.
    evidence : Evidence or None
        Where the order comes from.
    """

    name: str
    operation: str
    ranks: int
    chunks: int
    transfers: tuple[Transfer, ...] = ()
    rounds: tuple[Round, ...] = ()
    root: int = 0
    owners: tuple[int, ...] = ()
    evidence: Evidence | None = None

    def __post_init__(self) -> None:
        if self.ranks < 2:
            raise ValueError(f"a collective needs at least 2 ranks, got {self.ranks}")
        if self.chunks < 1:
            raise ValueError(f"a schedule needs at least 1 chunk, got {self.chunks}")
        if not 0 <= self.root < self.ranks:
            raise ValueError(f"root must be one of {self.ranks} ranks, got {self.root}")
        for t in self.transfers:
            if not (0 <= t.source < self.ranks and 0 <= t.target < self.ranks and 0 <= t.chunk < self.chunks):
                raise ValueError(f"{t} is outside {self.ranks} ranks and {self.chunks} chunks")
            if t.source == t.target:
                raise ValueError(f"{t} sends to itself")
            if t.action not in ACTIONS:
                raise ValueError(f"action must be one of {', '.join(ACTIONS)}, got {t.action!r}")

    @property
    def steps(self) -> int:
        """Steps, one after the other."""
        if self.rounds:
            return sum(r.repeat for r in self.rounds)
        return len({t.step for t in self.transfers})

    def by_step(self) -> Iterator[list[Transfer]]:
        """Messages of each step, steps in ascending order."""
        ordered = sorted(self.transfers, key=lambda t: t.step)
        for _, group in groupby(ordered, key=lambda t: t.step):
            yield list(group)

    def owner(self, chunk: int) -> int:
        """Rank that a chunk of a reduce_scatter or all_gather belongs to."""
        return self.owners[chunk] if self.owners else chunk % self.ranks


class ScheduleError(ValueError):
    """A schedule that does not compute its operation; the message names the first thing that is wrong."""


def leaves(tree: Tree) -> Iterator[int]:
    """Contributions of a tree, left to right."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, int):
            yield node
        else:
            stack.extend(reversed(node))


def check(schedule: Schedule) -> dict[tuple[int, int], Tree]:
    """Prove a schedule complete: every rank's contribution reaches every output exactly once.

    Parameters
    ----------
    schedule : Schedule
        With its transfers.

    Returns
    -------
    dict
        For each output, by (rank, chunk), the tree that makes it.

    Raises
    ------
    ScheduleError
        Naming the contribution that is missing or added twice, with rank, chunk and step.

    Examples
    --------
    >>> swap = (Transfer(0, 0, 1, 0, "own+received"), Transfer(0, 1, 0, 0, "own+received"))
    >>> check(Schedule("swap", "all_reduce", 2, 1, swap))
    {(0, 0): (0, 1), (1, 0): (1, 0)}
    >>> check(Schedule("half", "all_reduce", 2, 1, swap[:1]))
    Traceback (most recent call last):
    ...
    chipmeter.collectives.schedule.ScheduleError: schedule 'half': rank 0, chunk 0 lacks the contribution of rank 1
    """
    n, name = schedule.ranks, schedule.name
    moves = schedule.operation in ("all_gather", "broadcast", "all_to_all", "barrier")
    state: dict[tuple[int, int], Tree] = {}
    held: dict[tuple[int, int], int] = {}
    for chunk in range(schedule.chunks):
        sources: Iterable[int] = range(n)
        if moves:
            sources = (_origin(schedule, chunk),)
        for rank in sources:
            state[rank, chunk], held[rank, chunk] = rank, 1 << rank
    for messages in schedule.by_step():
        sent = []
        for t in messages:
            if (t.source, t.chunk) not in state:
                raise ScheduleError(
                    f"schedule {name!r}: in step {t.step} rank {t.source} sends chunk {t.chunk}, which it does not have"
                )
            sent.append((t, state[t.source, t.chunk], held[t.source, t.chunk]))
        joined: dict[tuple[int, int], list[tuple[Transfer, Tree]]] = {}
        for t, tree, mask in sent:
            at = t.target, t.chunk
            if t.action == "copy":
                state[at], held[at] = tree, mask
                continue
            twice = held.get(at, 0) & mask
            if twice:
                rank = (twice & -twice).bit_length() - 1
                raise ScheduleError(
                    f"schedule {name!r}: in step {t.step} rank {t.target}, chunk {t.chunk} adds the contribution of "
                    f"rank {rank} twice (a cycle, or a message too many)"
                )
            own = state.get(at)
            if t.action in TOGETHER:
                joined.setdefault(at, []).append((t, tree))
                held[at] = held.get(at, 0) | mask
            elif own is None:
                state[at], held[at] = tree, mask
            else:
                state[at] = (own, tree) if t.action == "own+received" else (tree, own)
                held[at] |= mask
        for at, parts in joined.items():
            state[at] = _join(parts, state.get(at))
    return {at: _complete(schedule, at, state, held, moves) for at in _outputs(schedule)}


def _join(parts: list[tuple[Transfer, Tree]], own: Tree | None) -> Tree:
    """Sum of the values that one target receives together, and its own."""
    action, target = parts[0][0].action, parts[0][0].target
    values = [(t.source, tree) for t, tree in parts] + ([] if own is None else [(target, own)])
    if action != "fused":
        values.sort(key=lambda value: value[0])
    trees = [tree for _, tree in values]
    return reduce(lambda a, b: (a, b), trees) if action == "rank-order" or len(trees) == 1 else tuple(trees)


def _outputs(schedule: Schedule) -> Iterator[tuple[int, int]]:
    for chunk in range(schedule.chunks):
        if schedule.operation == "reduce":
            yield schedule.root, chunk
        elif schedule.operation == "reduce_scatter":
            yield schedule.owner(chunk), chunk
        elif schedule.operation == "all_to_all":
            yield chunk % schedule.ranks, chunk
        else:
            yield from ((rank, chunk) for rank in range(schedule.ranks))


def _origin(schedule: Schedule, chunk: int) -> int:
    """Rank that has a chunk before data is moved; chunk i x ranks + j of an all_to_all goes from rank i to j."""
    if schedule.operation == "broadcast":
        return schedule.root
    return chunk // schedule.ranks if schedule.operation == "all_to_all" else schedule.owner(chunk)


def _complete(
    schedule: Schedule,
    at: tuple[int, int],
    state: dict[tuple[int, int], Tree],
    held: dict[tuple[int, int], int],
    moves: bool,
) -> Tree:
    wanted = (1 << schedule.ranks) - 1
    if moves:
        wanted = 1 << _origin(schedule, at[1])
    missing = wanted & ~held.get(at, 0)
    if missing:
        rank = (missing & -missing).bit_length() - 1
        raise ScheduleError(
            f"schedule {schedule.name!r}: rank {at[0]}, chunk {at[1]} lacks the contribution of rank {rank}"
        )
    return state[at]
