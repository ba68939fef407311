"""`chipmeter quantize` writes what quantize() gives, whole files only, and goes on after a kill or a full disk."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from click.testing import CliRunner, Result

import chipmeter as cm
from chipmeter.checkpoint import INDEX_NAME
from chipmeter.cli import main
from chipmeter.quantize import load, save
from chipmeter.quantize.convert import quantize_checkpoint
from chipmeter.quantize.journal import journal_path
from chipmeter.quantize.patterns import parse_rule

RECIPES = ("--recipe", "nvfp4", "--recipe", "layers.*.mlp=mxfp8", "--recipe", "layers.1.mlp.down=keep")


def tensors(layers: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    made: dict[str, Any] = {"norm": np.ones(40, np.float32), "ids": np.arange(5), "empty": np.zeros((0, 4), np.float32)}
    for i in range(layers):
        for name, dtype in (("mlp.up", np.float16), ("mlp.down", np.float32), ("attn.q", ml_dtypes.bfloat16)):
            made[f"model.layers.{i}.{name}.weight"] = rng.standard_normal((24, 40)).astype(dtype)
    return made


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["quantize", *map(str, arguments)])


def expect(path: Path, given: dict[str, Any]) -> None:
    back = load(path)
    assert set(back) == set(given)
    for name, array in given.items():
        if array.ndim < 2 or not array.size or "1.mlp.down" in name:
            assert back[name].tobytes() == array.tobytes()
        else:
            recipe = "mxfp8" if "mlp" in name else "nvfp4"
            assert back[name] == cm.quantize(array.astype(np.float32), recipe)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    save(tmp_path / "in.safetensors", tensors(), metadata={"format": "pt"})
    return tmp_path / "in.safetensors"


def test_a_file_becomes_what_quantize_gives(source: Path, tmp_path: Path) -> None:
    before = source.read_bytes()
    out = tmp_path / "out.safetensors"
    result = run(source, out, *RECIPES)
    assert result.exit_code == 0
    assert "nvfp4" in result.output
    expect(out, tensors())
    assert load(out).checkpoint.metadata["format"] == "pt"
    assert source.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.safetensors", "out.safetensors"]


def test_rows_as_json_and_csv(source: Path, tmp_path: Path) -> None:
    rows = json.loads(run(source, tmp_path / "a.safetensors", *RECIPES, "--json").output)
    lines = list(csv.reader(io.StringIO(run(source, tmp_path / "b.safetensors", *RECIPES, "--csv").output)))
    assert len(rows) == len(lines) - 1 == len(tensors())
    given = tensors()
    for row in rows:
        q = load(tmp_path / "a.safetensors")[row["name"]]
        if row["recipe"] is None:
            assert (row["sqnr"], row["max_error"]) == (None, None)
            continue
        x = given[row["name"]].astype(np.float32)
        assert abs(row["sqnr"] - q.sqnr(x)) < 2e-5  # each within 9e-6 dB of exact
        assert row["max_error"] == float(np.abs(x - q.dequantize()).max())
        assert row["bits"] == 8 * q.nbytes / x.size


def test_a_folder_of_shards_keeps_its_shape(tmp_path: Path) -> None:
    folder, given = tmp_path / "in", tensors()
    folder.mkdir()
    names = list(given)
    save(folder / "1.safetensors", {n: given[n] for n in names[:6]})
    save(folder / "2.safetensors", {n: given[n] for n in names[6:]})
    index = {"weight_map": {n: "1.safetensors" if n in names[:6] else "2.safetensors" for n in names}}
    (folder / INDEX_NAME).write_text(json.dumps(index))
    assert run(folder, tmp_path / "out", *RECIPES).exit_code == 0
    expect(tmp_path / "out", given)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["1.safetensors", "2.safetensors", INDEX_NAME]
    assert run(folder, tmp_path / "out", *RECIPES).exit_code == 2
    assert run(folder, tmp_path / "out", *RECIPES, "--overwrite").exit_code == 0
    assert not (tmp_path / "out.partial").exists()


KILLED = """
import os, signal, sys
from chipmeter.quantize import journal
from chipmeter.quantize.convert import quantize_checkpoint
left = int(sys.argv[3])
plain = journal.Journal.append
def append(self, pieces, value):
    global left
    left -= 1
    plain(self, pieces, value)
    if left % 2: self.commit()
    if left == 0: os.kill(os.getpid(), signal.SIGKILL)
