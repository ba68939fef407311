"""`chipmeter reproducibility` compares ways of one all-reduce on given or made shards, and refuses what it cannot read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from chipmeter.cli import main


def test_ways_of_given_shards(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.float32([[1e8], [1], [-1e8], [1]]))
    ways = ["rank_order", "ring", "nccl/ring:channels=2,protocol=ll", "ring:ranks=2,accumulate=storage"]
    run = ["reproducibility", *ways, "--shards", str(tmp_path / "x.npy")]
    shown = CliRunner().invoke(main, run)
    assert shown.exit_code == 0
    assert len(shown.stdout.strip().splitlines()) == 1 + 6
    found = json.loads(CliRunner().invoke(main, [*run, "--json"]).stdout)
    assert found[0]["ways"] == ["rank_order", "ring"]
    assert found[0]["share"] == 1.0


@pytest.mark.parametrize(
    ("ways", "message"),
    [
        (["ring", "ring"], "two different ways"),
        (["ring", "ring:rank=4"], "ALGORITHM:OPTION=VALUE"),
        (["ring", "ring:ranks=3"], "divide the 8 shards"),
        (["ring", "rong"], "did you mean 'ring'"),
    ],
)
def test_what_cannot_be_read(ways: list[str], message: str) -> None:
    result = CliRunner().invoke(main, ["reproducibility", *ways])
    assert result.exit_code == 2
    assert message in result.output
