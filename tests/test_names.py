"""chipmeter's functions keep their names when the rooms they live in are imported."""

from __future__ import annotations

import importlib

import pytest

import chipmeter as cm


@pytest.mark.parametrize("name", ["verify", "frontier", "quantize", "matmul"])
def test_a_function_wins_over_its_room(name: str) -> None:
    importlib.import_module(f"chipmeter.{name}")
    assert callable(getattr(cm, name))
