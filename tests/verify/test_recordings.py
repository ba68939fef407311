"""The emulation agrees with every shipped recording on every tier, and says so row by row."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from chipmeter.verify import Report, Row, verify

DATA = Path(__file__).parents[1] / "data"
FULL = next(Path(__file__).parents[3].glob("*/golden"), None)
"""Full recordings in a folder beside this checkout, where there are some."""


@pytest.mark.parametrize(("folder", "least"), [("matrix", 70_000), ("quantisation", 200_000), ("collectives", 90_000)])
def test_shipped_recordings_agree_on_every_tier(tier: str, folder: str, least: int) -> None:
    report = verify(DATA / folder)
    assert [row for row in report.rows if row.mismatches] == []
    assert report.compared > least
    assert report.agrees


def test_every_row_counts_each_output_once() -> None:
    index = json.loads((DATA / "matrix" / "index.json").read_text())
    rows = verify(DATA / "matrix").rows
    assert len(rows) == len({row.name for row in rows}) == len(index["rows"]) + len(index["gemm"]["cases"])
    for recorded, row in zip(index["rows"], rows, strict=False):
        outputs = recorded["tiles"] * recorded["tile_M"] * recorded["tile_N"]
        skipped = outputs - row.compared - row.unsupported
        assert skipped == 0 or (skipped > 0 and "exclude_mask" in recorded)


def test_unsupported_rows_compare_nothing_and_say_what_is_missing(tmp_path: Path) -> None:
    shutil.copytree(DATA / "quantisation", tmp_path / "q")
    index = json.loads((tmp_path / "q" / "index.json").read_text())
    arrays = index["files"]["gguf.npz"]["arrays"]
    arrays["Q8_0/q"]["op"] = "something else"
    arrays["Q4_0/q"]["params"]["qtype"] = "Q9_9"
    (tmp_path / "q" / "index.json").write_text(json.dumps(index))
    rows = [row for row in verify(tmp_path / "q").rows if row.compared == 0]
    assert [row.name for row in rows] == ["gguf.npz:Q8_0/q", "gguf.npz:Q4_0/q"]
    for row in rows:
        assert row.unsupported > 0
        assert row.mismatches == 0
        assert row.note.startswith("not supported: ")
        assert row.first_mismatch is None


def test_every_quantisation_row_is_supported() -> None:
    assert [row for row in verify(DATA / "quantisation").rows if row.unsupported] == []


def test_a_parent_folder_verifies_all_recordings_below_and_reports_progress() -> None:
    seen: list[tuple[str, float]] = []
    report = verify(DATA, progress=lambda name, share: seen.append((name, share)))
    separate = [row for folder in ("collectives", "matrix", "quantisation") for row in verify(DATA / folder).rows]
    assert [row.compared for row in report.rows] == [row.compared for row in separate]
    assert {row.name.split("/")[0] for row in report.rows} == {"collectives", "matrix", "quantisation"}
    assert [name for name, _ in seen] == [row.name for row in report.rows]
    shares = [share for _, share in seen]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_report_adds_up_and_becomes_json() -> None:
    report = Report((Row("a", 5, 1, 0, "n", "[0]: ..."), Row("b", 0, 0, 7)))
    assert (report.compared, report.mismatches, report.unsupported, report.agrees) == (5, 1, 7, False)
    assert json.loads(json.dumps(report.to_dict())) == {
        "rows": [
            {"name": "a", "compared": 5, "mismatches": 1, "unsupported": 0},
            {"name": "b", "compared": 0, "mismatches": 0, "unsupported": 7},
        ]
    }
    assert not Report((Row("b", 0, 0, 7),)).agrees


@pytest.mark.parametrize("c_is_zero", [False, True])
def test_device_recordings_are_dot_products_in_chains(tmp_path: Path, c_is_zero: bool) -> None:
    """K = 40 on a unit of k = 16: three instructions, the last padded; exact in small integers."""
    rng = np.random.default_rng(5)
    a, b = rng.integers(-8, 9, (2, 37, 40))
    c = rng.integers(-99, 99, 37)
    d = (a * b).sum(axis=1) + (0 if c_is_zero else c)
    arrays = {
        "a": a.astype(np.float16),
        "b": b.astype(np.float16),
        "c": c.astype(np.float32),
        "d": d.astype(np.float32),
    }
    np.savez(tmp_path / "hw.npz", **{k: v.view(f"u{v.itemsize}") for k, v in arrays.items()})
    one = {"gpu": "H100", "arch": "Hopper", "a": "f16", "b": "f16", "c": "f32", "d": "f32", "K": 40, "n": 37}
    path = "wgmma (c taken as 0)" if c_is_zero else "HMMA (wmma/mma.sync)"
    one |= {"path": path, "A": "a", "B": "b", "C": "c", "D": "d"}
    strange = one | {"arch": "Pascal"}
    (tmp_path / "index.json").write_text(json.dumps({"format": "hw-vectors/1", "sets": [one, strange]}))
    known, unknown = verify(tmp_path).rows
    assert (known.compared, known.mismatches, known.unsupported) == (37, 0, 0)
    assert known.note == ("unit hopper/wgmma.f16.f16.f32.f32" if c_is_zero else "unit hopper/mma.f16.f16.f32.f32")
    assert (unknown.compared, unknown.unsupported) == (0, 37)


def test_unknown_collectives_are_counted_unsupported(tmp_path: Path) -> None:
    records = [{"file": "x.npz", "count": 29}, {"file": "y.npz", "count": 3}]
    (tmp_path / "index.json").write_text(json.dumps({"format": "each record: file ...", "records": records}))
    rows = verify(tmp_path).rows
    assert [(row.compared, row.unsupported) for row in rows] == [(0, 29), (0, 3)]


@pytest.mark.skipif(FULL is None, reason="the full recordings are not beside this checkout")
def test_full_recordings_agree() -> None:
    assert FULL is not None
    report = verify(FULL)
    assert [row for row in report.rows if row.mismatches] == []
    assert report.compared > 9_000_000
