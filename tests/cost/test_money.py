"""Prices are those of the kind asked for, the lowest in force, or none; never another kind's."""

import pytest

from chipmeter.chips import Price, System, chip, prices, system
from chipmeter.cost import dollars, find_price


def offer(kind: str, dollars_per_hour: float) -> Price:
    return Price(kind=kind, dollars_per_hour=dollars_per_hour, chips=8, grade="inferred", source="made up")  # type: ignore[arg-type]


BOX = System(
    id="box",
    name="Box",
    kind="cloud",
    chip="h100_sxm",
    chips=8,
    prices=(offer("on-demand", 40.0), offer("on-demand", 32.0), offer("spot", 8.0)),
)


def test_system_price_is_its_lowest_of_the_kind() -> None:
    found = find_price(chip("h100"), BOX)
    assert found is not None
    assert found.dollars_per_chip_hour == 4.0
    assert find_price(chip("h100"), BOX, "spot") == offer("spot", 8.0)


def test_missing_kind_is_not_replaced() -> None:
    assert find_price(chip("h100"), BOX, "reserved-3y") is None
    assert find_price(chip("rubin")) is None


def test_chip_price_is_the_lowest_of_all_systems() -> None:
    found = find_price(chip("h100"))
    assert found is not None
    offers = [price.dollars_per_chip_hour for _, price in prices("h100") if price.kind == "on-demand"]
    assert found.dollars_per_chip_hour == min(offers)


def test_unknown_kind() -> None:
    with pytest.raises(ValueError, match="unknown price kind 'lease'"):
        find_price(chip("h100"), BOX, "lease")  # type: ignore[arg-type]


def test_dollars() -> None:
    assert dollars(1800.0, 3, offer("on-demand", 16.0)) == 3.0


def test_a_system_of_the_catalogue() -> None:
    found = find_price(chip("h100"), system("p5.48xlarge"))
    assert found is not None
    assert found.chips == 8
