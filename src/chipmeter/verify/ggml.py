"""Rules of gguf-py."""

from __future__ import annotations

from typing import cast, get_args

import numpy as np

from chipmeter.quantize import ggml
from chipmeter.verify.case import Case
from chipmeter.verify.compare import Emulated, UnsupportedError
from chipmeter.verify.elementwise import words


def blocks(case: Case) -> Emulated:
    """Emulate gguf-py's blocks, and their values."""
    kind = case.text("qtype")
    if kind not in get_args(ggml.Kind):
        raise UnsupportedError(f"no ggml kind {kind!r}")
    known = cast(ggml.Kind, kind)
    x = case.source()
    if x.ndim == 0 or x.shape[-1] % ggml.BLOCK or not np.isfinite(x).all():
        raise UnsupportedError(f"ggml blocks of shape {x.shape}, NaN or infinity")
    q = ggml.quantize_ggml(x, known)
    if case.part == "q":
        return Emulated(q, f"quantize_ggml, {kind}")
    return Emulated(words(ggml.dequantize_ggml(q, known)), f"dequantize_ggml, {kind}")


def ue4m3(case: Case) -> Emulated:
    """Emulate the scales of ggml's NVFP4."""
    if case.part == "decode_half":
        return Emulated(words(ggml.ue4m3_half(np.arange(case.recorded().size).astype(np.uint8))), "ue4m3_half")
    return Emulated(ggml.ue4m3(case.source("float32", f"{case.key.rpartition('/')[0]}/x")), "ggml.ue4m3")


def e8m0(case: Case) -> Emulated:
    """Emulate the halved scales of ggml's MXFP4."""
    return Emulated(words(ggml.e8m0_half(np.arange(case.recorded().size).astype(np.uint8))), "e8m0_half")
