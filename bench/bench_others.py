"""The published emulators side by side: mmasim and mmaemu (PyPI), same operands, same bits asserted, then the ratio of times.

Both run on PyTorch, here on one thread. What is not installed is skipped, and the summary says so.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.matmul import unit as find_unit
from chipmeter.matmul.units import OPERANDS

N = 256
INSTRUCTIONS = {
    "v100/fp16": ("nv_ptx.MMA", "Volta", "m8n8k4.f32.f16.f16.f32"),
    "a100/bf16": ("nv_ptx.MMA", "Ampere", "m16n8k16.f32.bf16.bf16.f32"),
    "a100/tf32": ("nv_ptx.MMA", "Ampere", "m16n8k8.f32.tf32.tf32.f32"),
    "ada/fp8": ("nv_ptx.MMA", "Ada Lovelace", "m16n8k32.f32.e4m3.e4m3.f32"),
    "h100/fp8": ("nv_ptx.WGMMA", "Hopper", "m64n8k32.f32.e4m3.e4m3"),
    "h100/bf16": ("nv_ptx.WGMMA", "Hopper", "m64n8k16.f32.bf16.bf16"),
    "b200/mxfp8": (
        "nv_ptx.TCGen05MMABlockScale",
        "Blackwell",
        "m128n8k32.kind::mxf8f6f4.block32.f32.e4m3.e4m3.ue8m0",
    ),
    "b200/nvfp4": (
        "nv_ptx.TCGen05MMABlockScale",
        "Blackwell",
        "m128n8k64.kind::mxf4nvf4.block16.f32.e2m1.e2m1.ue4m3",
    ),
    "mi100/fp16": ("amd.MFMA", "CDNA1", "f32_16x16x16f16"),
    "mi250x/fp16": ("amd.MFMA", "CDNA2", "f32_16x16x16f16"),
    "mi300x/fp16": ("amd.MFMA", "CDNA3", "f32_16x16x16_f16"),
    "mi300x/fp8": ("amd.MFMA", "CDNA3", "f32_16x16x32_fp8_fp8"),
}
"""Class of mmasim, its architecture and instruction, by our unit."""
PROFILES = {"h100/fp8": "hopper", "ada/fp8": "ada"}
"""Profiles of mmaemu."""
RECIPES = {"b200/mxfp8": "mxfp8-roundup", "b200/nvfp4": "nvfp4"}


def installed(name: str) -> Any:
    """Import a rival and hold PyTorch to one thread, or skip."""
    try:
        importlib.import_module("torch").set_num_threads(1)
        return importlib.import_module(name)
    except ImportError as error:
        pytest.skip(f"{name} is not installed ({error}): pip install {name}")


def tensor(x: Any, name: str) -> Any:
    """Hand the bits of an array to PyTorch as a dtype."""
    torch = importlib.import_module("torch")
    flat = torch.from_numpy(np.ascontiguousarray(x).reshape(-1).view(np.uint8).copy())
    return flat.view(getattr(torch, name)).reshape(x.shape)


def operands(name: str) -> tuple[Any, Any, dict[str, Any]]:
    """Draw codes, and scales where the unit takes them."""
    x, y = (np.random.default_rng(seed).standard_normal((N, N), np.float32) for seed in (1, 2))
    if name in RECIPES:
        a, b = cm.quantize(x, RECIPES[name]), cm.quantize(y, RECIPES[name], axis=0)
        return a.codes, b.codes, {"scale_a": a.scales, "scale_b": b.scales}
    kind = OPERANDS[find_unit(name).a]
    return (x, y, {}) if kind == "tf32" else (cm.cast(x, kind), cm.cast(y, kind), {})


def agree(ours: Any, theirs: Any) -> None:
    np.testing.assert_array_equal(ours.view(np.uint32), theirs.numpy().view(np.uint32))


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_mmasim(paired: Callable[..., float], name: str) -> None:
    installed("mmasim")
    path, arch, instruction = INSTRUCTIONS[name]
    module, _, kind = path.partition(".")
    simulated = getattr(importlib.import_module(f"mmasim.{module}"), kind)(arch, instruction)
    a, b, scales = operands(name)
    u = find_unit(name)
    if u.a == "e2m1":  # mmasim takes two codes per byte
        raw_a, raw_b = a.view(np.uint8), b.view(np.uint8)
        given = [tensor(raw_a[:, ::2] | raw_a[:, 1::2] << 4, "uint8"), tensor(raw_b[::2] | raw_b[1::2] << 4, "uint8")]
    else:
        given = [tensor(x, "float32" if u.a == "tf32" else OPERANDS[u.a]) for x in (a, b)]
    x, y = given
    start = tensor(np.zeros((N, N), np.float32), "float32")
    scale_type = {"ue8m0": "float8_e8m0fnu", "ue4m3": "float8_e4m3fn"}.get(str(u.scale), "")
    factors = [tensor(s, scale_type) for s in scales.values()]

    def emulated() -> Any:
        if u.scale is None:
            return simulated(x, y, start)
        d, per_byte = start, 2 if u.a == "e2m1" else 1
        for k in range(0, N, u.k):  # instruction by instruction: each takes its own scales
            at, block = (
                slice(k // per_byte, (k + u.k) // per_byte),
                slice(k // u.scale_block, (k + u.k) // u.scale_block),
            )
            d = simulated(x[:, at], y[at], d, factors[0][:, block], factors[1][block])
        return d

    agree(cm.matmul(a, b, unit=u, **scales), emulated())
    paired(
        lambda: cm.matmul(a, b, unit=u, threads=1, **scales),
        emulated,
        meaning=f"times as fast as mmasim {version('mmasim')}, same bits",
        inverse=True,
        rounds=3,
    )


@pytest.mark.parametrize("name", PROFILES)
def test_mmaemu(paired: Callable[..., float], name: str) -> None:
    mmaemu = installed("mmaemu")
    a, b, _ = operands(name)
    left, right = tensor(a, OPERANDS["e4m3"]), tensor(np.ascontiguousarray(b.T), OPERANDS["e4m3"])

    def emulated() -> Any:
        return mmaemu.accumulate(left, right, use_fast_accum=True, splitk=1, profile=PROFILES[name])

    agree(cm.matmul(a, b, unit=name), emulated())
    paired(
        lambda: cm.matmul(a, b, unit=name, threads=1),
        emulated,
        meaning=f"times as fast as mmaemu {version('mmaemu')}, same bits",
        inverse=True,
        rounds=3,
    )
