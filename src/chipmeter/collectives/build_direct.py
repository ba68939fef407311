"""Schedules in which every rank reaches every other: one-shot, two-shot, in-switch, all-to-all, Bruck, barrier."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

from chipmeter.collectives.build_rings import Build
from chipmeter.collectives.schedule import Action, Round, Transfer


def one_shot(action: Action) -> Callable[[int, str], Build]:
    """Every rank reads the whole vector of every other and adds them itself."""

    def build(n: int, operation: str) -> Build:
        messages = (Transfer(0, i, r, 0, action) for r in range(n) for i in range(n) if i != r)
        return 1, (Round("direct", 0, Fraction(1), 1, True, n),), messages, ()

    return build


def two_shot(action: Action) -> Callable[[int, str], Build]:
    """Rank r reduces part r, from its own on, wrapping; then every rank reads every part."""

    def build(n: int, operation: str) -> Build:
        part = Fraction(1, n)
        scatter, gather = Round("direct", 0, part, 1, True, n), Round("direct", 0, part, 1, False, n)

        def messages() -> Iterator[Transfer]:
            if operation != "all_gather":
                for r in range(n):
                    for i in range(1, n):
                        yield Transfer(0, (r + i) % n, r, r, action)
            if operation != "reduce_scatter":
                for r in range(n):
                    for i in range(1, n):
                        yield Transfer(1, r, (r + i) % n, r)

        rounds = {"all_reduce": (scatter, gather), "reduce_scatter": (scatter,), "all_gather": (gather,)}[operation]
        return n, rounds, messages(), ()

    return build


def pairwise(n: int, operation: str) -> Build:
    """All-to-all: in step k rank r sends to r xor k if ranks are a power of two, else to r + k."""
    power = n & (n - 1) == 0
    rounds = tuple(Round("xor" if power else "shift", k, Fraction(1, n), 1, False, n) for k in range(1, n))

    def messages() -> Iterator[Transfer]:
        for k in range(1, n):
            for r in range(n):
                to = r ^ k if power else (r + k) % n
                yield Transfer(k - 1, r, to, r * n + to)

    return n * n, rounds, messages(), ()


def bruck_all_to_all(n: int, operation: str) -> Build:
    """Blocks whose distance has bit k move 2^k ranks on in step k."""
    bits = range((n - 1).bit_length())
    moved = [[o for o in range(n) if o >> k & 1] for k in bits]
    rounds = tuple(Round("shift", 1 << k, Fraction(len(moved[k]), n), 1, False, n) for k in bits)

    def messages() -> Iterator[Transfer]:
        for k in bits:
            for i in range(n):
                for o in moved[k]:
                    at = i + (o & (1 << k) - 1)
                    yield Transfer(k, at % n, (at + (1 << k)) % n, i * n + (i + o) % n)

    return n * n, rounds, messages(), ()


def bruck_all_gather(n: int, operation: str) -> Build:
    """In step k rank r sends the first min(2^k, n - 2^k) blocks that it has to r - 2^k."""
    sizes = [min(1 << k, n - (1 << k)) for k in range((n - 1).bit_length())]
    rounds = tuple(Round("shift", n - (1 << k), Fraction(m, n), 1, False, n) for k, m in enumerate(sizes))

    def messages() -> Iterator[Transfer]:
        for k, m in enumerate(sizes):
            for r in range(n):
                for i in range(m):
                    yield Transfer(k, r, (r - (1 << k)) % n, (r + i) % n)

    return n, rounds, messages(), ()


def dissemination(n: int, operation: str) -> Build:
    """Barrier: in step k rank r signals r + 2^k, which then knows of all that r knew of."""
    steps = range((n - 1).bit_length())
    rounds = tuple(Round("shift", 1 << k, Fraction(0), 1, False, n) for k in steps)

    def messages() -> Iterator[Transfer]:
        for k in steps:
            for r in range(n):
                for known in range(min(1 << k, n)):
                    yield Transfer(k, r, (r + (1 << k)) % n, (r - known) % n)

    return n, rounds, messages(), ()
