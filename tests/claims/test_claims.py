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
    assert value("trainium3-compute", "BF16") == pytest.approx(671 / 667)
    assert value("trainium3-compute", "memory bandwidth") == pytest.approx(705.6 / 185.6)


def test_the_break_even_price_of_trainium3() -> None:
    january = 41.61 / 8 / 1.979
    assert value("trainium-half-cost", "halves h200 (2026-01)") == pytest.approx(0.5 * january * 2.517, rel=1e-4)
    assert value("trainium-half-cost", "saving of Trainium2 against h200 (p5en.48xlarge, 2026-01)") == pytest.approx(
        100 * (1 - 2.23505 / 1.299 / january), rel=1e-3
    )


def test_powers_at_which_the_energy_claims_would_hold() -> None:
    assert value("trainium3-energy", "40 % less energy: most power") == pytest.approx(0.6 * 2517 / 1299)
    assert value("trainium4-energy", "memory bandwidth") == pytest.approx(2.0)


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
