"""The cases of the gate, run by a process of one build: prints the seconds of each as JSON.

    python bench/gate_cases.py            every case, timed
    python bench/gate_cases.py NAME       one case, once: what instruction counts are taken of

A case that this build does not know, for instance because its function is newer, is left out.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np

import chipmeter as cm

REPEATS = 7


def _cases() -> dict[str, Callable[[], Callable[[], object]]]:
    """Name what is measured; each entry prepares its operands and gives the work."""

    def normal(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return np.random.default_rng(1).standard_normal(shape, dtype=np.float32)

    def cast(name: str) -> Callable[[], object]:
        x = normal(512, 1024)
        return lambda: cm.cast(x, name)

    def decode(name: str) -> Callable[[], object]:
        codes = cm.cast(normal(512, 1024), name)
        return lambda: cm.decode(codes)

    def quantize(recipe: str) -> Callable[[], object]:
        x = normal(256, 1024)
        return lambda: cm.quantize(x, recipe)

    def matmul(unit: str, dtype: str) -> Callable[[], object]:
        a, b = (cm.cast(normal(128, 128), dtype) for _ in "ab")
        return lambda: cm.matmul(a, b, unit=unit)

    def scaled(unit: str, recipe: str) -> Callable[[], object]:
        a, b = cm.quantize(normal(128, 128), recipe), cm.quantize(normal(128, 128), recipe, axis=0)
        return lambda: cm.matmul(a, b, unit=unit)

    return {
        "cast bfloat16": lambda: cast("bfloat16"),
        "cast float8_e4m3fn": lambda: cast("float8_e4m3fn"),
        "decode float8_e4m3fn": lambda: decode("float8_e4m3fn"),
        "quantize mxfp8": lambda: quantize("mxfp8"),
        "quantize nvfp4": lambda: quantize("nvfp4"),
        "matmul h100/fp8": lambda: matmul("h100/fp8", "float8_e4m3fn"),
        "matmul h100/bf16": lambda: matmul("h100/bf16", "bfloat16"),
        "matmul v100/fp16": lambda: matmul("v100/fp16", "float16"),
        "matmul trn2/bf16": lambda: matmul("trn2/bf16", "bfloat16"),
        "matmul b200/mxfp8": lambda: scaled("b200/mxfp8", "mxfp8"),
        "matmul b200/nvfp4": lambda: scaled("b200/nvfp4", "nvfp4"),
        "estimate decode": lambda: lambda: cm.estimate("llama-3.1-70b", "h100", phase="decode", batch=32, format="fp8"),
    }


def main() -> int:
    """Run the cases."""
    wanted = sys.argv[1:]
    seconds: dict[str, float] = {}
    for name, prepare in _cases().items():
        if wanted and name not in wanted:
            continue
        try:
            work = prepare()
            work()
        except (AttributeError, TypeError, ValueError):
            continue
        if wanted:
            return 0
        times = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        seconds[name] = min(times)
    print(json.dumps(seconds if not wanted else {}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
