"""Estimates are never faster than the roofline, monotone in bandwidth, rate and price, and count the FLOPs of the closed forms."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipmeter.chips import Chip, Price, chip
from chipmeter.cost import estimate
from chipmeter.cost.whole import roofline
from chipmeter.evidence import Figure
from chipmeter.workloads import Architecture, Attention, Formats, Gemm, preset, read_config, workload

CHIPS = ["a100_80", "h100", "h200", "b200", "gb300", "mi300x", "rubin", "tpu_v5p", "tpu_v6e", "trn1", "trn2", "trn3"]


@st.composite
def decoders(draw: st.DrawFn) -> tuple[Architecture, dict[str, int]]:
    d = draw(st.sampled_from([32, 64, 128]))
    kv = draw(st.integers(1, 8))
    s = {
        "heads": kv * draw(st.integers(1, 8)), "kv": kv, "d": d, "hidden": 64 * draw(st.integers(1, 64)),
        "layers": draw(st.integers(1, 12)), "ffn": 32 * draw(st.integers(1, 256)), "vocab": draw(st.integers(100, 50_000)),
    }  # fmt: skip
    config = {
        "model_type": "llama", "hidden_size": s["hidden"], "num_hidden_layers": s["layers"], "head_dim": d,
        "num_attention_heads": s["heads"], "num_key_value_heads": kv, "intermediate_size": s["ffn"],
        "vocab_size": s["vocab"],
    }  # fmt: skip
    return read_config(config), s


@given(decoders(), st.sampled_from(["prefill", "train"]), st.integers(1, 8), st.integers(1, 300))
def test_flops_of_the_closed_forms(made: tuple[Architecture, dict[str, int]], phase: str, batch: int, seq: int) -> None:
    model, s = made
    step = workload(model, phase, batch=batch, seq=seq)
    passes = 3 if phase == "train" else 1
    per_token = 2 * s["hidden"] * s["d"] * (2 * s["heads"] + 2 * s["kv"]) + 6 * s["hidden"] * s["ffn"]
    logits = 2 * s["hidden"] * s["vocab"] * (seq if phase == "train" else 1)
    gemms = sum(op.flops for op in step.ops if isinstance(op, Gemm))
    assert gemms == passes * batch * (seq * s["layers"] * per_token + logits)
    core = 4 * s["layers"] * s["heads"] * s["d"] * batch * seq * (seq + 1) // 2
    assert sum(op.flops for op in step.ops if isinstance(op, Attention)) == (3.5 if phase == "train" else 1) * core


def faster(record: Chip, field: str, by: float) -> Chip:
    def more(figure: Figure) -> Figure:
        return msgspec.structs.replace(figure, value=figure.value * by)

    changed = (
        {name: more(rate) for name, rate in record.peak.items()} if field == "peak" else more(getattr(record, field))
    )
    return msgspec.structs.replace(record, **{field: changed})


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(decoders().map(lambda made: made[0]), st.sampled_from(["llama-3.1-8b", "mixtral-8x7b", "gpt-oss-20b"]).map(preset)),
    st.sampled_from(CHIPS), st.sampled_from(["prefill", "decode", "train"]), st.integers(1, 100),
    st.sampled_from(["peak", "memory_bandwidth"]), st.floats(1.0, 8.0),
)  # fmt: skip
def test_never_faster_than_the_roofline_and_no_slower_on_a_faster_chip(
    model: Architecture, name: str, phase: str, batch: int, field: str, by: float
) -> None:
    record = chip(name)
    sizes: dict[str, Any] = {"context": 256} if phase == "decode" else {"seq": 256}
    sizes["format"] = "bf16" if "bf16" in record.peak else "fp8"
    e = estimate(model, record, phase=phase, batch=batch, tensor_parallel=1, **sizes)
    formats = Formats.of(sizes["format"])
    step = workload(model, phase, batch=batch, **{key: value for key, value in sizes.items() if key != "format"})
    assert e.seconds_range.low >= roofline(step, record, formats) * (1 - 1e-9)
    assert e.seconds_range.low <= e.seconds == e.seconds_range.expected <= e.seconds_range.high
    assert e.mfu <= 1 + 1e-9
    better = estimate(model, faster(record, field, by), phase=phase, batch=batch, tensor_parallel=1, **sizes)
    assert better.seconds <= e.seconds * (1 + 1e-9)


@given(st.floats(0.01, 100.0), st.floats(1.0, 10.0))
def test_dollars_rise_with_the_price(hourly: float, by: float) -> None:
    def cost(paid: float) -> float:
        price = Price(kind="on-demand", dollars_per_hour=paid, chips=1, grade="assumed", source="made up")
        e = estimate("llama-3.2-1b", "h100", price=price)
        assert e.dollars is not None
        return e.dollars

    assert cost(hourly) <= cost(hourly * by)
    assert cost(hourly * by) == pytest.approx(cost(hourly) * by)
