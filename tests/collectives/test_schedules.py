"""Built-in schedules are complete; the checker names what an incomplete or cyclic one lacks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chipmeter.collectives import Round, Schedule, ScheduleError, Transfer, check, schedule


def chain(ranks: list[int]) -> object:
    """Left-to-right sum."""
    tree: object = ranks[0]
    for rank in ranks[1:]:
        tree = (tree, rank)
    return tree


def unordered(tree: object) -> object:
    """Operand order removed."""
    return tree if isinstance(tree, int) else frozenset(map(unordered, tree))  # type: ignore[call-overload]


@pytest.mark.parametrize("n", range(2, 12))
def test_ring_chunks_are_chains_that_end_at_their_owner(n: int) -> None:
    for (_, chunk), tree in check(schedule("all_reduce", "ring", n)).items():
        assert unordered(tree) == unordered(chain([(chunk + 1 + i) % n for i in range(n)]))


@pytest.mark.parametrize("n", range(2, 20))
def test_schedules_are_complete_and_count_their_messages(n: int) -> None:
    for operation, name in (("all_reduce", "recursive_doubling"), ("all_gather", "ring"), ("reduce_scatter", "ring")):
        built = schedule(operation, name, n)
        check(built)
        steps = [r for r in built.rounds for _ in range(r.repeat)]
        assert [r.messages() for r in steps] == [len(messages) for messages in built.by_step()]
        for r, messages in zip(steps, built.by_step(), strict=True):
            assert {(t.source, t.target) for t in messages} == {(i, j) for i in range(n) for j in r.targets(i)}
            assert all((t.action != "copy") == r.reduces for t in messages)


@pytest.mark.parametrize("lost", [0, 5, 17])
def test_a_lost_message_is_named(lost: int) -> None:
    full = schedule("all_reduce", "ring", 4)
    with pytest.raises(ScheduleError, match=r"lacks the contribution of rank|which it does not have"):
        check(replace(full, transfers=full.transfers[:lost] + full.transfers[lost + 1 :]))


def test_a_cycle_is_refused() -> None:
    turns = tuple(Transfer(s, r, (r + 1) % 3, 0, "own+received") for s in range(3) for r in range(3))
    with pytest.raises(ScheduleError, match="step 1 rank 1, chunk 0 adds the contribution of rank 0 twice"):
        check(Schedule("wheel", "all_reduce", 3, 1, turns))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedule("all_reduce", "ring", 1), "at least 2 ranks, got 1"),
        (lambda: schedule("all_reduce", "rign", 4), "did you mean 'ring'"),
        (lambda: Schedule("s", "all_reduce", 0, 1), "at least 2 ranks, got 0"),
        (lambda: Schedule("s", "all_reduce", 2, 0), "at least 1 chunk"),
        (lambda: Schedule("s", "all_reduce", 2, 1, root=2), "root must be one of 2 ranks"),
        (lambda: Schedule("s", "all_reduce", 2, 1, (Transfer(0, 0, 2, 0),)), "outside 2 ranks"),
        (lambda: Schedule("s", "all_reduce", 2, 1, (Transfer(0, 1, 1, 0),)), "sends to itself"),
        (lambda: Schedule("s", "all_reduce", 2, 1, (Transfer(0, 0, 1, 0, "add"),)), "action must be one of"),  # type: ignore[arg-type]
        (lambda: Round("shift", 1, 0, size=0), "positive size"),  # type: ignore[arg-type]
    ],
)
def test_bad_records(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
