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
    "reproducibility": ["reproducibility", "ring", "binomial"],
    "serve": ["serve", "llama-3.1-8b", "--chip", "h100", "--request-rate", "2", "--concurrency", "1,8"],
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


def test_an_estimate_against_another_says_when_it_wins() -> None:
    against = ["--against", "p5.48xlarge", "--format", "mxfp8", "--saving", "0.4"]
    done = CliRunner().invoke(main, ["estimate", "llama-3.1-8b", "--chip", "trn3", *against, "--json"])
    found = msgspec.convert(json.loads(done.stdout), OUTPUTS["estimate"]())
    assert "saves 40% of the dollars if it rents below" in found.break_even.says
    assert found.break_even.says in " ".join(
        CliRunner().invoke(main, ["estimate", "llama-3.1-8b", "--chip", "trn3", *against]).output.split()
    )
    low, expected, high = (getattr(found.ranges["seconds"], end) for end in ("low", "expected", "high"))
    assert low < expected == found.seconds < high
    assert found.ranges["joules_per_unit"] is None


def test_pictures_and_serving_on_the_command_line(tmp_path: Path) -> None:
    run = CliRunner().invoke
    sizes = ["--width", "832", "--height", "480", "--frames", "81", "--steps", "4", "--compiled"]
    video = run(main, ["estimate", "wan2.1-1.3b", "--chip", "h200", *sizes])
    assert "frames per second" in video.output
    html = tmp_path / "serve.html"
    asked = ["serve", "llama-3.1-8b", "--chip", "h100", "--concurrency", "1,8", "--report", str(html)]
    curve = run(main, [*asked, "--draft", "llama-3.2-1b"])
    assert "Throughput against latency: llama-3.1-8b on 1 x h100_sxm" in html.read_text()
    assert "first token" in curve.output
    assert "llama-3.2-1b drafts 3 tokens" in curve.output
    for broken, problem in (
        (["serve", "minilm", "--chip", "h100"], "only decoders are served"),
        (["serve", "llama-3.1-8b", "--chip", "h100", "--concurrency", "1,x"], "whole numbers separated by commas"),
        (["estimate", "flux", "--chip", "h100", "--width", "-1"], "width must lie above 0"),
        (["estimate", "llama-3.1-8b", "--chip", "h100", "--price", "-3"], "dollars_per_hour must be a positive"),
    ):
        done = run(main, broken)
        assert done.exit_code == 2
        assert problem in done.output


def test_schema_prints_one_and_all() -> None:
    run = CliRunner().invoke
    one, every = run(main, ["schema", "chips", "show"]), run(main, ["schema"])
    assert json.loads(one.output) == schema("chips show") == json.loads(every.output)["chips show"]
    assert set(json.loads(every.output)) == set(OUTPUTS)
    bad = run(main, ["schema", "chps"])
    assert bad.exit_code == 2
    assert "did you mean 'chips'" in bad.output
