"""Establishes that prices per system and per chip agree, that the cheapest is the cheapest, and that none is invented."""

import pytest

from chipmeter.chips import Chip, System, cheapest_price, chip, chips, prices, system, systems


def test_price_per_chip_divides_by_the_chips_it_pays_for():
    p5 = next(price for price in system("p5.48xlarge").prices if price.kind == "on-demand")
    assert (p5.dollars_per_hour, p5.chips, p5.dollars_per_chip_hour) == (55.04, 8, 6.88)


def test_price_for_one_chip_of_a_system_is_not_divided():
    azure = next(price for price in system("azure_ND96isr_H100_v5").prices if price.kind == "reserved-3y")
    assert (azure.dollars_per_hour, azure.chips, azure.dollars_per_chip_hour) == (5.395, 1, 5.395)


def test_a_price_never_pays_for_more_chips_than_its_system_has():
    for entry in systems():
        for price in (*entry.prices, *entry.history):
            assert 1 <= price.chips <= entry.chips, entry.id


def test_prices_per_chip_hour_are_of_a_plausible_size():
    for entry in systems():
        for price in (*entry.prices, *entry.history):
            assert 0.05 < price.dollars_per_chip_hour < 40, (entry.id, price)


def test_prices_lists_those_in_force_for_one_chip_only():
    found = prices("trainium1")
    assert {entry.chip for entry, _ in found} == {"trn1"}
    assert {entry.id for entry, _ in found} == {"trn1.2xlarge", "trn1.32xlarge", "trn1n.32xlarge"}
    assert all(price in entry.prices and price not in entry.history for entry, price in found)


@pytest.mark.parametrize("kinds", [("on-demand",), ("on-demand", "capacity-block"), ("spot",), ("reserved-3y",), ()])
def test_cheapest_price_is_the_least_of_the_kinds_asked_for(kinds):
    for record in chips():
        offers = [price.dollars_per_chip_hour for _, price in prices(record.id) if price.kind in kinds]
        found = cheapest_price(record, kinds)
        assert (found and found.dollars_per_chip_hour) == (min(offers) if offers else None)


def test_cheapest_price_takes_one_kind_as_a_string():
    assert cheapest_price("trn2", "capacity-block").dollars_per_hour in (2.235, 35.7608)


def test_cheapest_price_takes_an_iterator_of_kinds():
    assert cheapest_price("h100", iter(["on-demand"])) == cheapest_price("h100")


def test_no_price_is_none():
    for name in ("trn3", "trn4", "rubin", "tpu_v7", "gh200"):
        assert cheapest_price(name) is None
    assert cheapest_price("trn2") is None  # rented in capacity blocks, not on demand


def test_unknown_kind_of_price_is_refused():
    with pytest.raises(ValueError, match="unknown price kind 'on_demand'; did you mean 'on-demand'"):
        cheapest_price("h100", ["on_demand"])


def test_a_chip_outside_the_catalogue_has_no_price():
    fields = {name: getattr(chip("h100"), name) for name in Chip.__struct_fields__}
    assert cheapest_price(Chip(**{**fields, "id": "mine"})) is None


def test_past_prices_are_kept_apart():
    p5en: System = system("p5en.48xlarge")
    assert [price.dollars_per_hour for price in p5en.history if price.date == "2026-01"] == [41.61]
    assert [price.dollars_per_hour for price in p5en.prices if price.kind == "capacity-block"] == [63.158]


def test_measured_power_is_below_the_nameplate_and_the_provisioned_above():
    dgx = system("dgx_h100")
    assert dgx.power_measured.value < dgx.power.value < system("market_h100").power_provisioned.value
