"""The command line prints data on stdout, one clear line on bad input, and the promised exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import chipmeter
from chipmeter.cli import main


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_help_lists_every_command_without_importing_them() -> None:
    code = "import sys; from chipmeter.cli import main; sys.argv = ['chipmeter', '--help']\ntry: main()\nexcept SystemExit: pass\n"
    code += "assert 'scipy' not in sys.modules and 'rich.table' not in sys.modules, 'help imports too much'"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name in ("chips", "claims", "compare", "estimate", "factory", "formats", "frontier", "info", "units", "verify"):
        assert name in done.stdout


def test_version() -> None:
    assert run("--version").output.strip() == f"chipmeter, version {chipmeter.__version__}"


def test_info_names_tier_cpu_compiler_and_threads() -> None:
    facts = json.loads(run("info", "--json").output)
    assert facts["tier"] == chipmeter.tier()
    assert set(facts) >= {"chipmeter", "tier", "tiers", "cpu", "compiler", "threads"}
    assert f"tier       {chipmeter.tier()}" in run("info").output


def test_compare_in_three_shapes() -> None:
    arguments = ("compare", "gpt2", "--chips", "h100,trn3", "--formats", "bf16,fp8", "--layers", "1", "--threads", "1")
    table, data, text = run(*arguments), run(*arguments, "--json"), run(*arguments, "--csv")
    assert (table.exit_code, data.exit_code, text.exit_code) == (0, 0, 0)
    rows = json.loads(data.output)["rows"]
    assert [(r["chip"], r["format"]) for r in rows] == [
        ("h100_sxm", "bf16"), ("h100_sxm", "fp8"), ("trn3", "bf16"), ("trn3", "fp8"),
    ]  # fmt: skip
    assert len(text.output.splitlines()) == 5
    assert "h100_sxm" in table.output


def test_phase_batch_and_sequence_reach_the_cost() -> None:
    arguments = ("compare", "gpt2", "--chips", "h100", "--formats", "bf16", "--layers", "1", "--json")
    decode = json.loads(run(*arguments, "--phase", "decode", "--batch", "4", "--context", "100").output)["rows"][0]
    prefill = json.loads(run(*arguments, "--phase", "prefill", "--batch", "4", "--seq", "512").output)["rows"][0]
    assert decode["seconds_per_unit"] > prefill["seconds_per_unit"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compare", "nope"), "unknown model 'nope'"),
        (("compare", "gpt2", "--chips", "h10"), "did you mean 'h100'"),
        (("compare", "gpt2", "--formats", "fp5"), "unknown number format 'fp5'"),
        (("compare", "gpt2", "--csv", "--json"), "give one of --csv and --json"),
        (("compare", "gpt2", "--threads", "0"), "threads must be a positive integer"),
        (("compare", "gpt2", "--batch", "x"), "not a valid integer"),
        (("chips", "show", "trn9"), "unknown chip 'trn9'"),
        (("chips", "h100"), "chips show h100"),
        (("estimate", "gpt2", "--chip", "p5.48xlarge"), "is a system, not a chip"),
        (("units", "zzz"), "unknown unit 'zzz'"),
        (("estimate", "gpt2"), "give a chip or a system"),
        (("estimate", "gpt2", "--chip", "h100", "--price", "free"), "free"),
        (("cmpare",), "did you mean 'compare'"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert not result.stdout


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"model_type": "mamba"}', '{"model_type": "llama", "hidden_size": -1}', "\x00"]
)
def test_a_bad_config_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    result = run("compare", str(path))
    assert result.exit_code == 2
    assert str(path) in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_chips_units_and_formats_as_tables_and_json() -> None:
    assert "trn3" in run("chips").output
    assert any(c["id"] == "trn3" for c in json.loads(run("chips", "--json").output))
    assert json.loads(run("chips", "show", "trn3", "--json").output)["id"] == "trn3"
    assert "hopper/wgmma.e4m3.e4m3.f32.f32" in run("units", "h100").output
    found = json.loads(run("units", "h100/fp8", "--json").output)
    assert found[0]["evidence"]["grade"] == "hardware"
    assert len(json.loads(run("formats", "--json").output)) == 23
    assert "float8_e4m3fn" in run("formats").output


def test_estimate_shows_operations_and_assumptions() -> None:
    result = run("estimate", "llama-3.1-8b", "--chip", "h100", "--phase", "decode", "--batch", "8")
    assert result.exit_code == 0
    assert "mlp up" in result.output
    assert "price:" in result.output
    data = json.loads(run("estimate", "llama-3.1-8b", "--chip", "trn3", "--json").output)
    assert data["joules"] is None


def test_the_installed_script_works() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from chipmeter.cli import main; main()", "info"],
        capture_output=True, text=True, check=True, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    assert done.stdout.startswith("chipmeter ")
    assert done.stderr == ""
