"""Operations count exactly the floating-point operations and the bytes that a hand calculation gives."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipmeter.workloads import AllReduce, Attention, Embedding, Formats, Gemm, Optimizer, Pointwise

BF16 = Formats.of("bf16")


def test_gemm_by_hand() -> None:
    op = Gemm(2, 3, 5, count=7)
    assert op.flops == 7 * 2 * 2 * 3 * 5
    assert op.bytes(BF16) == 7 * 2 * (3 * 5 + 2 * 5 + 2 * 3)


def test_gemm_formats_apply_to_their_operands() -> None:
    op = Gemm(2, 4, 32)
    assert op.bytes(Formats.of("mxfp4")) == 4 * 32 * 4.25 / 8 + 2 * 32 * 4.25 / 8 + 2 * 4 * 2
    assert op.bytes(Formats.of("bf16", weight="int4")) == 4 * 32 / 2 + 2 * 32 * 2 + 2 * 4 * 2


def test_grouped_gemm_reads_each_group_once() -> None:
    op = Gemm(8, 3, 5, groups=2.5)
    assert op.flops == 2 * 8 * 3 * 5
    assert op.bytes(BF16) == 2 * (2.5 * 3 * 5 + 8 * 5 + 8 * 3)


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, -1, 1), (1, 1, 0)])
def test_gemm_refuses_empty_sizes(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Gemm(*sizes)


def attention(queries: int, keys: int, *, causal: bool = True, window: int | None = None) -> Attention:
    return Attention(
        batch=2,
        queries=queries,
        keys=keys,
        heads=8,
        kv_heads=2,
        head_dim=4,
        value_dim=3,
        causal=causal,
        window=window,
    )


@given(st.integers(1, 40), st.integers(0, 40), st.booleans(), st.one_of(st.none(), st.integers(1, 60)))
def test_attention_counts_the_pairs_of_the_mask(queries: int, past: int, causal: bool, window: int | None) -> None:
    keys = queries + past
    op = attention(queries, keys, causal=causal, window=window)
    pairs = seen = 0
    for key in range(keys):
        column = 0
        for query in range(past, keys):
            if not causal or (key <= query and (window is None or key > query - window)):
                column += 1
        pairs += column
        seen += column > 0
    assert op.pairs == pairs
    assert op.flops == 2 * pairs * 2 * 8 * (4 + 3)
    assert op.bytes(BF16) == 2 * (2 * queries * 8 * (4 + 3) + 2 * seen * 2 * (4 + 3))


def test_causal_prefill_of_the_textbook() -> None:
    op = attention(100, 100)
    assert op.pairs == 100 * 101 // 2


def test_latent_cache_is_read_once_for_keys_and_values() -> None:
    op = Attention(batch=1, queries=1, keys=10, heads=128, kv_heads=1, head_dim=576, value_dim=512, shared_kv=True)
    assert op.bytes(BF16) == 2 * (10 * 576 + 128 * (576 + 512))


def test_attention_refuses_queries_beyond_its_keys() -> None:
    with pytest.raises(ValueError, match="5 queries are among the keys, but only 4"):
        attention(5, 4)


def test_pointwise_and_embedding_by_hand() -> None:
    op = Pointwise(tokens=3, width=5, name="silu", reads=2, flops_per_element=4, count=2)
    assert (op.flops, op.bytes(BF16)) == (2 * 15 * 4, 2 * 15 * 3 * 2)
    table = Embedding(tokens=3, width=5, tables=3)
    assert (table.flops, table.bytes(BF16)) == (15 * 2, 15 * 4 * 2)


def test_optimizer_moves_30_bytes_per_parameter_in_bf16() -> None:
    assert Optimizer(parameters=10).bytes(BF16) == 10 * (4 + 24 + 2)


def test_all_reduce_costs_the_chip_nothing_but_has_a_vector() -> None:
    op = AllReduce(tokens=3, width=5)
    assert (op.flops, op.bytes(BF16), op.live_bytes(BF16)) == (0, 0, 30)


def test_passes_scale_work_and_traffic() -> None:
    for op in (Gemm(2, 3, 5), attention(4, 6), Pointwise(tokens=3, width=5, name="norm")):
        thrice = msgspec.structs.replace(op, passes=3)
        assert (thrice.flops, thrice.bytes(BF16)) == (3 * op.flops, 3 * op.bytes(BF16))
