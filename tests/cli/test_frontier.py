"""`chipmeter frontier` prints the points none beats, every point on request, JSON, a page, and keeps a store."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from chipmeter.cli import main

ARGUMENTS = [
    "frontier",
    "gpt2",
    "--chips",
    "h100,b200",
    "--formats",
    "bf16,fp8,nvfp4",
    "--layers",
    "1",
    "--threads",
    "1",
]


def test_table_json_page_and_store(tmp_path: Path) -> None:
    run = CliRunner().invoke
    store, html = str(tmp_path / "s"), str(tmp_path / "f.html")
    table = run(main, [*ARGUMENTS, "--store", store, "--report", html])
    assert table.exit_code == 0
    assert "best in" in table.output
    assert Path(html).read_text().startswith("<!doctype html>")
    every = run(main, [*ARGUMENTS, "--store", store, "--every"])
    assert len(every.output.splitlines()) > len(table.output.splitlines())
    data = json.loads(run(main, [*ARGUMENTS, "--store", store, "--json"]).output)
    assert len(data["points"]) == 7


def test_bad_input(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"noise" * 500)
    result = CliRunner().invoke(main, [*ARGUMENTS, "--store", str(tmp_path / "s")])
    assert result.exit_code == 2
    assert "left as it is" in result.output
    result = CliRunner().invoke(main, [*ARGUMENTS, "--report", str(tmp_path / "none" / "f.html")])
    assert result.exit_code == 2
    assert "cannot write the report" in result.output
