"""Evaluate costly functions once for every distinct row of their inputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from chipmeter.cost.fitting import Array

Value = float | Array


def distinct(columns: tuple[Array, ...]) -> tuple[tuple[Array, ...], NDArray[np.int64]]:
    """Find the distinct rows of columns of one length, and the distinct row that each row is.

    >>> (m, n), row = distinct((np.array([8.0, 8.0, 4.0]), np.array([2.0, 2.0, 2.0])))
    >>> m.tolist(), row.tolist()
    ([4.0, 8.0], [1, 1, 0])
    """
    code = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        values, inverse = np.unique(column, return_inverse=True)
        code = np.unique(code * len(values) + inverse, return_inverse=True)[1]
    first = np.unique(code, return_index=True)[1]
    return tuple(column[first] for column in columns), code


FEW = 64
"""Rows up to which finding the distinct ones is not worth its time."""


def once_each(function: Callable[..., Array], *inputs: Value, at_once: int = 4096) -> Array:
    """Call a function of columns on the distinct rows of its broadcast inputs, some thousand at a time.

    >>> once_each(lambda a, b: a + b, np.array([[1.0], [2.0]]), np.array([5.0, 5.0])).tolist()
    [[6.0, 6.0], [7.0, 7.0]]
    """
    whole = np.broadcast_arrays(*(np.asarray(one, dtype=np.float64) for one in inputs))
    columns = tuple(one.ravel() for one in whole)
    if len(columns[0]) <= FEW:
        return function(*columns).reshape(whole[0].shape)
    rows, place = distinct(columns)
    found = [
        function(*(column[start : start + at_once] for column in rows)) for start in range(0, len(rows[0]), at_once)
    ]
    return np.concatenate(found)[place].reshape(whole[0].shape)
