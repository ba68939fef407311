"""Cut the last two axes into tiles, each a row, and put rows back."""

from __future__ import annotations

import numpy as np

from chipmeter._arrays import AnyArray


def to_tiles(x: AnyArray, rows: int, columns: int) -> AnyArray:
    """Cut an array into tiles of `rows` by `columns` of its last two axes; zeros fill up tiles at the ends.

    Returns
    -------
    ndarray, shape (number of tiles, rows * columns)
        Tiles in row-major order of their positions, elements row-major within.

    Examples
    --------
    >>> to_tiles(np.arange(6).reshape(2, 3), 2, 2)
    array([[0, 1, 3, 4],
           [2, 0, 5, 0]])
    """
    grid = grid_shape(x.shape, rows, columns)
    *outer, height, width = (1, *x.shape) if x.ndim == 1 else x.shape
    x = x.reshape(*outer, height, width)
    if height % rows or width % columns:
        padded = np.zeros((*outer, grid[-2] * rows, grid[-1] * columns), x.dtype)
        padded[..., :height, :width] = x
        x = padded
    cut = x.reshape(-1, grid[-2], rows, grid[-1], columns).transpose(0, 1, 3, 2, 4)
    return np.ascontiguousarray(cut).reshape(-1, rows * columns)


def from_tiles(tiles: AnyArray, shape: tuple[int, ...], rows: int, columns: int) -> AnyArray:
    """Undo `to_tiles` for an array of this shape.

    >>> from_tiles(to_tiles(np.arange(6).reshape(2, 3), 2, 2), (2, 3), 2, 2)
    array([[0, 1, 2],
           [3, 4, 5]])
    """
    grid = grid_shape(shape, rows, columns)
    *outer, height, width = (1, *shape) if len(shape) == 1 else shape
    cut = tiles.reshape(-1, grid[-2], grid[-1], rows, columns).transpose(0, 1, 3, 2, 4)
    whole = np.ascontiguousarray(cut).reshape(*outer, grid[-2] * rows, grid[-1] * columns)
    return np.ascontiguousarray(whole[..., :height, :width]).reshape(shape)


def grid_shape(shape: tuple[int, ...], rows: int, columns: int) -> tuple[int, ...]:
    """Return the shape of one scale per tile; of a vector, with a row axis of length 1 in front.

    >>> grid_shape((2, 130, 300), 128, 128)
    (2, 2, 3)
    """
    *outer, height, width = (1, *shape) if len(shape) == 1 else shape
    return (*outer, -(-height // rows), -(-width // columns))
