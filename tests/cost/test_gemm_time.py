"""Times of matrix products and attention obey physics for any shape: no faster than peak, bandwidth, or the power limit."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipmeter.chips import chip as chip_of
from chipmeter.cost import Efficiency, op_time
from chipmeter.cost.attention import decode_seconds, prefill_seconds
from chipmeter.cost.constants import constants
from chipmeter.cost.device import device
from chipmeter.cost.gemm import WIDTH, gemm_seconds, traffic
from chipmeter.workloads import Attention, Formats, Gemm

CASES = [
    ("a100_80", "bf16"), ("h100_sxm", "bf16"), ("h100_sxm", "fp8"), ("h100_sxm", "fp8_block"), ("b200", "nvfp4"),
    ("h200", "bf16"), ("gb200", "fp8"), ("mi300x", "bf16"), ("l40s", "fp8"), ("rubin", "nvfp4"),
]  # fmt: skip
sizes = st.integers(1, 2**17)


def variant(format: str) -> tuple[str, ...]:
    return (format, "fp8", "bf16")


@pytest.mark.parametrize(("chip", "format"), CASES)
@given(m=sizes, n=sizes, k=sizes)
def test_no_product_beats_the_roofline(chip: str, format: str, m: int, n: int, k: int) -> None:
    on = device(chip)
    found, _ = constants(chip, "gemm", *variant(format))
    a, b, c = (np.array([float(x)]) for x in (m, n, k))
    time = gemm_seconds(found.values, on, format, a, b, c).total[0]
    assert time >= 2.0 * m * n * k / on.rate(format)
    assert time >= traffic(a, b, c, WIDTH[format])[0] / on.bandwidth


@pytest.mark.parametrize(("chip", "format"), CASES)
@given(m=sizes, n=sizes, k=sizes, more=st.floats(1.0, 8.0))
def test_a_faster_chip_is_never_slower(chip: str, format: str, m: int, n: int, k: int, more: float) -> None:
    on = device(chip)
    found, _ = constants(chip, "gemm", *variant(format))
    shape = tuple(np.array([float(x)]) for x in (m, n, k))
    wide = msgspec.structs.replace(on, bandwidth=on.bandwidth * more)
    fast = msgspec.structs.replace(on, peak={name: rate * more for name, rate in on.peak.items()})
    fed = msgspec.structs.replace(on, limit=None)
    base = gemm_seconds(found.values, on, format, *shape).total[0]
    for better in (wide, fast, fed):
        assert gemm_seconds(found.values, better, format, *shape).total[0] <= base * (1 + 1e-12)


@given(
    batch=st.integers(1, 512), group=st.integers(1, 64), kv_heads=st.integers(1, 64), keys=st.integers(1, 2**17),
    more=st.floats(1.0, 8.0),
)  # fmt: skip
def test_attention_obeys_flops_and_bandwidth(batch: int, group: int, kv_heads: int, keys: int, more: float) -> None:
    on = device("h100")
    b, h, g, d, s = (np.array([float(x)]) for x in (batch, group * kv_heads, kv_heads, 128, keys))
    decode, _ = constants("h100_sxm", "attention", "decode_bf16_bf16")
    prefill, _ = constants("h100_sxm", "attention", "prefill_bf16_bf16")
    one = decode_seconds(decode.values, on, 2.0, b, h, g, d, s)[0]
    all_ = prefill_seconds(prefill.values, on, "bf16", 2.0, b, h, g, d, s, s)[0]
    assert one >= 4.0 * batch * keys * kv_heads * 128 / on.bandwidth
    assert all_ >= 2.0 * batch * group * kv_heads * keys**2 * 128 / on.rate("bf16")
    wide = msgspec.structs.replace(on, bandwidth=on.bandwidth * more)
    assert decode_seconds(decode.values, wide, 2.0, b, h, g, d, s)[0] <= one * (1 + 1e-12)
    assert prefill_seconds(prefill.values, wide, "bf16", 2.0, b, h, g, d, s, s)[0] <= all_ * (1 + 1e-12)


def test_the_power_limit_slows_large_products() -> None:
    on, size = device("h100"), np.array([16384.0])
    found, _ = constants("h100_sxm", "gemm", "bf16")
    capped = msgspec.structs.replace(on, limit=350.0)
    free, slow = (gemm_seconds(found.values, chip, "bf16", size, size, size).total[0] for chip in (on, capped))
    assert slow > 1.5 * free


def test_a_chip_without_measurements_takes_a_relatives_constants_and_says_so() -> None:
    own, moved = constants("h100_sxm", "gemm", "bf16")
    relative, taken = constants("h200", "gemm", "bf16")
    assert not moved
    assert taken
    assert relative.values == own.values
    assert relative.low < own.low < own.high < relative.high
    with pytest.raises(ValueError, match="no gemm constants for h100_sxm in fp3"):
        constants("h100_sxm", "gemm", "fp3")


@given(
    chip=st.sampled_from(["a100_80", "h100_sxm", "h200", "b200", "gb300"]), m=sizes, n=sizes, k=sizes,
    groups=st.sampled_from([1, 8, 57.5]), weight=st.sampled_from(["bf16", "fp8", "nvfp4"]),
)  # fmt: skip
def test_operations_of_a_workload_never_beat_the_roofline(
    chip: str, m: int, n: int, k: int, groups: float, weight: str
) -> None:
    on, formats = chip_of(chip), Formats.of("bf16", weight=weight)
    op = Gemm(m, n, k, groups=groups, count=3)
    assert op_time(op, on, formats).seconds >= op_time(op, on, formats, Efficiency.ideal()).seconds * (1 - 1e-12)


@given(
    chip=st.sampled_from(["a100_80", "h100_sxm", "b200"]), batch=st.integers(1, 256), queries=st.integers(1, 4096),
    more=st.integers(0, 65536), kv_heads=st.sampled_from([1, 4, 8]), group=st.sampled_from([1, 4, 16, 48]),
    kv=st.sampled_from(["bf16", "fp8"]), window=st.sampled_from([None, 1024]), causal=st.booleans(),
)  # fmt: skip
def test_attention_of_a_workload_never_beats_the_roofline(
    chip: str, batch: int, queries: int, more: int, kv_heads: int, group: int, kv: str, window: int | None, causal: bool
) -> None:
    on, formats = chip_of(chip), Formats.of("bf16", kv=kv)
    op = Attention(
        batch=batch, queries=queries, keys=queries + more, heads=kv_heads * group, kv_heads=kv_heads, head_dim=128,
        value_dim=128, window=window, causal=causal, passes=3.5,
    )  # fmt: skip
    assert op_time(op, on, formats).seconds >= op_time(op, on, formats, Efficiency.ideal()).seconds * (1 - 1e-12)
