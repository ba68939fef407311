"""A small decoder is run end to end under compare and frontier, and says on what; others are measured by matrices."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import ml_dtypes
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

import chipmeter as cm
from chipmeter._safetensors_write import write_file
from chipmeter.comparison import EmulatedLinear, NumericError, probe
from chipmeter.comparison.error import next_token_error
from chipmeter.comparison.probe import DecoderProbe, MatrixProbe, probe_of
from chipmeter.comparison.rows import locate
from chipmeter.frontier import Store
from chipmeter.matmul import unit
from chipmeter.networks import DecoderConfig, decoder_shapes, synthetic
from chipmeter.report import comparison, frontier, pages

CONFIG: dict[str, Any] = {
    "model_type": "llama", "vocab_size": 96, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128, "rope_theta": 500000.0,
    "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
}  # fmt: skip


def write_model(folder: Path, *, leave_out: str = "", scale: float = 1.0, **change: Any) -> Path:
    (folder / "config.json").write_text(json.dumps({**CONFIG, **change}))
    tensors: dict[str, NDArray[Any]] = {
        name: (values * np.float32(scale)).astype(ml_dtypes.bfloat16)
        for name, values in synthetic.tensors(decoder_shapes(msgspec.convert(CONFIG, DecoderConfig))).items()
        if name != leave_out
    }
    write_file(folder / "model.safetensors", tensors, {}, overwrite=True)
    return folder


def text(renderable: Any) -> str:
    console = Console(width=200, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_compare_runs_the_decoder_end_to_end(tmp_path: Path) -> None:
    result = cm.compare(write_model(tmp_path), chips=["b200"], formats=["bf16", "fp8", "mxfp4"])
    assert result.data.startswith("real weights, 32 synthetic token ids")
    assert result.synthetic
    errors = [result.reference, *(row.error for row in result.rows if row.error is not None)]
    assert len(errors) == 4
    for error in errors:
        assert len(error.layers) == 14
        assert error.cosine is not None
        assert error.worst_cosine is not None
        assert error.worst_cosine <= error.cosine <= 1 + 1e-12
    divergences = [e.divergence for e in errors if e.divergence is not None]
    assert divergences == sorted(divergences)
    assert 0 <= divergences[0] < 1e-9
    assert 1e-4 < divergences[3] < 1
    agreements = [e.agreement for e in errors if e.agreement is not None]
    assert agreements[0] == 1.0
    assert 0 <= agreements[3] < agreements[1] <= 1


def test_frontier_shows_what_was_measured_and_keeps_it(tmp_path: Path) -> None:
    model = write_model(tmp_path)
    arguments: dict[str, Any] = {"chips": ["h100"], "formats": ["bf16", "fp8"]}
    with Store(tmp_path / "s") as store:
        first = cm.frontier(model, **arguments, store=store)
        assert len(store) == 3
        assert cm.frontier(model, **arguments, store=store) == first
    rows = frontier.data(first)["points"]
    assert all(row["kl_nats"] >= 0 and 0 <= row["top1_agreement"] <= 1 for row in rows)
    shown = text(frontier.table(first, every=True))
    assert "KL nats" in shown
    assert "top-1" in shown
    assert "100.0%" in shown
    assert "next-token distributions" in shown
    titles = [column.title for column in pages.frontier_page(first).tables[0].columns]
    assert titles[5:8] == ["cosine", "KL nats", "top-1"]
    assert all(len(row) == len(titles) for row in pages.frontier_page(first).tables[0].rows)


def test_compare_shows_what_was_measured(tmp_path: Path) -> None:
    result = cm.compare(write_model(tmp_path), chips=["h100"], formats=["fp8"])
    shown = text(comparison.table(result))
    assert "KL nats" in shown
    assert "next-token distributions" in shown
    row = comparison.data(result)["rows"][0]
    assert row["kl_nats"] == result.rows[0].error.divergence  # type: ignore[union-attr]
    (written,) = csv.DictReader(io.StringIO(comparison.csv_text(result)))
    assert float(written["kl_nats"]) == row["kl_nats"]
    sheet = pages.comparison_page(result).tables[0]
    assert "top-1" in [column.title for column in sheet.columns]
    assert all(len(row) == len(sheet.columns) for row in sheet.rows)


def test_nothing_is_shown_where_no_decoder_ran() -> None:
    result = cm.compare("gpt2", chips=["h100"], formats=["bf16"], layers=1)
    assert "KL" not in text(comparison.table(result))
    assert "next-token" not in text(comparison.table(result))
    assert "kl_nats" not in comparison.data(result)["rows"][0]
    assert "kl_nats" not in frontier.data(cm.frontier("gpt2", chips=["h100"], formats=["bf16"], layers=1))["points"][0]


def test_some_layers_are_not_the_whole_network(tmp_path: Path) -> None:
    model = write_model(tmp_path)
    some, whole = (cm.compare(model, chips=["h100"], formats=["bf16"], layers=n) for n in (1, 2))
    assert "the first 1 layers" in some.data
    assert some.reference.cosine is some.reference.divergence is some.reference.agreement is None
    assert set(some.reference.layers) < set(whole.reference.layers)
    assert whole.reference.divergence is not None


def test_the_layers_error_is_against_the_exact_product(tmp_path: Path) -> None:
    measured = probe_of(*locate(write_model(tmp_path)), 1)
    assert isinstance(measured, DecoderProbe)
    assert measured.work == sum(
        32 * n * k for n, k in ((64, 64), (32, 64), (32, 64), (64, 64), (96, 64), (96, 64), (64, 96))
    )

    def half(x: Any, weight: Any, bias: Any, name: str) -> Any:
        return np.float32(0.5) * (x @ weight.T)

    error = measured.measure(half)  # type: ignore[arg-type]
    assert all(db == pytest.approx(-20 * math.log10(0.5), abs=1e-3) for db in error.layers.values())


def test_an_overflow_is_a_result_and_no_warning(tmp_path: Path) -> None:
    measured = probe_of(*locate(write_model(tmp_path)), None)

    def overflowing(x: Any, weight: Any, bias: Any, name: str) -> Any:
        return np.full((len(x), len(weight)), np.inf, np.float32)

    error = measured.measure(overflowing)  # type: ignore[arg-type]
    assert error.divergence == math.inf
    assert error.agreement == 0.0
    assert math.isnan(error.sqnr)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, "yarn"),
        ({"leave_out": "model.norm.weight"}, "no tensor 'model.norm.weight'"),
        ({"rms_norm_eps": -1.0}, "rms_norm_eps is -1.0"),
    ],
)
def test_a_network_that_cannot_be_run_is_measured_by_matrices_and_says_why(
    tmp_path: Path, arguments: dict[str, Any], reason: str
) -> None:
    result = cm.compare(write_model(tmp_path, **arguments), chips=["h100"], formats=["bf16"])
    assert "the network was not run" in result.data
    assert reason in result.data
    assert result.reference.divergence is None


def test_a_large_decoder_is_measured_by_matrices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "LARGEST_DECODER", 1000)
    assert isinstance(probe_of(*locate(write_model(tmp_path)), None), MatrixProbe)


def test_text_is_used_where_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Encoding:
        ids = (1, 5, 9, 2)

    class Stub:
        @staticmethod
        def from_file(path: str) -> Stub:
            return Stub()

        def no_padding(self) -> None: ...

        def enable_truncation(self, max_length: int) -> None:
            assert max_length == 32

        def encode_batch(self, sentences: list[str]) -> list[Encoding]:
            assert len(sentences) == 1
            return [Encoding()]

    stub = ModuleType("tokenizers")
    stub.Tokenizer = Stub  # type: ignore[attr-defined]
    stub.__spec__ = pytest.__spec__
    monkeypatch.setitem(sys.modules, "tokenizers", stub)
    (write_model(tmp_path) / "tokenizer.json").write_text("{}")
    result = cm.compare(tmp_path, chips=["h100"], formats=["bf16"])
    assert result.data == "real weights, 4 tokens of text"
    assert not result.synthetic


def test_a_small_decoder_takes_milliseconds(tmp_path: Path) -> None:
    measured = probe_of(*locate(write_model(tmp_path)), None)
    linear = EmulatedLinear(unit("h100/bf16"), threads=1)
    measured.measure(linear)
    start = time.thread_time()
    measured.measure(linear)
    assert time.thread_time() - start < 0.25  # 5 ms were seen; the rest is for slower machines


def test_next_token_error_is_the_definition() -> None:
    generator = np.random.default_rng(0)
    truth, other = (generator.normal(size=(5, 7)).astype(np.float32) for _ in range(2))
    p, q = (np.exp(x.astype(float)) / np.exp(x.astype(float)).sum(axis=1, keepdims=True) for x in (truth, other))
    divergence, agreement = next_token_error(truth, other)
    assert divergence == pytest.approx((p * np.log(p / q)).sum(axis=1).mean(), rel=1e-12)
    assert agreement == np.mean(truth.argmax(axis=1) == other.argmax(axis=1))
    far = np.array([[0.0, 3e38]], np.float32)
    assert next_token_error(far, far) == (0.0, 1.0)
    assert next_token_error(far, np.array([[np.nan, 1]], np.float32)) == (math.inf, 0.0)


def test_errors_stored_before_these_figures_existed_are_read() -> None:
    old = b'{"sqnr":1.0,"worst_sqnr":1.0,"worst_layer":"a","cosine":null,"worst_cosine":null,"layers":{"a":1.0}}'
    assert msgspec.json.decode(old, type=NumericError) == NumericError(1.0, 1.0, "a", None, None, {"a": 1.0})
