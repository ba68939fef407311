"""Footprints match the sizes that people know, part by part."""

import pytest

from chipmeter.chips import Chip, chip
from chipmeter.cost import Efficiency, efficiency, footprint, weight_bytes
from chipmeter.workloads import Formats, preset, presets, workload

BF16 = Formats.of("bf16")


@pytest.mark.parametrize("name", presets())
def test_weights_in_16_bits_take_two_bytes_per_parameter(name: str) -> None:
    assert weight_bytes(preset(name), BF16) == 2 * preset(name).parameters


def test_quantised_weights_leave_the_embedding_and_vectors_alone() -> None:
    model = preset("llama-3.1-8b")
    table, vectors = 128256 * 4096, 65 * 4096
    matrices = model.parameters - table - vectors
    assert weight_bytes(model, Formats.of("mxfp8")) == matrices * 8.25 / 8 + 2 * (table + vectors)


def test_llama_70b_cache_is_320_kib_per_token(round_chip: Chip, plain: Efficiency) -> None:
    step = workload(preset("llama-3.1-70b"), "decode", batch=2, context=1023)
    assert footprint(step, round_chip, BF16, plain).kv_cache == 2 * 1024 * 320 * 1024
    assert footprint(step, round_chip, Formats.of("bf16", kv="fp8"), plain).kv_cache == 2 * 1024 * 160 * 1024


def test_cache_divides_by_key_value_heads_only(round_chip: Chip, plain: Efficiency) -> None:
    step = workload(preset("llama-3.1-70b"), "decode", context=1023)
    shares = [footprint(step, round_chip, BF16, plain, t).kv_cache for t in (1, 2, 8, 16, 64)]
    assert [shares[0] / share for share in shares] == [1, 2, 8, 8, 8]


def test_latent_cache_is_replicated(round_chip: Chip, plain: Efficiency) -> None:
    step = workload(preset("deepseek-v3"), "decode", context=1023)
    assert footprint(step, round_chip, BF16, plain, 8).kv_cache == 1024 * 61 * 576 * 2


def test_training_state_is_18_bytes_per_parameter(round_chip: Chip, plain: Efficiency) -> None:
    model = preset("llama-3.2-1b")
    used = footprint(workload(model, "train", seq=128), round_chip, BF16, plain)
    assert used.weights + used.gradients + used.optimizer == 18 * model.parameters
    assert used.kv_cache == 0.0


def test_training_activations_by_hand(round_chip: Chip, plain: Efficiency) -> None:
    used = footprint(workload(preset("llama-2-7b"), "train", batch=2, seq=100), round_chip, BF16, plain)
    per_layer = 5 * 4096 + 4 * 4096 + 3 * 11008  # residual rows, then q k v and result, then gate up product
    assert used.activations == 2 * 200 * (32 * per_layer + 4 * 32000)


def test_prefill_activations_are_the_stream_and_the_largest_operation(round_chip: Chip, plain: Efficiency) -> None:
    step = workload(preset("llama-2-7b"), "prefill", seq=1000)
    largest = 3 * 11008  # gate and up in, product out
    assert footprint(step, round_chip, BF16, plain).activations == 2 * 1000 * (4096 + largest)


def test_total_and_fit(round_chip: Chip, plain: Efficiency) -> None:
    used = footprint(workload(preset("llama-2-7b"), "decode", context=10), round_chip, BF16, plain)
    parts = used.weights + used.kv_cache + used.activations + used.runtime
    assert used.total == parts
    assert used.runtime == 1e9
    assert (used.capacity, used.fits) == (80e9, True)
    assert not footprint(workload(preset("llama-2-70b")), round_chip, BF16, plain).fits


@pytest.mark.parametrize(
    ("model", "name", "format", "shares", "fits"),
    [
        ("llama-3.1-8b", "l4", "bf16", 1, True),
        ("llama-3.1-70b", "h100", "bf16", 1, False),
        ("llama-3.1-70b", "h100", "fp8", 1, True),
        ("llama-3.1-70b", "h200", "bf16", 2, True),
        ("llama-3.1-405b", "h100", "bf16", 8, False),
        ("llama-3.1-405b", "h100", "fp8", 8, True),
        ("deepseek-v3", "h200", "fp8", 8, True),
        ("deepseek-v3", "h100", "fp8", 8, False),
    ],
)
def test_what_people_know_to_fit(model: str, name: str, format: str, shares: int, fits: bool) -> None:
    record = chip(name)
    step = workload(preset(model), "decode", context=1000)
    assert footprint(step, record, Formats.of(format), efficiency(record), shares).fits is fits
