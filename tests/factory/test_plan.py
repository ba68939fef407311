"""Plans follow prices, limits and rules of data; what is unknown is left out with the price at which it would enter."""

from __future__ import annotations

import time
from typing import Any

import pytest

from chipmeter.factory import FactoryPlan, plan_factory
from chipmeter.factory.read import problem_from


def plan(data: dict[str, Any]) -> FactoryPlan:
    return plan_factory(problem_from(data))


def test_a_plan_is_optimal_and_explains_itself(data: dict[str, Any]) -> None:
    found = plan(data)
    assert found.optimal
    assert {p.workload for p in found.placements} == {"chat", "tune"}
    for workload in ("chat", "tune"):
        assert sum(p.share for p in found.placements if p.workload == workload) == pytest.approx(1)
    assert found.second is not None
    assert found.second.dollars >= found.dollars
    assert len(found.by_month["plan"]) == 24
    assert found.by_month["plan"] == sorted(found.by_month["plan"])
    assert any("busy 70%" in note for note in found.notes)


def test_dearer_systems_and_more_work_never_make_it_cheaper(data: dict[str, Any]) -> None:
    base = plan(data).dollars
    data["workloads"][0]["requests_per_second"] *= 2
    more = plan(data).dollars
    assert more >= base
    data["systems"][0]["capex"] = 1e9
    assert plan(data).dollars >= more


def test_data_that_must_stay_is_served_on_owned_systems(data: dict[str, Any]) -> None:
    data["systems"][0]["capex"] = 5e7
    free = {p.option for p in plan(data).placements if p.workload == "chat"}
    data["workloads"][0]["on_premises"] = True
    kept = {p.option for p in plan(data).placements if p.workload == "chat"}
    assert not any("own" in option for option in free)
    assert kept == {"dgx_h200 (own)"}


def test_an_unpriced_candidate_gets_the_price_at_which_it_would_enter(data: dict[str, Any]) -> None:
    data["systems"].append({"system": "trn3_ultraserver_gen1", "tenure": "rent"})
    found = plan(data)
    name = "trn3_ultraserver_gen1 (rent, on-demand)"
    worth = found.break_even[name]
    assert any(name in note and "give dollars_per_hour" in note for note in found.notes)
    data["systems"][-1]["dollars_per_hour"] = 1000 * worth
    assert not any(p.option == name for p in plan(data).placements)
    data["systems"][-1]["dollars_per_hour"] = worth / 1000
    assert any(p.option == name for p in plan(data).placements)


def test_limits_that_cannot_be_kept_are_named_with_the_least_needed(data: dict[str, Any]) -> None:
    data["systems"] = data["systems"][:1]
    data["limits"] = {"power": 1000.0, "capex": 1e9}
    found = plan(data)
    assert not found.feasible
    (conflict,) = found.conflicts
    assert conflict.startswith("power: 1,000 W allowed, ")


def test_a_workload_that_runs_nowhere_says_why(data: dict[str, Any]) -> None:
    data["workloads"][0]["formats"] = ["nvfp4"]
    found = plan(data)
    assert not found.feasible
    assert any("chat runs nowhere" in note and "h200 has none of nvfp4" in note for note in found.notes)
    data["workloads"][0] |= {"formats": ["bf16"], "tpot": 1e-4}
    assert any("between tokens" in note for note in plan(data).notes)


def test_too_few_systems(data: dict[str, Any]) -> None:
    data["systems"] = [{"system": "dgx_h200", "tenure": "own", "at_most": 1}]
    data["workloads"][0]["requests_per_second"] = 5000
    assert any("too few" in note for note in plan(data).notes)


def test_unknown_names(data: dict[str, Any]) -> None:
    data["systems"][0]["system"] = "dgx_h2000"
    with pytest.raises(ValueError, match="did you mean 'dgx_h200'"):
        plan(data)
    data["systems"][0]["system"] = "dgx_h200"
    data["workloads"][0]["model"] = "llama-3.1-9b"
    with pytest.raises(ValueError, match="unknown model"):
        plan(data)


def test_twenty_workloads_on_twenty_systems_end(data: dict[str, Any]) -> None:
    names = (
        ["dgx_h100", "dgx_h200", "dgx_b200", "gb200_nvl72", "gb300_nvl72"],
        [
            "p4d.24xlarge",
            "p4de.24xlarge",
            "p5.48xlarge",
            "p5en.48xlarge",
            "p6-b200.48xlarge",
            "p6-b300.48xlarge",
            "gcp_a3-highgpu-8g",
            "gcp_a3-ultragpu-8g",
            "azure_ND96isr_H100_v5",
            "oci_BM.GPU.B200.8",
            "coreweave_hgx_b200",
            "lambda_8x_h100",
            "nebius_8x_h200",
            "hyperstack_8x_h100",
            "digitalocean_8x_mi300x",
        ],
    )
    chat, tune = data["workloads"]
    data["workloads"] = [
        {**chat, "name": f"chat{i}", "requests_per_second": 10 + 7 * i, "tpot": 0.02 + 0.01 * i} for i in range(14)
    ] + [{**tune, "name": f"tune{i}", "tokens": 1e10 * (i + 1)} for i in range(6)]
    data["systems"] = [
        {"system": s, "tenure": t} for t, group in zip(("own", "rent"), names, strict=True) for s in group
    ]
    data["limits"] = {"power": 5e5, "capex": 2e7}
    start = time.perf_counter()
    found = plan(data)
    print(f"{time.perf_counter() - start:.1f} s, gap {found.gap:.1e}")
    assert found.feasible
    assert found.gap < 0.02
