"""Small problems as plain data, changed by each test where it needs to be."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def data() -> dict[str, Any]:
    """Two workloads and three priced systems."""
    return {
        "months": 24,
        "workloads": [
            {
                "kind": "serving", "name": "chat", "model": "llama-3.1-8b", "requests_per_second": 60,
                "input_tokens": 1000, "output_tokens": 200, "formats": ["bf16", "fp8"],
            },
            {"kind": "training", "name": "tune", "model": "llama-3.1-8b", "tokens": 30e9, "deadline_days": 20},
        ],
        "systems": [
            {"system": "dgx_h200", "tenure": "own"},
            {"system": "p5en.48xlarge", "tenure": "rent"},
            {"system": "trn2.48xlarge", "tenure": "rent", "price": "capacity-block"},
        ],
    }  # fmt: skip
