"""Calibration recovers the constants that made a table, writes them readably, and the next validation uses the rows."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from chipmeter.cli import main
from chipmeter.cost.constants import constants, write_book
from chipmeter.cost.device import device
from chipmeter.cost.gemm import gemm_seconds
from chipmeter.validate.calibrate import refit, save
from chipmeter.validate.run import EXAMPLES


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """A table of products timed by known constants."""
    found, _ = constants("h100_sxm", "gemm", "bf16")
    rng = np.random.default_rng(3)
    m, n, k = (2.0 ** rng.integers(low, 15, 24) for low in (0, 8, 8))
    time = gemm_seconds(found.values, device("h100"), "bf16", m, n, k).total * 1e6
    lines = [
        f"H100-SXM,bfloat16,{int(a)},{int(b)},{int(c)},{t:.6f},made up"
        for a, b, c, t in zip(m, n, k, time, strict=True)
    ]
    path = tmp_path / "mine.csv"
    path.write_text("accel,dtype,m,n,k,latency_us,source\n" + "\n".join(lines) + "\n")
    return path


def test_constants_that_made_the_rows_are_found_and_saved(measured: Path, tmp_path: Path) -> None:
    books = refit(measured)
    one = books["h100_sxm"]["gemm"]["bf16"]
    assert one.rows == 24
    assert one.median_error < 0.03
    assert one.span["k"][1] <= 2**14
    [path] = save(books, tmp_path / "out")
    text = path.read_text()
    assert "[gemm.bf16.values]" in text
    assert 'source = "mine: made"' in text
    assert save(books, tmp_path / "out") == [path]
    assert path.read_text() == text


def test_a_folder_refits_programs_and_the_command_says_what_it_wrote(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["calibrate", str(EXAMPLES), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0
    assert "training training gpu: 17 rows" in result.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"network.toml", "serving.toml", "training.toml"}
    books = refit(EXAMPLES)
    assert set(books["network"]["power"]) == {"node"}
    assert {"tpu", "first_tpu"} <= set(books["serving"]["serving"])


def test_a_table_that_determines_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="cannot tell what was measured"):
        refit(path)
    path.write_text("accel,dtype,m,n,k,latency_us\nH100,bf16,1,2,3,4\n")
    with pytest.raises(ValueError, match="no chip and format has 20 rows"):
        refit(path)
    with pytest.raises(ValueError, match="no table in"):
        refit(tmp_path)
    with pytest.raises(ValueError, match="neither a file nor a folder"):
        refit(tmp_path / "absent")


def test_every_packaged_file_survives_being_written_again(tmp_path: Path) -> None:
    from chipmeter.cost.constants import book

    for chip in ("a100_80", "h100_sxm", "b200", "h200"):
        write_book(tmp_path / "x.toml", chip, book(chip))
        import msgspec

        from chipmeter.cost.constants import Constants

        again = msgspec.toml.decode((tmp_path / "x.toml").read_bytes(), type=dict[str, dict[str, Constants]])
        assert again == book(chip)
