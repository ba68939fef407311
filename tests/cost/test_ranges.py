"""Results carry low, expected and high: wider where nothing was measured, combined in quadrature, with known break-evens."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipmeter.chips import Price, chip, system
from chipmeter.cost import Range, break_even, estimate, offers, ownership
from chipmeter.cost.constants import book
from chipmeter.cost.site import facility_joules

ranges = st.tuples(*[st.floats(1e-3, 1e3)] * 3).map(lambda ends: Range(*sorted(ends)))


@given(ranges, ranges)
def test_independent_doubts_add_in_quadrature(a: Range, b: Range) -> None:
    both = a * b
    assert both.expected == a.expected * b.expected
    for side in (0, 1):
        assert abs(both.log[side]) == pytest.approx(math.hypot(a.log[side], b.log[side]), abs=1e-9)
    assert (1.0 / a).low == pytest.approx(1.0 / a.high)
    assert a / 2.0 == a * 0.5


def test_order_is_checked() -> None:
    with pytest.raises(ValueError, match=r"must ascend from 0, got 2.0, 1.0, 3.0"):
        Range(2.0, 1.0, 3.0)


@pytest.mark.parametrize(("phase", "sizes"), [("decode", {"batch": 8}), ("train", {"batch": 8, "tensor_parallel": 1})])
def test_unseen_chips_and_models_are_flagged_and_less_sure(phase: str, sizes: dict[str, int]) -> None:
    def spread(model: str, on: str, **more: str) -> tuple[float, bool]:
        e = estimate(model, on, phase=phase, **sizes, **more)  # type: ignore[arg-type]
        return e.seconds_range.high / e.seconds_range.low, e.outside

    known, flagged = spread("llama-3.1-70b", "h100")
    assert not flagged
    for model, on, format in (
        ("llama-3.1-70b", "rubin", "fp8"), ("llama-3.1-70b", "trn3", "mxfp8"), ("llama-3.1-70b", "trn4", "mxfp8"),
        ("qwen2.5-72b", "h100", "bf16"),
    ):  # fmt: skip
        wide, outside = spread(model, on, format=format)
        assert outside, (model, on)
        assert wide > known, (model, on)


def test_a_figure_that_is_assumed_widens_the_time() -> None:
    found = book("serving")["serving"]["neuron"]
    assert found.transfer == 0.7
    assert estimate("llama-3.1-70b", "trn4", format="mxfp8").seconds_range.log[1] > math.hypot(0.19, 0.7)


def test_energy_and_dollars_have_ends() -> None:
    e = estimate(
        "llama-3.1-70b", system="p5en.48xlarge", batch=32, price="capacity-block", date="2026-01", format="fp8"
    )
    assert e.joules_range is not None
    assert e.facility_range is not None
    assert e.dollars_range is not None
    assert e.joules_range.low < e.joules_range.expected == e.joules <= e.joules_range.high
    assert e.facility_range.expected > 1.2 * e.joules_range.expected
    assert e.dollars_range.expected == pytest.approx(e.seconds / 3600 * e.chips * 41.61 / 8)
    assert e.price is not None
    assert e.price.date == "2026-01"
    half = estimate("llama-3.1-70b", "h200", batch=32, format="fp8", pue=1.0).facility_range
    assert half is not None
    assert half.expected < e.facility_range.expected


def test_boards_draw_no_more_than_their_limit() -> None:
    e = estimate("llama-3.1-8b", "h100", phase="train", batch=4, seq=2048)
    assert e.joules_range is not None
    assert e.joules_range.high <= e.chips * 700.0 * e.seconds_range.high * (1 + 1e-9)


def test_joules_at_the_meter_by_hand() -> None:
    found = facility_joules(Range(600, 600, 600), Range(2, 2, 2), 1, pue=1.5)
    assert found.expected == pytest.approx((600 + 2 * (260 + 50)) * 1.5)


def test_break_even_price_saves_what_was_asked() -> None:
    new = estimate("llama-3.1-70b", "trn3", batch=16, format="mxfp8")
    old = estimate("llama-3.1-70b", system="p5en.48xlarge", batch=16, format="fp8", price="capacity-block")
    even = break_even(new, old, 0.5)
    assert even.dollars_per_chip_hour is not None
    paid = even.dollars_per_chip_hour.expected
    price = Price(kind="on-demand", dollars_per_hour=paid, chips=1, grade="assumed", source="break-even")
    again = estimate("llama-3.1-70b", "trn3", batch=16, format="mxfp8", price=price)
    assert old.dollars_per_million_units is not None
    assert again.dollars_per_million_units == pytest.approx(0.5 * old.dollars_per_million_units)
    assert f"trn3 saves 50% of the dollars if it rents below ${paid:.2f} per chip-hour" in str(even)
    assert even.watts_per_chip is not None
    unknown = break_even(old, new)
    assert unknown.dollars_per_chip_hour is unknown.watts_per_chip is None
    assert "nothing to beat" in str(unknown)
    with pytest.raises(ValueError, match="saving must lie from 0 to below 1, got 1"):
        break_even(new, old, 1.0)
    with pytest.raises(ValueError, match="compare like with like"):
        break_even(new, estimate("minilm", "h100"))


def test_prices_by_date_and_region() -> None:
    h200, box = chip("h200"), system("p5en.48xlarge")
    now, then = offers(h200, box, "capacity-block"), offers(h200, box, "capacity-block", date="2026-01")
    assert [price.dollars_per_hour for price in then] == [41.61]
    assert now
    assert now[0].dollars_per_hour != 41.61
    assert offers(h200, box, "capacity-block", date="1999") == ()
    regional = offers(chip("h100"), region="us-east")
    assert regional
    assert all("us-east" in (price.region or "") for price in regional)
    e = estimate("llama-3.1-8b", "h200", date="1999")
    assert e.dollars is e.dollars_range is None
    assert "no on-demand price of h200 of 1999 is known" in e.assumptions


def test_owning_by_hand() -> None:
    one = ownership(system("gb200_nvl72"), utilisation=0.9, pue=1.25, dollars_per_kwh=0.0862, years=5)
    capital, power = 3.0e6 / 72 / (5 * 8760 * 0.9), 132 / 72 * 1.25 * 0.0862 / 0.9
    assert one.capital.expected == pytest.approx(capital)
    assert one.power.expected == pytest.approx(power)
    assert one.total.expected == pytest.approx(capital * 1.275 + power)
    rented = ownership(system("dgx_h100"), colocated=True, utilisation=1.0)
    assert rented.power.expected == pytest.approx(180 * 1.73 * 12 / 8760)
    e = estimate("llama-3.1-8b", system="dgx_h100", price="owned")
    assert e.price is not None
    assert e.price.kind == "owned"
    assert e.dollars_range is not None
    assert e.dollars_range.low < e.dollars_range.expected


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"utilisation": 0.0}, r"utilisation must lie in \(0, 1\], got 0.0"),
        ({"pue": -1.0}, "pue must be positive, got -1.0"),
        ({"pue": float("inf")}, "pue must be positive, got inf"),
        ({"years": 0.0}, "years must be positive"),
        ({"system": "vr_nvl72"}, "no purchase price of vr_nvl72 is known: give capex in dollars"),
    ],
)
def test_owning_refuses(arguments: dict[str, object], problem: str) -> None:
    asked = {"system": "dgx_h100"} | arguments
    with pytest.raises(ValueError, match=problem):
        ownership(system(str(asked.pop("system"))), **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize("pue", [float("nan"), float("inf"), 0.0])
def test_an_estimate_names_the_power_of_a_site_that_cannot_be(pue: float) -> None:
    with pytest.raises(ValueError, match=f"pue must be positive, got {pue}"):
        estimate("llama-3.1-8b", "h100", pue=pue)
    with pytest.raises(ValueError, match=f"pue must be positive, got {pue}"):
        estimate("llama-3.1-8b", "trn2", pue=pue)  # whose power is not known