journal.Journal.append = append
quantize_checkpoint(sys.argv[1], sys.argv[2], sys.argv[4:])
"""


@pytest.mark.parametrize("after", [1, 4, 11])
def test_a_killed_run_leaves_no_file_and_goes_on(source: Path, tmp_path: Path, after: int) -> None:
    out = tmp_path / "out.safetensors"
    recipes = RECIPES[1::2]
    done = subprocess.run([sys.executable, "-c", KILLED, str(source), str(out), str(after), *recipes], check=False)
    assert done.returncode == -9
    assert not out.exists()
    other = run(source, out, "--recipe", "mxfp4")
    assert other.exit_code == 2
    assert "unfinished run with another source, recipe or version" in other.stderr
    data = tmp_path / "out.safetensors.partial" / "in.safetensors"
    assert journal_path(data).read_bytes().count(b"\n") - 1 <= after
    with journal_path(data).open("ab") as file:
        file.write(b'{"begin": 5')  # a line that was cut
    told: list[float] = []
    rows = quantize_checkpoint(source, out, recipes, progress=lambda _, share: told.append(share))
    assert [row.name for row in rows] == list(load(source))
    assert told[-1] == 1
    expect(out, tensors())
    whole = tmp_path / "whole.safetensors"
    quantize_checkpoint(source, whole, recipes)
    assert whole.read_bytes() == out.read_bytes()
    assert not data.parent.exists()


def test_damaged_partial_data_are_written_anew(source: Path, tmp_path: Path) -> None:
    out, recipes = tmp_path / "out.safetensors", RECIPES[1::2]
    subprocess.run([sys.executable, "-c", KILLED, str(source), str(out), "11", *recipes], check=False)
    data = tmp_path / "out.safetensors.partial" / "in.safetensors"
    raw = bytearray(data.read_bytes())
    raw[-1500] ^= 1
    data.write_bytes(raw)
    quantize_checkpoint(source, out, recipes)
    expect(out, tensors())


def test_a_full_disk_is_one_line_and_the_work_is_kept(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    code = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (24000, 24000))\n"
    code += "from chipmeter.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "quantize", str(source), str(out), *RECIPES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "File too large" in done.stderr
    assert not out.exists()
    assert run(source, out, *RECIPES).exit_code == 0
    expect(out, tensors())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--recipe", "mxfp5"), "unknown recipe 'mxfp5'"),
        (("--recipe", "=mxfp4"), "RECIPE or PATTERN=RECIPE"),
        (("--recipe", "a="), "RECIPE or PATTERN=RECIPE"),
        (("--recipe", "nothing.here=mxfp4"), "no tensor's name matches the pattern 'nothing.here'"),
        (("--recipe", "mxfp4", "--csv", "--json"), "give one of --csv and --json"),
        (("--recipe", "mxfp4", "--threads", "0"), "threads must be a positive integer"),
        ((), "Missing option '--recipe'"),
    ],
)
def test_bad_arguments_are_one_line(source: Path, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run(source, tmp_path / "out.safetensors", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out.safetensors").exists()


def test_bad_sources_and_destinations(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    out.write_bytes(b"mine")
    assert "already exists" in run(source, out, "--recipe", "mxfp4").stderr
    assert out.read_bytes() == b"mine"
    assert run(source, out, "--recipe", "mxfp4", "--overwrite").exit_code == 0
    assert "cannot take the place" in run(source, tmp_path, "--recipe", "mxfp4", "--overwrite").stderr
    assert "no such file" in run(tmp_path / "gone", tmp_path / "b", "--recipe", "mxfp4").stderr
    (tmp_path / "junk.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    assert "holds no tensors" in run(tmp_path / "junk.safetensors", tmp_path / "b", "--recipe", "mxfp4").stderr
    raw = b'{"a":{"dtype":"F7","shape":[1],"data_offsets":[0,1]}}'
    (tmp_path / "junk.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw + b"x")
    assert "'a': found dtype 'F7'" in run(tmp_path / "junk.safetensors", tmp_path / "b", "--recipe", "mxfp4").stderr
    save(tmp_path / "wide.safetensors", {"w": np.ones((2, 32)), "w2": np.ones((2, 32), np.float32)})
    wide = run(tmp_path / "wide.safetensors", tmp_path / "b", "--recipe", "mxfp4")
    assert "tensor 'w' is F64" in wide.stderr
    assert run(tmp_path / "wide.safetensors", tmp_path / "b", "--recipe", "mxfp4", "--recipe", "w=keep").exit_code == 0
    save(tmp_path / "clash.safetensors", {"w": np.ones((2, 32), np.float32), "w.scales": np.ones(2, np.float32)})
    clash = run(tmp_path / "clash.safetensors", tmp_path / "c", "--recipe", "mxfp4")
    assert "the scales of 'w' need the name 'w.scales'" in clash.stderr


def test_names_of_any_text_fit_the_header(tmp_path: Path) -> None:
    names = ['"' * 200, "\x01" * 200, "\\" * 200, "\N{GRINNING FACE}" * 200, "", "a"]
    save(tmp_path / "in.safetensors", {n: np.ones((2, 32), np.float32) for n in names})
    quantize_checkpoint(tmp_path / "in.safetensors", tmp_path / "out.safetensors", ["nvfp4"])
    back = load(tmp_path / "out.safetensors")
    assert set(back) == set(names)
    assert all(back[n] == cm.quantize(np.ones((2, 32), np.float32), "nvfp4") for n in names)


def test_memory_is_that_of_the_largest_tensor(tmp_path: Path) -> None:
    peaks = []
    x = np.random.default_rng(0).standard_normal((256, 1024)).astype(np.float32)
    for count in (1, 6):
        source, out = tmp_path / f"{count}.safetensors", tmp_path / f"{count}.out"
        save(source, {str(i): x for i in range(count)})
        tracemalloc.start()
        quantize_checkpoint(source, out, ["mxfp8"])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] + 100_000
    assert peaks[0] < 8 * x.nbytes


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("layers.*.mlp", "model.layers.3.mlp.up.weight", True),
        ("layers.*.mlp", "layers.3.4.mlp", False),
        ("layers.**.mlp", "layers.3.4.mlp", True),
        ("mlp", "a.mlp2.weight", False),
        ("mlp*", "a.mlp2.weight", True),
        ("lm_head.weight", "lm_head.weight", True),
        ("[a]", "b.a", False),
    ],
)
def test_patterns_stand_for_whole_parts(pattern: str, name: str, found: bool) -> None:
    assert parse_rule(f"{pattern}=keep").matches(name) == found
