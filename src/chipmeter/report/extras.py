"""Libraries of the extras, imported when they are needed, with what to install when they are missing."""

from __future__ import annotations

import importlib
from typing import Any

_EXTRAS = {
    "plotly": "report",
    "jinja2": "report",
    "dask": "distributed",
    "distributed": "distributed",
}


def needs(module: str) -> Any:
    """Import a module of an extra.

    Raises
    ------
    ImportError
        If it is not installed, saying what to install.

    Examples
    --------
    >>> needs("json").loads("1")
    1
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        root = module.partition(".")[0]
        if error.name != root:
            raise
        raise ImportError(f"{root} is not installed: pip install 'chipmeter[{_EXTRAS[root]}]'") from None
