"""How software lays MX operands and their scales out for NeuronCore v4 (aws-neuron-sdk, NKI ISA nc_matmul_mx)."""

from __future__ import annotations

import numpy as np

from chipmeter._arrays import AnyArray, as_array
from chipmeter.matmul.neuroncore import ROWS


def mx_layout(x: AnyArray) -> AnyArray:
    """Lay rows of K out as the MX instructions read them: (K, F) to (K / 4, F, 4), packed elements K / 4 rows apart.

    Raises
    ------
    ValueError
        If K is no multiple of 128 up to 512.

    Examples
    --------
    >>> mx_layout(np.arange(128)[:, None])[1, 0]
    array([ 1, 33, 65, 97])
    """
    x = as_array(x, "x")
    if x.ndim != 2 or x.shape[0] % 128 or not 128 <= x.shape[0] <= 4 * ROWS:
        raise ValueError(f"x must have shape (K, F) with K = 128, 256, 384 or 512, got {x.shape}")
    return np.ascontiguousarray(x.reshape(4, -1, x.shape[1]).transpose(1, 2, 0))


def mx_scale_layout(scales: AnyArray) -> AnyArray:
    """Lay one scale per group (groups, F) out over partitions: group g in partition 32 * (g // 4) + g % 4.

    Group g holds partitions 8 g to 8 g + 7. Partitions that hold no scale are filled with 127, the code of 1.

    Examples
    --------
    >>> mx_scale_layout(np.uint8([[1], [2], [3], [4]]))[:6, 0]
    array([  1,   2,   3,   4, 127, 127], dtype=uint8)
    """
    scales = as_array(scales, "scales")
    if scales.dtype.itemsize != 1:
        raise TypeError(f"scales must be codes of one byte, got dtype {scales.dtype}")
    if scales.ndim != 2 or scales.shape[0] % 4 or scales.shape[0] > ROWS // 8:
        raise ValueError(f"scales must have shape (groups, F) with 4, 8, 12 or 16 groups, got {scales.shape}")
    out = np.full((8 * scales.shape[0], scales.shape[1]), 127, np.uint8)
    groups = np.arange(scales.shape[0])
    out[groups // 4 * 32 + groups % 4] = scales.view(np.uint8)
    return out
