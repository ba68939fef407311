"""What can be probed, by a short text: `unit:h100/fp8`, `numpy:float32`, `torch:cuda`, `module:function`."""

from __future__ import annotations

import importlib
import os
import platform
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from chipmeter._arrays import AnyArray
from chipmeter._names import unknown_name
from chipmeter.identification.device import Device, device
from chipmeter.matmul import matmul
from chipmeter.matmul import unit as find_unit

_NUMPY = {"float64": "f64", "float32": "f32", "float16": "f16"}


@dataclass(frozen=True)
class Source:
    """A black box with what a recording says of it.

    Attributes
    ----------
    device : Device
    hardware : str
        The processor or accelerator.
    driver : str
        Versions of the software in between.
    """

    device: Device
    hardware: str
    driver: str


def open_source(spec: str, types: str | None = None, *, scale: str | None = None, scale_block: int = 0) -> Source:
    """Find the black box that a text names.

    Parameters
    ----------
    spec : str
        `unit:NAME` (an emulated unit, its label hidden), `numpy:float32` (float64, float16), `torch:DEVICE` (cpu, cuda,
        cuda:1), or `module:function`, imported with the current folder on the path.
    types : str, optional
        a.b.c.d, see `chipmeter.identification.device.parse_types`. Needed for `module:function`; `torch` defaults to
        f32, and also takes tf32, f16, bf16, e4m3, e5m2 and s8 operands.
    scale, scale_block
        Block scales that a `module:function` takes.

    Raises
    ------
    ValueError
        If the text, a module, or the device it names cannot be used; says what to install.

    Examples
    --------
    >>> open_source("numpy:float32").device.types
    ('f32', 'f32', 'f32', 'f32')
    """
    kind, colon, rest = spec.partition(":")
    if not colon or not kind or not rest:
        raise ValueError(f"expected unit:NAME, numpy:DTYPE, torch:DEVICE or module:function, got {spec!r}")
    if scale is not None and kind in ("unit", "numpy", "torch"):
        raise ValueError(f"block scales go with module:function, not with {spec!r}")
    cpu = platform.processor() or platform.machine()
    if kind == "unit":
        one = find_unit(rest)
        kinds = (one.a, one.b, one.c, one.d)
        box = device(partial(matmul, unit=one), kinds, scale=one.scale, scale_block=one.scale_block, name=spec)
        return Source(box, f"emulation of {one.name}", "chipmeter")
    if kind == "numpy":
        if rest not in _NUMPY:
            raise unknown_name("dtype of numpy:", rest, _NUMPY)
        t = _NUMPY[rest]
        return Source(device(np.matmul, (t, t, t, t), addend=False, name=spec), cpu, f"numpy {np.__version__}")
    if kind == "torch":
        return _torch(rest, types or "f32", spec)
    if types is None:
        raise ValueError(f"{spec} needs types, for example f16.f16.f32.f32")
    box = device(_function(kind, rest), types, scale=scale, scale_block=scale_block, name=spec)
    return Source(box, cpu, kind)


def _function(module: str, name: str) -> Any:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # a module that is not ours may raise anything
        raise ValueError(f"cannot import {module}:{name}: {type(error).__name__}: {error}") from error
    return found


def _torch(place: str, types: str, spec: str) -> Source:
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise ValueError(f"{spec} needs PyTorch, which is not installed: pip install torch") from error
    if place.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"{spec}: PyTorch {torch.__version__} finds no CUDA device; install a driver and a build of PyTorch for CUDA"
        )
    try:
        where = torch.device(place)
    except RuntimeError as error:
        raise ValueError(f"{spec}: {' '.join(str(error).split())[:200]}") from error
    box = device(_TorchMatmul(torch, where, types), types, addend=False, name=f"{spec} {types}")
    hardware, driver = platform.processor() or platform.machine(), f"torch {torch.__version__}"
    if place.startswith("cuda"):
        hardware = torch.cuda.get_device_name(where)
        driver += f", CUDA {torch.version.cuda}, driver {_driver()}"
    return Source(box, hardware, driver)


def _driver() -> str:
    """Version of the NVIDIA driver, where the system tells."""
    try:
        with open("/proc/driver/nvidia/version", encoding="utf-8") as file:
            return file.readline().partition("Module")[2].split()[0]
    except (OSError, IndexError):
        return "unknown"


class _TorchMatmul:
    """A product on a torch device: raw bits in, raw bits out, the accumulator's type where torch can return it."""

    def __init__(self, torch: Any, where: Any, types: str) -> None:
        from chipmeter.identification.device import parse_types
        from chipmeter.matmul.operands import operand_dtype

        self._torch, self._where = torch, where
        self._a, self._b, _, self._d = parse_types(types)
        names = {
            "e4m3": "float8_e4m3fn",
            "e5m2": "float8_e5m2",
            "tf32": "float32",
            "bf16": "bfloat16",
            "f16": "float16",
        }
        names |= {"f32": "float32", "f64": "float64", "s8": "int8", "s32": "int32"}
        for t in (self._a, self._b, self._d):
            if t not in names or not hasattr(torch, names[t]):
                raise ValueError(f"torch multiplies {', '.join(names)} here, got {t}")
        self._torch_type = {t: getattr(torch, names[t]) for t in (self._a, self._b, self._d)}
        self._result = operand_dtype(self._d)

    def __call__(self, a: AnyArray, b: AnyArray) -> AnyArray:
        torch, out = self._torch, self._torch_type[self._d]
        x, y = self._send(a, self._a), self._send(b, self._b)
        torch.backends.cuda.matmul.allow_tf32 = self._a == "tf32"
        if self._a == "s8":
            d = torch._int_mm(x, y)
        elif self._a in ("e4m3", "e5m2"):
            one = torch.ones((), device=self._where)
            d = torch._scaled_mm(
                x, y.t().contiguous().t(), scale_a=one, scale_b=one, out_dtype=out, use_fast_accum=True
            )
        elif self._torch_type[self._a] == out:
            d = torch.mm(x, y)
        else:
            d = torch.mm(x, y, out_dtype=out)
        raw = d.contiguous().reshape(-1).view(torch.uint8).cpu().numpy()
        return np.ascontiguousarray(raw).view(self._result).reshape(a.shape[0], b.shape[1])

    def _send(self, x: AnyArray, kind: str) -> Any:
        flat = self._torch.from_numpy(np.ascontiguousarray(x).reshape(-1).view(np.uint8).copy())
        return flat.view(self._torch_type[kind]).reshape(x.shape).to(self._where)
