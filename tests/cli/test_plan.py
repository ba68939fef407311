"""`chipmeter plan` prints ranked plans, why the first wins and what is wrong with one asked about; JSON has it all."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from chipmeter.cli import main

ARGUMENTS = ["plan", "llama-3.1-8b", "--chip", "h100", "--chips", "16", "--batch", "32", "--seq", "4096", "--top", "3"]


def test_table_page_and_json(tmp_path: Path) -> None:
    run, html = CliRunner().invoke, str(tmp_path / "plan.html")
    table = run(main, [*ARGUMENTS, "--ask", "tensor=3,zero=3,sequence_parallel=false", "--report", html])
    assert table.exit_code == 0, table.output
    for words in (
        "90 % interval",
        "second's",
        "plans examined",
        "must divide the 32 attention heads",
    ):
        assert words in table.output
    assert "Where the steps go" in Path(html).read_text()
    data = json.loads(run(main, [*ARGUMENTS, "--objective", "joules", "--zero", "1,3", "--json"]).output)
    assert len(data["plans"]) == 3
    assert data["plans"][0]["joules"] <= data["plans"][1]["joules"]
    assert {one["plan"]["zero"] for one in data["plans"]} <= {1, 3}


def test_where_it_would_pay_elsewhere() -> None:
    run = CliRunner().invoke
    serving = ["plan", "llama-3.1-70b", "--chips", "16", "--prompt", "1024", "--answer", "256", "--format", "mxfp8"]
    for arguments in ([*ARGUMENTS, "--chip", "trn3"], [*serving, "--chip", "trn3"]):
        asked = [*arguments, "--against", "p5.48xlarge", "--saving", "0.25"]
        even = json.loads(run(main, [*asked, "--json"]).output)["break_even"]
        assert (even["against"], even["saving"]) == ("h100_sxm", 0.25)
        assert "trn3 saves 25% of the dollars if it rents below $" in run(main, asked).output


def test_bad_input_is_one_line() -> None:
    run = CliRunner().invoke
    for more, message in (
        (["--ask", "tensr=2"], "did you mean 'tensor'"),
        (["--ask", "tensor=two"], "must be a whole number, got 'two'"),
        (["--tensor", "a"], "whole numbers"),
        (["--chips", "13"], "no plan trains llama3.1-8b"),
    ):
        result = run(main, [*ARGUMENTS, *more])
        assert result.exit_code == 2
        assert message in result.output


def test_serving_as_table_and_json() -> None:
    run = CliRunner().invoke
    words = ["plan", "llama-3.1-8b", "--chip", "h100", "--chips", "4", "--prompt", "512", "--answer", "128"]
    table = run(main, [*words, "--tpot", "0.03"])
    assert table.exit_code == 0, table.output
    assert "in flight each" in table.output
    data = json.loads(run(main, [*words, "--json", "--objective", "ttft"]).output)
    assert data["deployments"][0]["ttft"]["seconds"] <= data["deployments"][-1]["ttft"]["seconds"]
    assert run(main, words[:-2]).exit_code == 2
    assert run(main, ["plan", "llama-3.1-8b", "--chip", "h100", "--chips", "4"]).exit_code == 2


def test_a_given_plan_is_priced_alone_or_refused() -> None:
    run = CliRunner().invoke
    given = [*ARGUMENTS, "--plan", "tp=2,pp=2,dp=4,mbs=2,recompute=full"]
    found = json.loads(run(main, [*given, "--json"]).output)["plans"]
    assert [(one["plan"]["tensor"], one["plan"]["pipeline"], one["plan"]["micro"]) for one in found] == [(2, 2, 2)]
    assert run(main, given).exit_code == 0
    assert run(main, [*ARGUMENTS, "--plan", "tp=2"]).exit_code == 0
    for more, words in (
        (["--plan", "tp=3"], "the nearest plan that works"),
        (["--plan", "tp=2,dp=4"], "what other degrees leave of 16 chips: 8, got 4"),
        (["--plan", "tp=2", "--zero", "1"], "--plan is one plan"),
    ):
        refused = run(main, [*ARGUMENTS, *more])
        assert refused.exit_code == 2
        assert words in refused.output.replace("\n", " ")
