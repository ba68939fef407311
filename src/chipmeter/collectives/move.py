"""Collectives that move data without arithmetic: exact whatever the algorithm, which only decides the time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from chipmeter._arrays import AnyArray, output_array
from chipmeter.collectives.run import own_output, prepare


def all_gather(shards: ArrayLike, *, out: AnyArray | None = None) -> AnyArray:
    """Give every rank the blocks of all ranks.

    Parameters
    ----------
    shards : array_like
        Shape (ranks, block, ...).
    out : ndarray, optional
        Of the shape returned, to give every rank a copy of its own.

    Returns
    -------
    ndarray
        Shape (ranks, ranks x block, ...): `out`, or a read-only view in which all ranks share one copy.

    Examples
    --------
    >>> import numpy as np
    >>> all_gather(np.int32([[1], [2]]))[0].tolist()
    [1, 2]
    """
    x = prepare(shards, None)
    whole = x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])
    shared = np.broadcast_to(whole, (len(x), *whole.shape))
    if out is None:
        return shared
    result = output_array(out, shared.shape, x.dtype, x)
    result[...] = shared
    return result


def broadcast(shards: ArrayLike, root: int = 0, *, out: AnyArray | None = None) -> AnyArray:
    """Give every rank the root's array; `out` may be the shards themselves.

    >>> import numpy as np
    >>> broadcast(np.int32([[1], [2]]), root=1).tolist()
    [[2], [2]]
    """
    x = prepare(shards, None)
    _rank(root, len(x), "root")
    result = own_output(out, x)
    result[...] = x[root].copy() if result is x else x[root]
    return result


def all_to_all(shards: ArrayLike, *, out: AnyArray | None = None) -> AnyArray:
    """Exchange blocks: block j of rank i becomes block i of rank j.

    Parameters
    ----------
    shards : array_like
        Shape (ranks, ranks x block, ...).
    out : ndarray, optional
        Of the shape of the shards; may be the shards themselves.

    Examples
    --------
    >>> import numpy as np
    >>> all_to_all(np.int32([[1, 2], [3, 4]])).tolist()
    [[1, 3], [2, 4]]
    """
    x = prepare(shards, None)
    n = len(x)
    if x.shape[1] % n:
        raise ValueError(f"axis 1 of {x.shape} must be a multiple of the {n} ranks")
    blocks = x.reshape(n, n, x.shape[1] // n, *x.shape[2:])
    exchanged = blocks.swapaxes(0, 1)
    result = own_output(out, x)
    result.reshape(exchanged.shape)[...] = exchanged.copy() if result is x else exchanged
    return result


def all_to_all_v(shards: Sequence[ArrayLike], counts: ArrayLike) -> list[AnyArray]:
    """Exchange blocks of unequal length.

    Parameters
    ----------
    shards : sequence of array_like
        One array for each rank, of one dtype: its blocks for ranks 0, 1, ... one after the other.
    counts : array_like of int
        Shape (ranks, ranks): elements (along axis 0) that rank i sends to rank j.

    Returns
    -------
    list of ndarray
        For each rank, what it receives from ranks 0, 1, ...

    Raises
    ------
    ValueError
        If counts are negative or do not add up to what a rank has.

    Examples
    --------
    >>> import numpy as np
    >>> [a.tolist() for a in all_to_all_v([np.int32([1, 2, 3]), np.int32([4])], [[1, 2], [0, 1]])]
    [[1], [2, 3, 4]]
    """
    arrays = [np.asarray(a) for a in shards]
    n = len(arrays)
    if n < 2:
        raise ValueError(f"a collective needs at least 2 ranks, got {n}")
    if len({a.dtype for a in arrays}) > 1 or len({a.shape[1:] for a in arrays}) > 1 or any(a.ndim < 1 for a in arrays):
        raise ValueError("ranks must hold arrays of one dtype, equal but for the length of axis 0")
    table = np.asarray(counts)
    if table.shape != (n, n) or table.dtype.kind not in "iu" or (table < 0).any():
        raise ValueError(f"counts must be a ({n}, {n}) array of integers, none negative")
    for i, a in enumerate(arrays):
        if int(table[i].sum()) != len(a):
            raise ValueError(f"rank {i} sends {int(table[i].sum())} elements but has {len(a)}")
    edges = np.concatenate([np.zeros((n, 1), np.int64), np.cumsum(table, axis=1)], axis=1)
    return [np.concatenate([arrays[i][edges[i, j] : edges[i, j + 1]] for i in range(n)]) for j in range(n)]


def permute(shards: ArrayLike, pairs: Sequence[tuple[int, int]]) -> AnyArray:
    """Send arrays from rank to rank; a rank that receives nothing has zeros (as XLA's collective-permute).

    Parameters
    ----------
    shards : array_like
        Shape (ranks, ...).
    pairs : sequence of (int, int)
        Source and target; each rank at most once as either.

    Examples
    --------
    >>> import numpy as np
    >>> permute(np.int32([[1], [2], [3]]), [(0, 1), (2, 0)]).tolist()
    [[3], [1], [0]]
    """
    x = prepare(shards, None)
    out = np.zeros_like(x)
    for a, b in pairs:
        _rank(a, len(x), "source")
        _rank(b, len(x), "target")
    for side, name in ((0, "source"), (1, "target")):
        ranks = [p[side] for p in pairs]
        if len(set(ranks)) < len(ranks):
            raise ValueError(f"each rank may be a {name} once, got {list(pairs)}")
    for a, b in pairs:
        out[b] = x[a]
    return out


def send(shards: ArrayLike, source: int, target: int) -> AnyArray:
    """Copy one rank's array over another's: a send and the receive that matches it.

    >>> import numpy as np
    >>> send(np.int32([[1], [2]]), 0, 1).tolist()
    [[1], [1]]
    """
    x = prepare(shards, None)
    _rank(source, len(x), "source")
    _rank(target, len(x), "target")
    out = x.copy()
    out[target] = x[source]
    return out


def _rank(rank: int, ranks: int, what: str) -> None:
    if isinstance(rank, bool) or not isinstance(rank, int) or not 0 <= rank < ranks:
        raise ValueError(f"{what} must be one of {ranks} ranks, got {rank!r}")
