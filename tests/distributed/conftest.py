"""A real cluster of processes that talk over TCP."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

distributed = pytest.importorskip("distributed", reason="distributed is not installed")


@pytest.fixture
def client() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, protocol="tcp://"
            ) as cluster,
            distributed.Client(cluster) as opened,
        ):
            yield opened
