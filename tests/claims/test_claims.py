"""Claims are recomputed from the catalogue's figures, match hand computations, and follow the figures when they change."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from chipmeter import chips
from chipmeter.chips import System
from chipmeter.claims import Finding, check, checks
from chipmeter.claims import cost as cost_claims
from chipmeter.evidence import GRADES

EVERY = checks()


def value(name: str, what: str) -> float:
    (found,) = [f for f in check(name).findings if what in f.what]
    return found.value


@pytest.mark.parametrize("one", EVERY, ids=lambda c: c.claim.id)
def test_every_claim_says_what_who_when_where_and_why(one: object) -> None:
    checked = check(one.claim.id)  # type: ignore[attr-defined]
    assert checked == one
    assert checked.verdict in ("holds", "holds if", "not reproducible")
    assert checked.findings
    assert checked.assumptions
    assert checked.claim.unstated
    assert all((checked.claim.said, checked.claim.who, checked.claim.date, checked.claim.source, checked.why))
    for finding in checked.findings:
        assert math.isfinite(finding.value)
        assert finding.value > 0
        assert finding.grade in GRADES


def test_trainium3_is_four_times_only_as_a_larger_system_in_another_format() -> None:
    assert value("trainium3-compute", "UltraServer against UltraServer") == pytest.approx(144 * 2517 / (64 * 1299))
    assert value("trainium3-compute", "chip against chip, BF16") == pytest.approx(671 / 667)
    assert value("trainium3-compute", "UltraServer memory bandwidth") == pytest.approx(705.6 / 185.6)


def test_the_break_even_price_of_trainium3() -> None:
    january = 41.61 / 8 / 1.979
    assert value("trainium-half-cost", "halves h200 (2026-01) per peak, MXFP8") == pytest.approx(
        0.5 * january * 2.517, rel=1e-4
    )
    assert value(
        "trainium-half-cost", "saving of Trainium2 against h200 (p5en.48xlarge, 2026-01) per peak FP8"
    ) == pytest.approx(100 * (1 - 2.23505 / 1.299 / january), rel=1e-3)


def test_powers_at_which_the_energy_claims_would_hold() -> None:
    assert value("trainium3-energy", "40 % less energy: most power of Trainium3 over Trainium2, work") == pytest.approx(
        0.6 * 2517 / 1299
    )
    assert value("trainium4-energy", "bound by memory bandwidth") == pytest.approx(2.0)


def test_fleets() -> None:
    assert value("million-chips", "rent") == pytest.approx(1e6 * 2.23505 * 8760 / 1e9)
    assert value("ai-factory", "capital per GPU-hour") == pytest.approx(3.0e6 / 72 / (5 * 8760 * 0.9))
    assert value("gemini-tpu", "tpu_v7 at 55%") == pytest.approx(6e24 / (0.55 * 2307e12) / 3600 / 1e6)


def test_a_price_that_changes_changes_the_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    real, before = chips.system, check("trainium-half-cost").findings[0]

    def dearer(name: str) -> System:
        found = real(name)
        twice = tuple(
            type(p)(kind=p.kind, dollars_per_hour=2 * p.dollars_per_hour, chips=p.chips, grade=p.grade, source=p.source)
            for p in found.prices
        )
        return System(id=found.id, name=found.name, kind=found.kind, chip=found.chip, chips=found.chips, prices=twice) if (
            name == "trn2.48xlarge"
        ) else found  # fmt: skip

    monkeypatch.setattr(chips, "system", dearer)
    findings, _, _, _ = cost_claims.half_cost()
    assert isinstance(findings[0], Finding)
    assert findings[0].value == pytest.approx(2 * before.value)


def test_an_unknown_claim_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'trainium3-compute'"):
        check("trainium3-compte")


def test_the_docs_page_is_what_the_figures_give() -> None:
    page = (Path(__file__).parents[2] / "docs" / "claims.md").read_text()
    for one in EVERY:
        assert one.why in page


def test_every_reading_of_the_specification_is_there() -> None:
    assert value("trainium3-compute", "UltraServer, BF16") == pytest.approx(2.26, abs=0.01)
    assert value("trainium3-compute", "memory capacity") == pytest.approx(20736 / 6144)
    assert value("trainium3-compute", "MXFP4 over MXFP8") == 1.0
    half = "trainium-half-cost"
    assert value(half, "halves h200 (2026-01) per peak, BF16") == pytest.approx(1.76, abs=0.01)
    assert value(half, "h200 (p5en.48xlarge, capacity-block, 2026-01)'s for half") == pytest.approx(1.31, abs=0.01)
    assert value(half, "h100 (p5.48xlarge, on-demand, 2026-09-19)'s for half") == pytest.approx(0.99, abs=0.01)
    assert value(half, "b200 (p6-b200.48xlarge, capacity-block, 2026-06)'s for half") == pytest.approx(1.50, abs=0.01)
    assert value(half, "b200 capacity block per peak NVFP4") == pytest.approx(1.37, abs=0.01)
    assert value(half, "GLM-5.3-Flash") == pytest.approx(15.71 / 7.44, rel=0.01)
    assert value("trainium3-energy", "three times the throughput") == pytest.approx(1.8)
    assert value("trainium3-energy", "power of the UltraServer") == pytest.approx(1.09, abs=0.01)
    assert value("trainium3-energy", "peak per watt") == pytest.approx(0.97, abs=0.01)
    assert value("trainium4-energy", "over Rubin, memory bandwidth") == pytest.approx(0.89, abs=0.01)
    assert value("ai-factory", "electricity per year") == pytest.approx(5.27, abs=0.02)
    assert 1.54 < value("ai-factory", "all costs per GPU-hour") < 1.73


def test_break_even_prices_of_work_follow_the_cost_model() -> None:
    decode, frame = (
        value("trainium-half-cost", "halves h200 (2026-01) on decoding"),
        value("decart-half-cost", "2026-01) per frame"),
    )
    assert 0.3 < decode < 41.61 / 8
    assert 0.5 < frame < 41.61 / 8
    assert value("decart-half-cost", "four times the frames of one h200") > 1
