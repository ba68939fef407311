"""`chipmeter claims` prints verdicts, one claim's figures, and both as JSON."""

from __future__ import annotations

import json

from click.testing import CliRunner

from chipmeter.cli import main


def test_table_card_and_json() -> None:
    run = CliRunner().invoke
    table, card = run(main, ["claims"]), run(main, ["claims", "ai-factory"])
    assert (table.exit_code, card.exit_code) == (0, 0)
    assert "trainium4-energy" in table.output
    assert "$/GPU-h" in card.output
    every = json.loads(run(main, ["claims", "--json"]).output)
    one = json.loads(run(main, ["claims", "ai-factory", "--json"]).output)
    assert one in every
    assert set(one) == {"claim", "findings", "assumptions", "verdict", "why"}


def test_an_unknown_claim_is_bad_input() -> None:
    result = CliRunner().invoke(main, ["claims", "ai-factry"])
    assert result.exit_code == 2
    assert "did you mean 'ai-factory'" in result.output
