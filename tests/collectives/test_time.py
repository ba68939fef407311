"""The time of collectives meets published figures, obeys physics, and grows with steps, not with ranks squared."""

from __future__ import annotations

import dataclasses
import math
import time as clock
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipmeter import collectives
from chipmeter.collectives import contention, pricing, symbolic, timing, tuning
from chipmeter.collectives.schedule import Round, Schedule, Transfer
from chipmeter.collectives.topology import Level, Topology, rated, topology

GIB = 2**30
SYSTEMS = (
    "a100_80",
    "h100",
    "b200",
    "gb200_nvl72",
    "mi300x",
    "trn1.32xlarge",
    "trn2u_ultraserver",
    "tpu_v5e",
    "g7e.48xlarge",
)
PRICED = sorted((of, name) for name, (_, serves, _) in symbolic.ALGORITHMS.items() for of in serves)


@pytest.mark.parametrize(
    ("system", "ranks", "algorithm", "size", "busbw", "within"),
    [
        ("h200", 8, None, 16 * GIB, 482e9, 0.08),  # NVIDIA/nccl issue, NVLS
        ("h200", 8, "ring", 16 * GIB, 367e9, 0.08),  # the same, NVLS off
        ("b200", 8, None, 16 * GIB, 845e9, 0.08),  # published for 8 x B200
        ("b200", 32, None, 16 * GIB, 382e9, 0.08),  # 4 nodes of 8 with 8 x 50 GB/s of EFA; not among the fitted rows
        ("h200", 32, "ring", 16 * GIB, 365e9, 0.08),  # 4 nodes; not among the fitted rows
        ("a100_80", 8, None, 16 * GIB, 235e9, 0.08),  # Azure, nccl-tests
        ("mi300x", 2, None, 4 * GIB, 47.7e9, 0.08),  # AMD, rccl-tests: two GPUs share one of seven links
        ("mi300x", 8, None, 4 * GIB, 312.9e9, 0.08),
    ],
)
def test_published_bandwidths(
    system: str, ranks: int, algorithm: str | None, size: int, busbw: float, within: float
) -> None:
    found = collectives.time(algorithm, "all_reduce", size, system=system, ranks=ranks)
    assert found.busbw == pytest.approx(busbw, rel=within)
    assert found.low < found.seconds < found.high


@pytest.mark.parametrize(("chip", "least"), [("h200", 5), ("b200", 6)])
def test_the_switch_reduces_from_so_many_gpus_on_and_all_reduce_only(chip: str, least: int) -> None:
    for ranks in range(2, 9):
        algorithm, _ = collectives.choose("all_reduce", GIB, system=chip, ranks=ranks)
        assert algorithm == ("nvls" if ranks >= least else "ring")
    for operation in ("all_gather", "reduce_scatter", "broadcast", "reduce"):
        assert collectives.choose(operation, GIB, system=chip, ranks=8)[0] == "ring"
    assert collectives.choose("all_reduce", 2**16, system=chip, ranks=8) == ("ring", "LL")


def test_neuron_chooses_by_size() -> None:
    chosen = [collectives.choose("all_reduce", n * 2**20, system="trn1.32xlarge", ranks=32)[0] for n in (1, 55, 56)]
    assert chosen == ["neuron/rdh", "neuron/rdh", "neuron/kangaring"]
    assert collectives.choose("all_reduce", 2**20 - 1, system="trn1.32xlarge", ranks=32)[0] == "neuron/mesh"


