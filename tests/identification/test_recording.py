"""A recording of a black box is read by verify: no mismatch for a unit, unsupported for what is no unit."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import chipmeter as cm
from chipmeter.cli import main
from chipmeter.identification import open_source, record
from chipmeter.verify import verify


def test_a_recorded_unit_verifies(tmp_path: Path) -> None:
    for name in ("h100/fp8", "v100/fp16", "a100/int8", "trn2/bf16", "cpu/fp64"):
        folder = tmp_path / name.replace("/", "-")
        record(open_source(f"unit:{name}"), folder, command="a test")
        report = verify(folder)
        assert sum(r.compared for r in report.rows) > 5000
        assert sum(r.mismatches + r.unsupported for r in report.rows) == 0
        index = json.loads((folder / "index.json").read_text())
        assert index["command"] == "a test"
        assert index["date"].startswith("20")
        assert index["driver"]
        assert index["hardware"]


def test_a_changed_bit_is_a_mismatch(tmp_path: Path) -> None:
    record(open_source("unit:a100/bf16"), tmp_path)
    with np.load(tmp_path / "hw.npz") as full:
        arrays = {k: full[k] for k in full.files}
    arrays["d0"][5] ^= 1
    np.savez(tmp_path / "hw.npz", **arrays)
    assert sum(r.mismatches for r in verify(tmp_path).rows) == 1


def test_what_is_no_unit_is_kept_and_counted_as_unsupported(tmp_path: Path) -> None:
    source = open_source("numpy:float16")
    record(source, tmp_path)
    report = verify(tmp_path)
    assert all(r.compared == 0 and r.unsupported for r in report.rows)


def test_a_recording_is_never_overwritten_and_holds_no_scales(tmp_path: Path) -> None:
    record(open_source("unit:a100/int8"), tmp_path)
    with pytest.raises(ValueError, match=r"index.json exists; a recording is never overwritten"):
        record(open_source("unit:a100/int8"), tmp_path)
    with pytest.raises(ValueError, match="takes block scales"):
        record(open_source("unit:b200/nvfp4"), tmp_path / "other")


def test_an_index_that_names_a_unit_of_other_types_is_refused(tmp_path: Path) -> None:
    index = record(open_source("unit:a100/bf16"), tmp_path)
    data = json.loads(index.read_text())
    data["sets"][0]["unit"] = "ampere/mma.f16.f16.f32.f32"
    index.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"set 0: unit 'ampere/mma.f16.f16.f32.f32' does not take bf16"):
        verify(tmp_path)


@pytest.mark.parametrize(
    ("spec", "types", "message"),
    [
        ("h100/fp8", None, "expected unit:NAME, numpy:DTYPE, torch:DEVICE or module:function, got 'h100/fp8'"),
        ("numpy:", None, "expected unit:NAME"),
        ("unit:h100/fp9", None, "unknown unit 'h100/fp9'; did you mean"),
        ("numpy:int8", None, "unknown dtype of numpy: 'int8'"),
        ("os:path", None, "os:path needs types, for example f16.f16.f32.f32"),
        ("no_such_module_here:f", "f16", "cannot import no_such_module_here:f: ModuleNotFoundError"),
        ("math:nothing", "f16", "cannot import math:nothing: AttributeError"),
        ("math:pi", "f16", "matmul must be a callable, got float"),
    ],
)
def test_a_bad_source_is_one_clear_error(spec: str, types: str | None, message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as error:
        open_source(spec, types)
    assert message in str(error.value)


def test_torch_missing_or_without_a_device_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ValueError, match=r"torch:cpu needs PyTorch, which is not installed: pip install torch"):
        open_source("torch:cpu")
    absent: Any = types.ModuleType("torch")
    absent.__version__, absent.cuda = "0", types.SimpleNamespace(is_available=lambda: False)
    monkeypatch.setitem(__import__("sys").modules, "torch", absent)
    with pytest.raises(ValueError, match=r"torch:cuda: PyTorch 0 finds no CUDA device; install a driver"):
        open_source("torch:cuda")


def test_the_command_line_identifies_and_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = CliRunner().invoke
    text = run(main, ["identify", "unit:h100/fp8"])
    assert text.exit_code == 0
    assert "hopper/wgmma.e4m3.e4m3.f32.f32" in text.output
    assert "13, cut toward zero" in text.output
    data = json.loads(run(main, ["identify", "numpy:float32", "--json"]).output)
    assert data["types"] == ["f32", "f32", "f32", "f32"]
    assert {p["name"] for p in data["probes"]} > {"order", "result"}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_product.py").write_text(
        "import chipmeter\ndef f(a, b, c): return chipmeter.matmul(a, b, c, unit='a100/tf32')\n"
    )
    done = run(main, ["record", "my_product:f", "out", "--types", "tf32"])
    assert done.exit_code == 0
    assert run(main, ["verify", "out"]).exit_code == 0
    assert "chipmeter record my_product:f out --types tf32" in (tmp_path / "out" / "index.json").read_text()
    bad = run(main, ["identify", "unit:h10"])
    assert bad.exit_code == 2
    assert "unknown unit 'h10'" in bad.output


def test_identify_is_a_function_of_the_package() -> None:
    assert callable(cm.identify)
