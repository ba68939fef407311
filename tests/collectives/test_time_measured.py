"""Times lie near measurements: a few published rows always, both tables of measured collectives where they are at hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from chipmeter import collectives
from chipmeter.collectives import tuning

ROOT = Path(__file__).parents[2]
MEASURED = ROOT.parent / "shared" / "validation" / "dev"
TOOL = ROOT / "tools" / "collective_times.py"

# nccl-tests, 8 GPUs of one node, half precision, us at 64 KiB, 1 MiB, 16 MiB
# (ai-dynamo/aiconfigurator 095f58a, Apache-2.0; NCCL 2.27.3 on A100, 2.29.2 on the others)
ANCHORS = {
    ("a100_80", "all_reduce"): (28.1, 38.9, 217), ("a100_80", "all_gather"): (21.1, 26.8, 135),
    ("a100_80", "reduce_scatter"): (18.0, 23.4, 123), ("a100_80", "all_to_all"): (14.2, 25.8, 114),
    ("h100", "all_reduce"): (18.6, 25.4, 122), ("h100", "all_gather"): (13.1, 16.9, 67),
    ("h100", "reduce_scatter"): (11.7, 14.6, 70), ("h100", "all_to_all"): (8.6, 15.6, 72),
    ("h200", "all_reduce"): (19.3, 26.1, 121), ("h200", "all_gather"): (13.1, 17.0, 67),
    ("h200", "reduce_scatter"): (13.0, 14.4, 69), ("h200", "all_to_all"): (10.3, 15.1, 70),
    ("b200", "all_reduce"): (27.2, 28.9, 99), ("b200", "reduce_scatter"): (17.5, 18.3, 96),
    ("b200", "all_gather"): (18.2, 18.6, 102), ("b200", "all_to_all"): (11.2, 18.0, 50),
}  # fmt: skip


def test_anchors() -> None:
    error = []
    for (system, operation), measured in ANCHORS.items():
        for exponent, us in zip((16, 20, 24), measured, strict=True):
            found = collectives.time(None, operation, 2**exponent, system=system, ranks=8)
            error.append(abs(found.seconds * 1e6 / us - 1))
    assert np.median(error) < 0.10
    assert max(error) < 0.40


def test_constants_say_where_they_come_from() -> None:
    book = tuning.book()
    assert len(book.date) == 10
    for operations in book.fabrics.values():
        for fit in operations.values():
            assert fit.low <= 0 <= fit.high
            assert fit.rows or fit.median_error == 0


def _tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("collective_times", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not MEASURED.is_dir(), reason="the measured tables are not beside this checkout")
def test_both_tables() -> None:
    tool = _tool()
    found = tool.errors(MEASURED)
    assert len(found) > 900
    for neuron in (False, True):
        small, large = tool.medians([pair for pair in found if ("Neuron" in pair[0].label) is neuron])
        assert small <= 0.30
        assert large <= 0.15
    inside = []
    for row, _ in found:
        if row.algorithm is None and row.alone:
            timed = collectives.time(None, row.operation, int(row.bytes), system=row.on, ranks=row.ranks)
            inside.append(timed.low <= row.seconds <= timed.high)
    assert np.mean(inside) >= 0.85
