"""Rows of serving tables are read as they state, and by one stated rule where they do not."""

import pytest

from chipmeter.validate.serving_rows import _workers


def test_workers_are_counted_where_stated_and_else_grow_with_the_load() -> None:
    assert _workers({"decode_cfg": "workers=6 tp=4 pp=1"}, 480) == 6.0
    blank = {"decode_cfg": "workers= tp=8 pp=1"}
    assert _workers(blank, 8) == 1.0
    assert _workers(blank, 1024) == pytest.approx(4.0)
