"""What every command prints with --json is what its schema says: no field missing, none unknown, every type right."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from chipmeter._safetensors_write import write_file
from chipmeter.cli import main
from chipmeter.cli.outputs import OUTPUTS, schema

MATRIX = str(Path(__file__).parents[1] / "data" / "matrix")
PLAN = """
months = 12
[[workloads]]
kind = "serving"
name = "chat"
model = "llama-3.1-8b"
requests_per_second = 2
input_tokens = 500
output_tokens = 100
[[systems]]
system = "p5.48xlarge"
tenure = "rent"
"""
RUNS = {
    "chips": ["chips"],
    "chips show": ["chips", "show", "b200"],
    "claims": ["claims"],
    "claims NAME": ["claims", "ai-factory"],
    "collective": ["collective", "all_reduce", "--system", "p5.48xlarge", "--size", "1K:1M:32"],
    "compare": ["compare", "gpt2", "--chips", "h100,trn3", "--formats", "bf16,mxfp8", "--layers", "1"],
    "estimate": ["estimate", "llama-3.1-8b", "--system", "p5.48xlarge", "--phase", "decode"],
    "factory": ["factory", "{folder}/plan.toml"],
    "formats": ["formats"],
    "frontier": ["frontier", "gpt2", "--chips", "h100,trn3", "--formats", "bf16", "--layers", "1"],
    "identify": ["identify", "unit:a100/int8"],
    "info": ["info"],
    "plan": [
        "plan",
        "llama-3.1-8b",
        "--chip",
        "h100",
        "--chips",
        "8",
        "--batch",
        "8",
        "--seq",
        "2048",
        "--ask",
        "tensor=3",
    ],
    "plan --prompt": ["plan", "llama-3.1-8b", "--chip", "h100", "--chips", "2", "--prompt", "512", "--answer", "64"],
    "quantize": ["quantize", "{folder}/in.safetensors", "{folder}/out.safetensors", "--recipe", "mxfp8"],
    "record": ["record", "unit:a100/int8", "{folder}/recording"],
    "units": ["units"],
    "validate": ["validate"],
    "verify": ["verify", MATRIX],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plan.toml").write_text(PLAN)
    write_file(tmp_path / "in.safetensors", {"w": np.eye(64, dtype=np.float32)}, {}, False)
    return tmp_path


def test_every_command_has_a_schema() -> None:
    context = click.Context(main)
    commands = {name for name in main.list_commands(context) if name != "schema"}
    assert {name.split()[0] for name in OUTPUTS} == commands
    assert set(RUNS) | {"calibrate"} == set(OUTPUTS)  # calibrate prints its record as it is, after refitting


def test_the_page_lists_every_command() -> None:
    page = Path(__file__).parents[2] / "docs" / "json.md"
    if page.exists():  # not beside an installed wheel
        assert [line[3:] for line in page.read_text().splitlines() if line.startswith("## ")] == list(OUTPUTS)


@pytest.mark.parametrize("command", RUNS)
def test_outputs_are_what_the_schema_says(command: str, folder: Path) -> None:
    arguments = [part.format(folder=folder) for part in RUNS[command]]
    done = CliRunner().invoke(main, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    read = msgspec.convert(printed, OUTPUTS[command](), strict=True)
    assert json.loads(msgspec.json.encode(read)) == printed


def test_an_encoder_counts_sequences() -> None:
    done = CliRunner().invoke(main, ["estimate", "minilm", "--chip", "h100", "--json"])
    assert msgspec.convert(json.loads(done.stdout), OUTPUTS["estimate"]()).sequences_per_second > 0


def test_schema_prints_one_and_all() -> None:
    run = CliRunner().invoke
    one, every = run(main, ["schema", "chips", "show"]), run(main, ["schema"])
    assert json.loads(one.output) == schema("chips show") == json.loads(every.output)["chips show"]
    assert set(json.loads(every.output)) == set(OUTPUTS)
    bad = run(main, ["schema", "chps"])
    assert bad.exit_code == 2
    assert "did you mean 'chips'" in bad.output
