"""Sweeps over real processes lose nothing and count nothing twice when workers or the client are killed."""

from __future__ import annotations

import os
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

import chipmeter as cm
from chipmeter.frontier import Store

pytest.importorskip("distributed", reason="distributed is not installed")
from chipmeter.distributed import sweep


def slow_square(x: int, log: str) -> bytes:
    with Path(log).open("a") as file:
        file.write(f"{x}\n")
    time.sleep(0.05)
    return str(x * x).encode()


def refuse(x: int) -> bytes:
    raise ValueError(f"no {x}")


def test_a_worker_killed_in_the_middle_changes_nothing(tmp_path: Path, client: Any) -> None:
    victims = list(client.run(os.getpid).values())
    arguments = {str(x): (x, str(tmp_path / "log")) for x in range(40)}
    killed: list[int] = []

    def progress(key: str, share: float) -> None:
        if share > 0.25 and not killed:
            os.kill(victims[0], signal.SIGKILL)
            killed.append(victims[0])

    with warnings.catch_warnings(), Store(tmp_path / "s") as store:
        warnings.simplefilter("ignore")
        found = sweep(slow_square, arguments, client, store=store, progress=progress)
        assert found == {str(x): str(x * x).encode() for x in range(40)}
        assert len(store) == 40
        assert {key: store.get(key) for key in store} == found
    assert killed


def test_what_the_store_has_is_not_run_again(tmp_path: Path, client: Any) -> None:
    log = tmp_path / "log"
    arguments = {str(x): (x, str(log)) for x in range(6)}
    with Store(tmp_path / "s") as store:
        store.put("3", b"kept")
        found = sweep(slow_square, arguments, client, store=store)
        assert found["3"] == b"kept"
    assert sorted(log.read_text().split()) == ["0", "1", "2", "4", "5"]


def test_an_error_is_the_tasks_own(client: Any) -> None:
    with pytest.raises(ValueError, match="no 7"):
        sweep(refuse, {"a": (7,)}, client)


def test_a_frontier_over_a_client_is_that_of_one_process(tmp_path: Path, client: Any) -> None:
    arguments: dict[str, Any] = {"chips": ["h100", "trn2"], "formats": ["bf16", "fp8"], "layers": 1}
    with Store(tmp_path / "s") as store:
        assert cm.frontier("gpt2", **arguments, store=store, client=client) == cm.frontier("gpt2", **arguments)
        written = len(store)
        assert cm.frontier("gpt2", **arguments, store=store) == cm.frontier("gpt2", **arguments)
        assert len(store) == written