@pytest.mark.parametrize("algorithm", [None, "ring", "tree", "recursive_doubling", "rabenseifner", "hierarchical"])
def test_a_hundred_thousand_ranks_are_priced_at_once(algorithm: str | None) -> None:
    on = topology("h100")
    took = []
    for _ in range(5):
        for cached in (contention._load, timing.quotes):
            cached.cache_clear()
        start = clock.thread_time()
        found = collectives.time(algorithm, "all_reduce", GIB, system=on, ranks=100_000)
        took.append(clock.thread_time() - start)
    assert found.ranks == 100_000
    assert min(took) < 0.050


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("operation", symbolic.OPERATIONS)
def test_longer_is_never_quicker_and_no_link_is_exceeded(system: str, operation: str) -> None:
    on = topology(system)
    sizes = np.unique(np.geomspace(1, 2**36, 400).astype(np.int64))
    for ranks in (2, 3, 8, 16):
        took = collectives.seconds(operation, sizes, on, ranks)
        assert np.all(np.diff(took) >= 0)
        if operation not in ("barrier",):
            # What each rank must send or receive at the least, through all of its links together.
            share = (ranks - 1) / ranks if operation in ("all_gather", "reduce_scatter", "all_to_all") else 1.0
            widest = max(level.bandwidth for level in on.levels)
            assert np.all(took >= share * sizes / widest)


@given(
    st.sampled_from(SYSTEMS), st.sampled_from(PRICED), st.integers(2, 40), st.integers(0, 36), st.floats(1.0, 8.0),
    st.integers(0, 2),
)  # fmt: skip
def test_wider_links_are_never_slower(
    system: str, what: tuple[str, str], ranks: int, exponent: int, factor: float, which: int
) -> None:
    on = topology(system)
    if on.levels[-1].size and ranks > on.levels[-1].size:
        return
    at = min(which, len(on.levels) - 1)
    wide = dataclasses.replace(on.levels[at], bandwidth=on.levels[at].bandwidth * factor)
    better = dataclasses.replace(on, levels=(*on.levels[:at], wide, *on.levels[at + 1 :]))
    size = float(2**exponent)
    old, new = (float(collectives.seconds(what[0], size, t, ranks, what[1])) for t in (on, better))
    assert 0 < new <= old * (1 + 1e-12)


