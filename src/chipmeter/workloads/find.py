"""From whatever names a model to its architecture, or to its operations where a file lists those."""

from __future__ import annotations

import os
from pathlib import Path

from chipmeter._names import UnknownNameError
from chipmeter.workloads.architecture import Architecture
from chipmeter.workloads.config import read_config
from chipmeter.workloads.graph import read_gemms
from chipmeter.workloads.presets import preset
from chipmeter.workloads.workload import Workload


def find_model(model: Architecture | str | os.PathLike[str]) -> Architecture:
    """Find an architecture: one given, the preset of a name, or that of a ``config.json`` or the folder that holds it.

    Raises
    ------
    UnknownNameError, ValueError, TypeError, OSError
        If the name is no preset and no path, or the file is no config.

    Examples
    --------
    >>> find_model("llama-3.1-8b").layers
    32
    """
    if isinstance(model, Architecture):
        return model
    if not isinstance(model, str | os.PathLike):
        raise TypeError(f"model must be an Architecture, a name or a path, got {type(model).__name__}")
    try:
        return preset(str(model))
    except UnknownNameError:
        path = Path(model)
        if path.suffix == ".json" or path.exists():
            return read_config(path)
        raise


def find_graph(model: object) -> Workload | None:
    """Read a file of GEMM shapes (.csv) or an ONNX graph (.onnx); None for anything else."""
    if not isinstance(model, str | os.PathLike):
        return None
    suffix = Path(model).suffix.lower()
    if suffix == ".csv":
        return read_gemms(model)
    if suffix == ".onnx":
        from chipmeter.workloads.onnx import read_onnx

        return read_onnx(model)
    return None
