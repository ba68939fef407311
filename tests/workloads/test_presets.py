"""Presets have exactly the published parameter counts of the models they stand for."""

import pytest

from chipmeter.workloads import preset, presets

# Number of parameters that the model hub reports for the checkpoint, or that its own documentation states.
PARAMETERS = {
    "bert-base": 109_482_240,
    "deepseek-v2-lite": 15_706_484_224,
    "distilbert": 66_362_880,
    "flan-t5-xl": 2_849_757_184,
    "gemma-2-9b": 9_241_705_984,
    "gpt-j-6b": 6_050_882_784,
    "gpt-oss-20b": 20_914_757_184,
    "gpt-oss-120b": 116_829_156_672,
    "gpt2": 124_439_808,
    "gpt2-xl": 1_557_611_200,
    "llama-2-7b": 6_738_415_616,
    "llama-2-70b": 68_976_648_192,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.1-405b": 405_853_388_800,
    "llama-3.2-1b": 1_235_814_400,
    "minilm": 22_713_216,
    "mistral-7b": 7_241_732_096,
    "mixtral-8x7b": 46_702_792_704,
    "phi-3-mini": 3_821_079_552,
    "pythia-6.9b": 6_857_302_016,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-30b-a3b": 30_532_122_624,
    "qwen3-32b": 32_762_123_264,
    "vit-base": 85_798_656,
    "whisper-large-v3": 1_543_490_560,
}


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_parameters(name: str) -> None:
    assert preset(name).parameters == PARAMETERS[name]


@pytest.mark.parametrize(
    ("name", "total", "active"),
    [("deepseek-v3", 671, 37), ("mixtral-8x7b", 46, 12), ("qwen3-235b-a22b", 235, 22), ("mixtral-8x22b", 140, 39)],
)
def test_active_parameters_in_billions(name: str, total: int, active: int) -> None:
    assert (preset(name).parameters // 10**9, preset(name).active_parameters // 10**9) == (total, active)


def test_dense_models_use_all_parameters() -> None:
    assert preset("llama-3.1-8b").active_parameters == preset("llama-3.1-8b").parameters


def test_cache_of_a_token() -> None:
    assert preset("llama-3.1-8b").kv_elements(1) == 2 * 32 * 8 * 128
    assert preset("deepseek-v3").kv_elements(1) == 61 * (512 + 64)
    assert preset("minilm").kv_elements(1) == 0


def test_sliding_window_bounds_the_cache() -> None:
    mistral, gemma = preset("mistral-7b"), preset("gemma-2-9b")
    assert mistral.kv_elements(100_000) == mistral.kv_elements(4096) == 4096 * mistral.kv_elements(1)
    per_layer = gemma.kv_width
    assert gemma.kv_elements(10_000) == 21 * per_layer * 10_000 + 21 * per_layer * 4096


def test_switched_off_window_is_not_used() -> None:
    assert preset("qwen2.5-7b").window is None


def test_every_preset_is_read() -> None:
    for name in presets():
        assert preset(name).name == name


def test_aliases_and_hub_names() -> None:
    assert preset("DeepSeek-R1") is preset("deepseek-ai/DeepSeek-V3") is preset("deepseek-v3")


@pytest.mark.parametrize("name", ["llama-3.1-9b", "", 7, None])
def test_unknown_name(name: object) -> None:
    with pytest.raises(ValueError, match="unknown model"):
        preset(name)  # type: ignore[arg-type]
