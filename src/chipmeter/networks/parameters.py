"""What the networks share of reading a model: its config.json, and its parameters against the shapes that follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from chipmeter.checkpoint import Checkpoint
from chipmeter.workloads.config import config_text

Float32 = NDArray[np.float32]
Shapes = Iterable[tuple[str, tuple[int, ...]]]
Config = TypeVar("Config")

EXACT_IN_FLOAT32 = ("F32", "F16", "BF16")
"""Types of tensors that widen to float32 without rounding."""


def read_config(folder: str | Path, kind: type[Config], accepted: str) -> Config:
    """Decode a folder's config.json; `accepted` ends the sentence of the error."""
    file = Path(folder) / "config.json"
    text = config_text(file)
    try:
        return msgspec.json.decode(text, type=kind)
    except (ValueError, RecursionError) as error:  # msgspec's errors and bad UTF-8 are ValueErrors
        raise ValueError(f"{file}: {error}; accepted is {accepted}") from None


def check_parameters(parameters: Mapping[str, Float32], shapes: Shapes) -> None:
    """Refuse parameters of which one is missing, or has another shape or dtype."""
    for name, shape in shapes:
        if name not in parameters:
            raise ValueError(f"the config needs a parameter {name!r} of shape {shape}; it is missing")
        found = parameters[name]
        if found.shape != shape or found.dtype != np.float32:
            raise ValueError(
                f"parameter {name!r}: found {found.dtype} {found.shape}; from the config, accepted: float32 {shape}"
            )


def check_tensor(checkpoint: Checkpoint, stored: str, shape: tuple[int, ...]) -> None:
    """Refuse a checkpoint without a tensor of this name and shape, in a type that is exact in float32."""
    if stored not in checkpoint:
        raise ValueError(f"{checkpoint.path}: no tensor {stored!r}; the config needs it, of shape {shape}")
    info = checkpoint.tensors[stored]
    if info.dtype not in EXACT_IN_FLOAT32 or info.shape != shape:
        raise ValueError(
            f"{info.path}: tensor {info.name!r}: found {info.dtype} {info.shape}; accepted: "
            f"{', '.join(EXACT_IN_FLOAT32)} of shape {shape}, from the config"
        )


def widened(checkpoint: Checkpoint, stored: str) -> Float32:
    """Read a tensor as float32."""
    tensor: Float32 = checkpoint[stored].astype(np.float32, copy=False)
    return tensor
