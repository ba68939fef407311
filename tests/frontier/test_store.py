"""A store keeps what was written through kills and rivals, and refuses files that are damaged, foreign or newer."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chipmeter.frontier import Store
from chipmeter.frontier.store import VERSION


def test_first_value_of_a_key_stays(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        assert store.put("a", b"1")
        assert not store.put("a", b"2")
        assert store.get("a") == b"1"
        assert store.get("b") is None
    with Store(tmp_path / "s") as again:
        assert (list(again), len(again), again.get("a")) == (["a"], 1, b"1")


def test_a_killed_writer_loses_nothing_it_had_written(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom chipmeter.frontier import Store\ns = Store(sys.argv[1])\n"
        "i = 0\nwhile True:\n    s.put(str(i), bytes(5000)); print(i, flush=True); i += 1\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "s")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(20):
        last = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with Store(tmp_path / "s") as store:
        assert len(store) >= last + 1
        assert all(store.get(str(i)) == bytes(5000) for i in range(last + 1))


def test_two_writers_at_once(tmp_path: Path) -> None:
    with Store(tmp_path / "s"):
        pass
    code = (
        "import sys\nfrom chipmeter.frontier import Store\ns = Store(sys.argv[1])\n"
        "for i in range(40): s.put(f'{i % 50}', sys.argv[2].encode())\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "s"), name]) for name in "ab"]
    assert [p.wait() for p in both] == [0, 0]
    with Store(tmp_path / "s") as store:
        assert len(store) == 40


def test_files_that_are_no_store_are_left_as_they_are(tmp_path: Path) -> None:
    noise = tmp_path / "noise"
    noise.write_bytes(b"not a database" * 1000)
    foreign = tmp_path / "foreign"
    with sqlite3.connect(foreign) as db:
        db.execute("CREATE TABLE t (x)")
    db.close()
    newer = tmp_path / "newer"
    Store(newer).close()
    with sqlite3.connect(newer) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    cut = tmp_path / "cut"
    with Store(cut) as store:
        for i in range(50):
            store.put(str(i), bytes(5000))
    cut.write_bytes(cut.read_bytes()[:100_000])
    messages = ("damaged, or not a store", "of another program", "written by a newer chipmeter", "damaged")
    for file, message in zip((noise, foreign, newer, cut), messages, strict=True):
        before, when = file.read_bytes(), file.stat().st_mtime_ns
        time.sleep(0.01)
        with pytest.raises(ValueError, match=message):
            Store(file)
        assert (file.read_bytes(), file.stat().st_mtime_ns) == (before, when)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="unable to open"):
        Store(tmp_path / "none" / "s")