def _count(schedule: Schedule, on: Topology) -> list[tuple[float, ...]]:
    """Seconds per byte of each step's busiest port, message by message."""
    found = []
    for messages in schedule.by_step():
        ports: list[dict[tuple[int, bool], int]] = [{} for _ in on.levels]
        for t in messages:
            level = next(
                i for i, one in enumerate(on.levels) if not one.size or t.source // one.size == t.target // one.size
            )
            for end, out in ((t.source, True), (t.target, False)):
                port = (end // on.unit(level), out)
                ports[level][port] = ports[level].get(port, 0) + 1
        found.append(
            tuple(
                max(p.values(), default=0) / schedule.chunks / (one.bandwidth * min(on.unit(i), schedule.ranks))
                for i, (p, one) in enumerate(zip(ports, on.levels, strict=True))
            )
        )
    return found


@given(st.sampled_from(["ring", "recursive_doubling"]), st.integers(2, 24), st.sampled_from([2, 4, 8]), st.booleans())
def test_load_is_what_the_messages_put_on_the_links(name: str, ranks: int, node: int, deep: bool) -> None:
    levels = (Level("a", "switch", 100.0, node), Level("b", "switch", 7.0, 2 * node if deep else 0))
    on = Topology("t", (*levels, Level("c", "switch", 3.0)) if deep else levels)
    schedule = collectives.schedule("all_reduce", name, ranks)
    stages = iter(_count(schedule, on))
    for step in schedule.rounds:
        expected = tuple(float(step.fraction) * s for s in contention.load(step, on, ranks).seconds)
        for _ in range(step.repeat):
            assert next(stages) == pytest.approx(expected)
    # The messages alone, as of a schedule of one's own, cost the same.
    own = dataclasses.replace(schedule, rounds=())
    by_rounds, by_messages = pricing.plan(schedule, on), pricing.plan(own, on)
    assert by_messages.hops == pytest.approx(by_rounds.hops)
    assert np.sum(by_messages.stages, axis=0) == pytest.approx(np.sum(by_rounds.stages, axis=0))


@given(st.integers(2, 5), st.integers(2, 6), st.integers(0, 29), st.booleans())
def test_torus_links_are_counted_hop_by_hop(rows: int, columns: int, distance: int, wraps: bool) -> None:
    n = rows * columns
    d = 2 + distance % max(n - 2, 1)
    level = Level("t", "torus", 1.0, n, (rows, columns), wraps)
    step = Round("shift", d, Fraction(1), 1, size=n)
    links: dict[tuple[int, int, int, int], int] = {}
    for source in range(n):
        target = (source + d) % n
        x, y = divmod(source, columns)
        for axis, (at, to, k) in enumerate(((y, target % columns, columns), (x, target // columns, rows))):
            away = to - at
            if wraps:
                away = (away + k // 2) % k - k // 2
            for hop in range(abs(away)):
                spot = (at + hop * (1 if away > 0 else -1)) % k
                other = x if axis == 0 else target % columns
                key = (axis, spot, other, 1 if away > 0 else -1)
                links[key] = links.get(key, 0) + 1
    busiest = max(links.values(), default=0)
    assert contention.load(step, Topology("t", (level,)), n).seconds[0] == pytest.approx(busiest * 4)


def test_direct_exchange_counts_what_leaves_each_node() -> None:
    on = Topology("t", (Level("a", "switch", 10.0, 4), Level("b", "switch", 1.0)))
    seconds = contention.load(Round("direct", 0, Fraction(1), size=12), on, 12).seconds
    assert seconds == pytest.approx((3 / 10, 4 * 8 / 4))


@given(st.integers(2, 16), st.sampled_from([1, 2, 3, 8]), st.sampled_from([2, 3, 4, 8]), st.integers(1, 2))
def test_direct_exchange_is_counted_as_its_messages(size: int, stride: int, node: int, blocks: int) -> None:
    on = Topology(
        "t", (Level("a", "switch", 10.0, node), Level("b", "switch", 3.0, 2 * node), Level("c", "switch", 1.0))
    )
    n = size * stride * blocks
    ports: list[dict[int, int]] = [{} for _ in on.levels]
    for source in range(n):
        first = source - source // stride % size * stride
        for target in range(first, first + size * stride, stride):
            if target != source:
                level = next(
                    i for i, one in enumerate(on.levels) if not one.size or source // one.size == target // one.size
                )
                unit = source // on.unit(level)
                ports[level][unit] = ports[level].get(unit, 0) + 1
    expected = [
        max(p.values(), default=0) / (one.bandwidth * min(on.unit(i), n))
        for i, (p, one) in enumerate(zip(ports, on.levels, strict=True))
    ]
    assert contention.load(Round("direct", 0, Fraction(1), 1, False, size, stride), on, n).seconds == pytest.approx(
        expected
    )


def test_two_ranks_of_a_mesh_share_one_link() -> None:
    mesh = Topology("t", (Level("a", "mesh", 70.0, 8),))
    ring = [contention.load(Round("shift", 1, Fraction(1), n - 1, size=n), mesh, n).seconds[0] for n in (2, 8)]
    assert ring == pytest.approx([1 / 10, 1 / 70])
    assert contention.load(Round("xor", 4, Fraction(1), size=8), mesh, 8).seconds[0] == pytest.approx(1 / 10)


@pytest.mark.parametrize(("operation", "algorithm"), PRICED)
@pytest.mark.parametrize("ranks", [2, 3, 8, 13, 32])
def test_every_algorithm_moves_what_it_must(operation: str, algorithm: str, ranks: int) -> None:
    schedule = symbolic.symbolic(operation, algorithm, ranks, (8,))
    assert schedule.steps >= 1
    on = Topology("t", (Level("a", "switch", 1.0),))
    wire = sum(stage[0] for stage in pricing.plan(schedule, on).stages)
    part = (ranks - 1) / ranks
    least = {"all_reduce": part, "barrier": 0.0, "broadcast": 1.0, "reduce": 1.0, "send_recv": 1.0}.get(operation, part)
    assert wire >= least * (1 - 1e-12)


def test_textbook_costs() -> None:
    on = Topology("t", (Level("a", "switch", 1.0),))
    wire = {
        (of, name): sum(stage[0] for stage in pricing.plan(symbolic.symbolic(of, name, 8), on).stages)
        for of, name in PRICED
    }
    expected = {
        ("all_reduce", "ring"): 1.75, ("all_reduce", "rabenseifner"): 1.75, ("all_reduce", "recursive_doubling"): 3.0,
        ("all_reduce", "one_shot"): 7.0, ("all_reduce", "two_shot"): 1.75, ("all_reduce", "nvls"): 1.125,
        ("all_reduce", "tree"): 2.0, ("all_gather", "bruck"): 0.875, ("all_to_all", "bruck"): 1.5,
        ("all_to_all", "direct"): 0.875, ("broadcast", "binomial"): 3.0, ("broadcast", "ring"): 1.0,
        ("reduce_scatter", "recursive_halving"): 0.875, ("reduce_scatter", "pat"): 0.875, ("barrier", "dissemination"): 0.0,
    }  # fmt: skip
    for what, value in expected.items():
        assert wire[what] == pytest.approx(value), what


def test_many_sizes_at_once_are_the_single_ones() -> None:
    sizes = [2**k for k in range(3, 34)]
    for system, ranks in (("h200", 8), ("trn1.32xlarge", 32), ("h100", 64)):
        many = collectives.seconds("all_reduce", sizes, topology(system, ranks), ranks)
        single = [collectives.time(None, "all_reduce", n, system=system, ranks=ranks).seconds for n in sizes]
        np.testing.assert_array_equal(many, single)
        assert many.tolist() == [collectives.duration("all_reduce", n, topology(system, ranks), ranks) for n in sizes]
    assert collectives.seconds("all_reduce", [0.0, 8.0], topology("h100"), 8)[0] == 0.0
    assert collectives.seconds("all_reduce", 8.0, topology("h100"), 1) == 0.0
    assert collectives.duration("all_reduce", 8.0, topology("h100"), 1) == 0.0
    assert collectives.duration("all_reduce", 0.0, topology("h100"), 8) == 0.0
    far = float(collectives.seconds("all_gather", 8.0, topology("h100"), 8, spread=64))
    assert collectives.duration("all_gather", 8.0, topology("h100"), 8, spread=64) == far


def test_groups_of_distant_ranks_use_the_links_between_them() -> None:
    on = topology("h100")
    near, far, mixed = (
        float(collectives.seconds("all_reduce", GIB, on, 8, spread=spread)) for spread in (None, 64, 32)
    )
    assert near < mixed < far
    assert far == float(collectives.seconds("all_reduce", GIB, Topology("t", on.levels[1:]), 8))
    torus = topology("tpu_v5e").spaced(16)
    assert torus.levels[0].axes == (16,)
    assert torus.levels[0].bandwidth == topology("tpu_v5e").levels[0].bandwidth / 2
    assert topology("tpu_v5e").spaced(4).levels[0].axes == (16, 4)
    with pytest.raises(ValueError, match="no path between ranks 4096 apart in tpu_v4"):
        topology("tpu_v4").spaced(4096)
    with pytest.raises(ValueError, match="stride must be at least 1"):
        on.spaced(0)


def test_rates_of_ones_own() -> None:
    for chip in ("h100_sxm", "trn1", "tpu_v5p", "mi300x", "l40s", "none such"):
        wide, narrow = (rated(chip, link, 10e9, 8) for link in (400e9, 100e9))
        for operation in ("all_reduce", "all_gather", "reduce_scatter", "all_to_all"):
            fast, slow = (float(collectives.seconds(operation, GIB, on, 8)) for on in (wide, narrow))
            assert 0 < fast < slow
            assert float(collectives.seconds(operation, GIB, wide, 64)) > fast
    assert [level.name for level in rated("h100_sxm", 1.0, 2.0, 1).levels] == ["InfiniBand or Ethernet"]


def test_bus_bandwidth_as_nccl_tests_counts() -> None:
    found = collectives.time("ring", "all_gather", GIB, system="h100", ranks=8)
    assert found.algbw == GIB / found.seconds
    assert found.busbw == found.algbw * 7 / 8
    assert found.steps == 7


def test_a_schedule_of_ones_own_is_priced_by_its_messages() -> None:
    swap = tuple(Transfer(0, a, 1 - a, 0, "own+received") for a in (0, 1))
    own = Schedule("swap", "all_reduce", 2, 1, swap)
    found = collectives.time(own, bytes=2**20, system="h100")
    named = collectives.time("recursive_doubling", "all_reduce", 2**20, system="h100", ranks=2)
    assert (found.seconds, found.steps, found.algorithm) == (named.seconds, 1, "swap")


def test_every_system_of_the_catalogue_has_a_topology_or_one_clear_error() -> None:
    from chipmeter.chips import systems

    known = 0
    for entry in systems():
        try:
            on = topology(entry.id)
        except ValueError as error:
            assert "bandwidth" in str(error) or "no network" in str(error)  # noqa: PT017
            continue
        known += 1
        if entry.chips > 1:
            assert collectives.time(None, "all_reduce", 2**20, system=on, ranks=2).seconds > 0
    assert known > 50


def test_unmeasured_fabrics_have_wider_intervals() -> None:
    def width(system: str, operation: str = "all_gather") -> float:
        found = collectives.time(None, operation, 2**28, system=system, ranks=8)
        return math.log(found.high / found.low)

    assert width("rubin") > width("b200") + 2 * tuning.TRANSFER - 1e-9
    assert collectives.time(None, "all_gather", 2**28, system="rubin", ranks=8).evidence.grade == "assumed"
    assert collectives.time(None, "all_gather", 2**28, system="b200", ranks=8).evidence.grade == "inferred"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ring", "all_reduce", 8, "h100", 1), "at least 2 ranks, got 1"),
        (("ring", "all_reduce", 8, "h100", 0), "at least 2 ranks, got 0"),
        (("ring", "all_reduce", 8, "h100", True), "at least 2 ranks, got True"),
        (("ring", "all_reduce", 0, "h100", 8), "bytes must be at least 1, got 0"),
        (("ring", "all_reduce", -5, "h100", 8), "bytes must be at least 1, got -5"),
        (("rong", "all_reduce", 8, "h100", 8), "unknown all_reduce algorithm 'rong'; did you mean 'ring'"),
        (("nvls", "all_gather", 8, "h100", 8), "unknown all_gather algorithm 'nvls'"),
        (("ring", "allreduce", 8, "h100", 8), "unknown collective 'allreduce'; did you mean 'all_reduce'"),
        (("ring", "all_reduce", 8, "p5.48xlrge", 8), "did you mean 'p5.48xlarge'"),
        (("ring", "all_reduce", 8, "tpu_v4", 5000), "no path between 5000 ranks of tpu_v4"),
    ],
)
def test_bad_input_is_one_clear_error(arguments: tuple[str, str, int, str, int], message: str) -> None:
    algorithm, operation, size, system, ranks = arguments
    with pytest.raises(ValueError, match=message):
        collectives.time(algorithm, operation, size, system=system, ranks=ranks)


def test_bytes_are_whole() -> None:
    with pytest.raises(TypeError, match="bytes must be an integer"):
        collectives.time("ring", "all_reduce", 1.5, system="h100", ranks=8)  # type: ignore[arg-type]


def test_a_schedule_keeps_its_operation_and_ranks() -> None:
    ring = collectives.schedule("all_reduce", "ring", 4)
    with pytest.raises(ValueError, match="is of all_reduce, not of all_gather"):
        collectives.time(ring, "all_gather", 8, system="h100")
    with pytest.raises(ValueError, match="is for 4 ranks, not for 8"):
        collectives.time(ring, bytes=8, system="h100", ranks=8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Level("a", "switch", 0.0), "bandwidth of a must be positive"),
        (lambda: Level("a", "switch", 1.0, -1), "positive number of ranks"),
        (lambda: Level("a", "torus", 1.0, 4), "needs axes"),
        (lambda: Topology("t", (Level("a", "switch", 1.0, 8), Level("b", "switch", 1.0, 4))), "must join more ranks"),
        (lambda: Topology("t", ()), "must join more ranks"),
        (lambda: tuning.Protocol(1.0, 1.0, 1.5), "reach above 1"),
    ],
)
def test_records_refuse_what_cannot_be(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
