"""Deployments keep the limits, fit the memory and are ranked; what cannot be served says why."""

from __future__ import annotations

import pytest

import chipmeter as cm
from chipmeter.chips import Price
from chipmeter.cost import decode_step, first_token
from chipmeter.cost.serving import weight_bytes
from chipmeter.cost.shape import Shape
from chipmeter.planning import best_serving
from chipmeter.workloads import preset

SHAPE = Shape.of(preset("llama-3.1-70b"))
PRICE = Price(kind="on-demand", dollars_per_hour=2.0, chips=1, grade="assumed", source="a test")
ASKED = {"chip": "h100", "chips": 8, "prompt": 1024, "answer": 512, "format": ("bf16", "fp8"), "price": PRICE}


def test_limits_hold_and_the_order_is_that_of_the_objective() -> None:
    found = best_serving(SHAPE, tpot=0.03, ttft=1.0, **ASKED)
    for one in found.deployments:
        assert one.tpot.seconds <= 0.03
        assert one.ttft.seconds <= 1.0
        assert one.load.sequences <= one.room
        assert weight_bytes(SHAPE, one.load.format) <= one.load.chips * 80e9
        assert one.tpot == decode_step(SHAPE, "h100", one.load)
        assert one.ttft == first_token(SHAPE, "h100", one.load)
        assert one.dollars_per_million_tokens == pytest.approx(2.0 * 8 / 3600 / one.tokens_per_second * 1e6)
    rates = [one.tokens_per_second for one in found.deployments]
    assert rates == sorted(rates, reverse=True)
    quick = best_serving(SHAPE, objective="tpot", **ASKED)
    assert quick.best.tpot.seconds == min(one.tpot.seconds for one in quick.deployments)
    assert quick.best.load.sequences == 1


def test_looser_limits_never_serve_less() -> None:
    rates = [best_serving(SHAPE, tpot=limit, **ASKED).best.tokens_per_second for limit in (0.02, 0.03, 0.06, 1.0)]
    assert rates == sorted(rates)


def test_experts_may_be_split_over_chips() -> None:
    found = cm.best_serving("deepseek-v3", chip="h200", chips=16, prompt=1024, answer=512, format="fp8", tpot=0.1)
    assert any(one.load.split_requests and "EP 8" in one.layout for one in found.deployments)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"chips": 1, "format": "bf16"},
            "no deployment serves llama3.1-70b on 1 x h100_sxm as asked: 1 break 'memory'",
        ),
        ({"tpot": 1e-4}, "break 'limits on time'"),
        ({"tpot": -1.0}, "tpot must be positive, got -1.0"),
        ({"prompt": 0}, "prompt must be an integer of 1 or more, got 0"),
        ({"objective": "speed"}, "objective must be one of tokens_per_second, tpot, ttft, got 'speed'"),
        ({"format": "nvfp4"}, "h100_sxm has no nvfp4 matrix rate"),
    ],
)
def test_what_cannot_be_served_says_why(change: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        best_serving(SHAPE, **{**ASKED, **change})  # type: ignore[arg-type]
