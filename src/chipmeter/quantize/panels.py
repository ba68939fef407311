"""A matrix quantised down its columns, into codes in the transposed order; panel by panel, so that it comes from memory once."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels, _recycle
from chipmeter._arrays import AnyArray
from chipmeter._threads import split
from chipmeter.formats.codec import code_dtype
from chipmeter.formats.records import FORMATS
from chipmeter.quantize import nvfp4
from chipmeter.quantize.forward import largest
from chipmeter.quantize.recipe import Recipe
from chipmeter.quantize.rules import Floats
from chipmeter.quantize.specs import tile_spec
from chipmeter.quantize.tensor import QuantizedTensor

_PANEL = 1 << 20
"""Numbers of a panel: rows so long that few are begun, so many of them that what is turned over has whole lines side by side."""
_LINE = 64
"""Codes of a line of memory: what is turned over is written in whole ones."""


def quantize_down(x: Floats, rule: Recipe, threads: int) -> QuantizedTensor:
    """Quantise the transpose of a C-contiguous matrix along its last axis.

    >>> from chipmeter.quantize.blocks import quantize
    >>> from chipmeter.quantize.recipes import RECIPES
    >>> x = np.arange(4096, dtype=np.float32).reshape(64, 64)
    >>> quantize_down(x, RECIPES["mxfp8"], 1) == quantize(np.ascontiguousarray(x.T), "mxfp8")
    True
    """
    (down,) = _Panels(x, rule, threads, both=False).quantised()
    return down


def quantize_across_and_down(x: Floats, rule: Recipe, threads: int) -> tuple[QuantizedTensor, QuantizedTensor]:
    """Quantise a C-contiguous matrix along its last axis, and its transpose along the last axis of that."""
    down, across = _Panels(x, rule, threads, both=True).quantised()
    return across, down


class _Side:
    """What one of the two tensors consists of."""

    def __init__(self, shape: tuple[int, int], rule: Recipe) -> None:
        self.codes = _recycle.empty(shape, np.dtype(np.uint8))
        self.scales = np.empty(
            (shape[0], -(-shape[1] // rule.block)), np.float32 if rule.scale == "float32" else np.uint8
        )
        self.zero = np.empty(self.scales.shape, np.int32) if rule.mapping is not None else None
        self._block = rule.block

    def part(
        self, top: int, left: int, height: int, width: int
    ) -> tuple[NDArray[np.uint8], AnyArray, NDArray[np.int32] | None]:
        """Codes, scales and zero points of a panel."""
        lines, blocks = slice(top, top + height), slice(left // self._block, -(-(left + width) // self._block))
        zero = None if self.zero is None else self.zero[lines, blocks]
        return self.codes[lines, left : left + width], self.scales[lines, blocks], zero


class _Panels:
    """The panels of a matrix, and the one or two tensors that they are quantised into."""

    def __init__(self, x: Floats, rule: Recipe, threads: int, *, both: bool) -> None:
        self._x, self._rule, self._threads = x, rule, threads
        height, width = x.shape
        unit = math.lcm(rule.block, _LINE)
        self._columns = min(-(-width // unit) * unit, max(unit, _PANEL // unit // unit * unit))
        self._rows = max(unit, _PANEL // self._columns // unit * unit)
        second = None
        if rule.two_level:
            second = nvfp4.second_level(np.uint32(largest(x, threads)).view(np.float32), rule.flavour)
        self._tensor_scale = np.float32(1) if second is None else second.tensor_scale
        self._spec = tile_spec(rule, second)
        self._down = _Side((width, height), rule)
        self._across = _Side((height, width), rule) if both else None

    def quantised(self) -> list[QuantizedTensor]:
        """Do all panels: the tensor of the transpose, and that of the matrix if it is wanted."""
        beside = -(-self._x.shape[1] // self._columns)

        def work(begin: int, end: int) -> None:
            for i in range(begin, end):
                self._panel(i // beside * self._rows, i % beside * self._columns)

        split(work, -(-self._x.shape[0] // self._rows) * beside, self._threads, 1)
        return [self._tensor(side) for side in (self._down, self._across) if side is not None]

    def _panel(self, top: int, left: int) -> None:
        part = self._x[top : top + self._rows, left : left + self._columns]
        height, width = part.shape
        block = self._rule.block
        target, scales, zeros = self._down.part(left, top, width, height)
        codes = np.empty((height, width + _LINE), np.uint8)[:, :width]  # rows that do not meet in the cache
        found = np.empty(scales.shape[::-1], scales.dtype)
        points = None if zeros is None else np.empty(found.shape, np.int32)
        _tiles(part, codes, found, points, (block, 1), self._spec)
        _kernels.transpose_u8(codes, target)
        scales[...] = found.T
        if zeros is not None and points is not None:
            zeros[...] = points.T
        if self._across is not None:
            _tiles(part, *self._across.part(top, left, height, width), (1, block), self._spec)

    def _tensor(self, side: _Side) -> QuantizedTensor:
        rule = self._rule
        scales = side.scales if rule.scale == "float32" else side.scales.view(code_dtype(FORMATS[rule.scale]))
        codes = side.codes.view(code_dtype(rule.element_format))
        return QuantizedTensor(codes, scales, self._tensor_scale, 1, rule, side.zero)


def _tiles(
    x: Floats,
    codes: NDArray[np.uint8],
    scales: AnyArray,
    zero: NDArray[np.int32] | None,
    tile: tuple[int, int],
    spec: _kernels.TileSpec,
) -> None:
    zeros = None if zero is None else zero[None]
    _kernels.tiles_f32(x[None], codes[None], scales[None], zeros, None, *tile, spec)
