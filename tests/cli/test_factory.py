"""`chipmeter factory` prints a plan, gives it as JSON, and exits 1 when no plan keeps the limits."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from chipmeter.cli import main

EXAMPLE = Path(__file__).parents[2] / "examples" / "factory.toml"


def test_the_example_and_its_json() -> None:
    table = CliRunner().invoke(main, ["factory", str(EXAMPLE)])
    assert table.exit_code == 0
    for words in ("proved optimal", "clinical-chat", "Second best", "would enter the plan below"):
        assert words in table.output
    data = json.loads(CliRunner().invoke(main, ["factory", str(EXAMPLE), "--json"]).output)
    assert data["feasible"]
    assert data["holdings"][0]["systems"] >= 1


def test_no_plan(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(EXAMPLE.read_text().replace("capex = 30e6", "capex = 1e6"))
    result = CliRunner().invoke(main, ["factory", str(file)])
    assert result.exit_code == 1
    assert "Conflict: capex" in result.output


def test_bad_input(tmp_path: Path) -> None:
    assert CliRunner().invoke(main, ["factory", str(tmp_path / "none.toml")]).exit_code == 2
    file = tmp_path / "plan.toml"
    file.write_text("months = 1e99")
    result = CliRunner().invoke(main, ["factory", str(file)])
    assert result.exit_code == 2
    assert result.output.count("\n") == 1
