"""Board power of an estimate is that of the model fitted on measured kernels, within idle and limit, and moves with the work."""

import pytest

from chipmeter.chips import chip
from chipmeter.cost import estimate
from chipmeter.cost.board import fitted_watts, gemm_power
from chipmeter.workloads import Attention, Formats, Gemm, Pointwise, operations

BF16 = Formats.of("bf16")


@pytest.mark.parametrize(
    # pJ per FLOP of large products, whole board, medians of the power tables of those boards
    ("name", "format", "joules"),
    [("h200", "bf16", 0.83e-12), ("b200", "bf16", 0.55e-12), ("b200", "nvfp4", 0.245e-12)],
)
def test_large_products_take_the_joules_that_boards_take(name: str, format: str, joules: float) -> None:
    e = estimate(operations([Gemm(8192, 8192, 8192)], "one"), name, format=format)
    assert e.joules is not None
    assert e.joules / e.flops == pytest.approx(joules, rel=0.25)


def test_decoding_draws_what_streaming_a_cache_draws() -> None:
    e = estimate("llama-3.1-70b", "h200", batch=64, context=2048)
    assert e.watts is not None
    assert 450 < e.watts / e.chips < 620  # 507 W streaming a cache, 603 W streaming weights
    assert e.grades["joules"] == "inferred"
    assert estimate("llama-3.1-70b", "h100", batch=64).grades["joules"] == "assumed"


def test_watts_stay_within_the_board() -> None:
    ops = {
        "large": Gemm(8192, 8192, 8192), "thin": Gemm(1, 1024, 1024), "rows": Pointwise(tokens=9, width=9, name="rows"),
        "look": Attention(batch=4, queries=1, keys=4096, heads=8, kv_heads=8, head_dim=128, value_dim=128),
    }  # fmt: skip
    watts = fitted_watts(ops, {"large": 1.6e-3, "thin": 8e-6, "look": 3e-5}, chip("h200"), BF16)
    assert set(watts) == {"large", "thin", "look"}
    assert 127 <= watts["thin"] < watts["large"] <= 700
    assert 127 <= watts["look"] <= 700


def test_chips_without_a_measured_relative_have_no_fitted_power() -> None:
    assert gemm_power(chip("trn2"), BF16) is None
    assert gemm_power(chip("tpu_v5e"), BF16) is None
    found = gemm_power(chip("h100"), BF16)
    assert found is not None
    assert found[1]
