"""One recorded array with what its index says about it, as the rules see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray
from chipmeter._names import UnknownNameError
from chipmeter.formats import FloatFormat, Format, IntegerFormat, format_of
from chipmeter.verify.compare import UnsupportedError
from chipmeter.verify.layout import Archive, ArrayEntry

_FLOATS = {
    "float16": ("uint16", np.dtype(np.float16)),
    "bfloat16": ("uint16", np.dtype(ml_dtypes.bfloat16)),
    "float32": ("uint32", np.dtype(np.float32)),
    "float64": ("uint64", np.dtype(np.float64)),
}
_FORMATS = {"e3m4_ieee": "e3m4", "fp8_e4m3": "e4m3fn", "fp6_e3m2": "e3m2", "fp6_e2m3": "e2m3", "fp4_e2m1": "e2m1"}
"""Names of other libraries that are not aliases of ours."""


@dataclass(frozen=True)
class Case:
    """An output array of a quantisation recording, its entry in the index, and the arrays beside it."""

    archive: Archive
    arrays: dict[str, ArrayEntry]
    key: str

    @property
    def entry(self) -> ArrayEntry:
        """What the index says about the array."""
        return self.arrays[self.key]

    @property
    def name(self) -> str:
        """File and array, as the row is called."""
        return f"{self.archive.name}:{self.key}"

    @property
    def part(self) -> str:
        """Last part of the array's name: which output of an operation it is."""
        return self.key.rpartition("/")[2]

    def text(self, name: str) -> str:
        """Return a parameter that must be a string."""
        value = self.entry.params.get(name)
        if isinstance(value, str):
            return value
        raise self._wrong(name, "a string")

    def flag(self, name: str) -> bool:
        """Return a parameter that must be true or false."""
        value = self.entry.params.get(name)
        if isinstance(value, bool):
            return value
        raise self._wrong(name, "true or false")

    def number(self, name: str, low: int, high: int) -> int:
        """Return a parameter that must be an integer in a range."""
        value = self.entry.params.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise self._wrong(name, f"an integer in {low}..{high}")

    def _wrong(self, name: str, wanted: str) -> ValueError:
        return ValueError(f"params.{name} must be {wanted}, got {str(self.entry.params.get(name))[:80]!r}")

    def format(self, name: str) -> Format:
        """Find the format that a library calls by this name."""
        try:
            return format_of(_FORMATS.get(name, name))
        except UnknownNameError:
            raise UnsupportedError(f"no format {name!r}") from None

    def float_format(self, name: str) -> FloatFormat:
        """Find a floating-point format."""
        fmt = self.format(name)
        if not isinstance(fmt, FloatFormat):
            kind = (
                "integers, which chipmeter rounds and saturates"
                if isinstance(fmt, IntegerFormat)
                else "a table of values"
            )
            raise UnsupportedError(f"{name} here is {kind}")
        return fmt

    def recorded(self) -> AnyArray:
        """Read the recorded output."""
        return self.read(self.key)

    def read(self, key: str) -> AnyArray:
        """Read an array that the index lists."""
        if key not in self.arrays:
            raise ValueError(f"{self.name} refers to array {key!r}, which the index does not list")
        entry = self.arrays[key]
        return self.archive.read(key, entry.dtype, entry.shape)

    def source(self, kind: str = "float32", key: str | None = None) -> NDArray[Any]:
        """Read the input as floats of a dtype: `x` beside the array or above it, unless a key is given."""
        if key is None:
            parents = ["/".join(self.key.split("/")[:i]) for i in range(self.key.count("/"), -1, -1)]
            candidates = [f"{parent}/x" if parent else "x" for parent in parents]
            key = next((c for c in candidates if c in self.arrays), "x")
        if kind not in _FLOATS:
            raise UnsupportedError(f"inputs of {kind}")
        word, dtype = _FLOATS[kind]
        raw = self.read(key)
        if raw.dtype != word:
            raise ValueError(f"{self.archive.path}: input {key!r} must hold {kind} as {word}, got {raw.dtype}")
        return raw.view(dtype)
