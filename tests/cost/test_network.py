"""Times of transfers in whole programs are the prices of the collective schedules, one at a time and in arrays."""

from __future__ import annotations

import numpy as np
import pytest

from chipmeter.collectives import duration, rated
from chipmeter.cost.device import device
from chipmeter.cost.network import collective_seconds, collective_times

OPERATIONS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "send-recv")


@pytest.mark.parametrize("name", ["h100", "gb200", "trn2", "tpu_v5p", "mi300x", "l40s"])
@pytest.mark.parametrize("engine", [False, True])
def test_arrays_give_what_single_times_give(name: str, engine: bool, rng: np.random.Generator) -> None:
    chip = device(name)
    ranks = 2 ** rng.integers(0, 10, 60)
    spread = ranks * 2 ** rng.integers(0, 6, 60)
    size = np.append(2.0 ** rng.uniform(3, 35, 59), 0.0)
    for op in OPERATIONS:
        found = collective_times(chip, op, size, ranks, spread, engine=engine)
        one = [collective_seconds(chip, op, *way, engine=engine) for way in zip(size, ranks, spread, strict=True)]
        assert found.tolist() == one
        assert (found[(ranks == 1) | (size == 0)] == 0).all()


def test_the_price_is_that_of_the_schedule() -> None:
    chip = device("h100")
    on = rated(chip.id, chip.link, chip.network, chip.domain, 32)
    assert collective_seconds(chip, "all_gather", 1e8, 8, 32) == duration("all_gather", 1e8, on.spaced(4), 8)
    assert collective_seconds(chip, "all-reduce", 1e8, 7.6) == duration("all_reduce", 1e8, on, 8)


def test_a_serving_engine_adds_short_vectors_sooner() -> None:
    """One shot below 256 KiB on 8 GPUs of NVLink; NCCL's start alone takes longer. Nothing changes between machines."""
    chip = device("h100")
    assert collective_seconds(chip, "all-reduce", 2**14, 8, engine=True) < 0.5 * collective_seconds(
        chip, "all-reduce", 2**14, 8
    )
    for op, ranks in (("all-reduce", 16), ("all-gather", 8)):
        assert collective_seconds(chip, op, 2**14, ranks, engine=True) == collective_seconds(chip, op, 2**14, ranks)


def test_cards_on_pcie_meet_inside_their_machine() -> None:
    card = device("rtx_pro_6000")
    assert card.domain == 1
    # 24 and 1248 us were measured (NCCL 2.29.2, ai-dynamo/aiconfigurator@095f58a5)
    assert collective_seconds(card, "all-reduce", 512, 8) == pytest.approx(24e-6, rel=0.2)
    assert collective_seconds(card, "all-reduce", 2**24, 8) == pytest.approx(1248e-6, rel=0.2)


def test_an_unknown_operation_is_refused() -> None:
    with pytest.raises(ValueError, match="all_gather"):
        collective_seconds(device("h100"), "all-gathr", 1.0, 8)
