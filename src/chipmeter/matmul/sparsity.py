"""Structured sparsity: n non-zeros in every m elements of K, as values with positions, and products with them.

The documented meaning is a selection: for every row of A, the rows of B that belong to its kept elements are gathered
and a dense product of the shorter depth follows (PTX ISA mma.sp, wgmma.sp and tcgen05; NKI's draft nc_matmul_sparse). How
many products a sparse instruction fuses is not published; here it is the dense unit's own arithmetic over the gathered
depth. Patterns: 2:4 (and 1:2 for tf32) of NVIDIA, 4:16, 4:12, 4:8, 2:8, 2:4, 1:4 and 1:2 of NeuronCore v3 and v4
(Trainium2 and Trainium3 guides).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray
from chipmeter.evidence import Evidence
from chipmeter.matmul.gemm import matmul
from chipmeter.matmul.names import unit as find_unit
from chipmeter.matmul.units import Chain, FusedDot, IntegerDot, Order, Unit

EVIDENCE = Evidence(
    "assumed",
    "selection then a dense product is documented (PTX ISA mma.sp; Trainium2 guide); fused length and alignment are not "
    "published",
    "2026-08",
)

PATTERNS = ("4:16", "4:12", "4:8", "2:8", "2:4", "1:4", "1:2")
_CHUNK = 1 << 22


def _pattern(name: str) -> tuple[int, int]:
    if name not in PATTERNS:
        raise ValueError(f"pattern must be one of {', '.join(PATTERNS)}, got {name!r}")
    kept, of = name.split(":")
    return int(kept), int(of)


@dataclass(frozen=True, eq=False)
class Sparse:
    """A row-sparse operand: kept values and their positions inside each group of K.

    Parameters
    ----------
    values : ndarray (M, K * n / m)
        Kept elements, group by group.
    positions : ndarray of uint8, same shape
        Position of each inside its group, 0 to m - 1, strictly ascending within a group (the metadata of mma.sp; the
        tags of nc_matmul_sparse).
    pattern : str
        "n:m", one of `PATTERNS`.

    Raises
    ------
    TypeError, ValueError
        If shapes, types or positions are not those of the pattern.

    Examples
    --------
    >>> Sparse(np.float16([[1, 2]]), np.uint8([[0, 3]]), "2:4").dense()
    array([[1., 0., 0., 2.]], dtype=float16)
    >>> Sparse(np.float16([[1, 2]]), np.uint8([[3, 0]]), "2:4")
    Traceback (most recent call last):
    ...
    ValueError: positions of a 2:4 operand must ascend within each group, row 0 has 3, 0 in group 0
    """

    values: AnyArray
    positions: NDArray[np.uint8]
    pattern: str

    def __post_init__(self) -> None:
        kept, of = _pattern(self.pattern)
        for x, what in ((self.values, "values"), (self.positions, "positions")):
            if not isinstance(x, np.ndarray) or x.ndim != 2:
                raise TypeError(f"{what} must be a matrix, got {getattr(x, 'shape', type(x).__name__)}")
        if self.positions.dtype != np.uint8 or self.positions.shape != self.values.shape:
            raise ValueError(
                f"positions must be uint8 of the values' shape {self.values.shape}, "
                f"got {self.positions.dtype} of {self.positions.shape}"
            )
        if self.values.shape[1] % kept or 0 in self.values.shape:
            raise ValueError(
                f"values of a {self.pattern} operand come in groups of {kept} along K, got {self.values.shape}"
            )
        groups = self.positions.reshape(len(self.positions), -1, kept).astype(np.int64)
        if groups.max() >= of:
            raise ValueError(f"positions of a {self.pattern} operand lie in 0..{of - 1}, got {groups.max()}")
        bad = np.argwhere((np.diff(groups, axis=2) <= 0).any(axis=2))
        if len(bad):
            row, group = bad[0]
            got = ", ".join(map(str, groups[row, group]))
            raise ValueError(
                f"positions of a {self.pattern} operand must ascend within each group, row {row} has {got} in group {group}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(M, K) of the operand with its zeros."""
        kept, of = _pattern(self.pattern)
        return self.values.shape[0], self.values.shape[1] // kept * of

    @property
    def rows_of_b(self) -> NDArray[np.int64]:
        """Which k each value belongs to."""
        kept, of = _pattern(self.pattern)
        group = np.arange(self.values.shape[1]) // kept * of
        return group + self.positions

    def dense(self) -> AnyArray:
        """Return the operand with its zeros, (M, K)."""
        word = f"u{self.values.dtype.itemsize}"
        out = np.zeros(self.shape, word)
        np.put_along_axis(out, self.rows_of_b, np.ascontiguousarray(self.values).view(word), 1)
        return out.view(self.values.dtype)

    def metadata(self) -> NDArray[np.uint16]:
        """Pack the positions of each row into 16-bit words, first position in the lowest bits; the last is padded with 0.

        Two bits per position for groups of 4 (PTX mma.sp), four bits for larger ones (the tags of nc_matmul_sparse); a
        1:2 position is the four bits that mma.sp takes for tf32, 0100 or 1110. Which thread or partition holds which
        word is an instruction's layout and not described here.

        >>> [hex(word) for word in Sparse(np.float16([[1, 2, 3, 4]]), np.uint8([[0, 3, 1, 2]]), "2:4").metadata()[0]]
        ['0x9c']
        """
        width, codes = _fields(self.pattern)
        fields = codes[self.positions]
        each = 16 // width
        padded = np.pad(fields, ((0, 0), (0, -fields.shape[1] % each))).reshape(len(fields), -1, each)
        shifted = padded.astype(np.uint32) << (width * np.arange(each, dtype=np.uint32))
        return np.asarray(shifted.sum(axis=2), np.uint16)

    @classmethod
    def from_metadata(cls, values: AnyArray, words: NDArray[np.uint16], pattern: str) -> Sparse:
        """Unpack what `metadata` packs.

        Raises
        ------
        TypeError, ValueError
            If the words do not fit the values, or hold what is no position of the pattern.
        """
        width, codes = _fields(pattern)
        each, count = 16 // width, values.shape[-1]
        if (
            not isinstance(words, np.ndarray)
            or words.dtype != np.uint16
            or words.shape != (len(values), -(-count // each))
        ):
            got = f"{words.dtype} {words.shape}" if isinstance(words, np.ndarray) else type(words).__name__
            raise ValueError(f"metadata must be uint16 of shape {(len(values), -(-count // each))}, got {got}")
        fields = words[..., None] >> (width * np.arange(each, dtype=np.uint16)) & np.uint16((1 << width) - 1)
        fields = fields.reshape(len(values), -1)[:, :count]
        known = np.isin(fields, codes)
        if not known.all():
            accepted = ", ".join(f"{code:0{width}b}" for code in codes)
            raise ValueError(f"metadata of a {pattern} operand holds {accepted}, got {fields[~known][0]:0{width}b}")
        place = np.zeros(1 << width, np.uint8)
        place[codes] = np.arange(len(codes))
        return cls(values, place[fields], pattern)


def _fields(pattern: str) -> tuple[int, NDArray[np.uint16]]:
    """Width of one position in the metadata, and the code of every position."""
    _, of = _pattern(pattern)
    if of == 2:
        return 4, np.array([0b0100, 0b1110], np.uint16)
    return (2 if of == 4 else 4), np.arange(of, dtype=np.uint16)


def sparsify(x: AnyArray, pattern: str = "2:4") -> Sparse:
    """Keep the n largest magnitudes in every m elements along the last axis; of equals, the first.

    Where a group has fewer than n non-zeros, zeros fill it up, so an operand that obeys the pattern already is kept as
    it is. NaN counts as larger than everything.

    Raises
    ------
    TypeError, ValueError
        If x is no matrix, or K no multiple of m.

    Examples
    --------
    >>> sparsify(np.float32([[1, -4, 3, 2]])).dense()
    array([[ 0., -4.,  3.,  0.]], dtype=float32)
    """
    kept, of = _pattern(pattern)
    if not isinstance(x, np.ndarray) or x.ndim != 2:
        raise TypeError(f"x must be a matrix, got {getattr(x, 'shape', type(x).__name__)}")
    if 0 in x.shape or x.shape[1] % of:
        raise ValueError(f"K must be a positive multiple of {of} for {pattern}, got shape {x.shape}")
    size = np.abs(x.astype(np.float64)).reshape(len(x), -1, of)
    size[np.isnan(size)] = np.inf
    chosen = np.sort(np.argsort(-size, axis=2, kind="stable")[..., :kept], axis=2)
    word = x.view(f"u{x.dtype.itemsize}").reshape(size.shape)
    values = np.take_along_axis(word, chosen, 2).reshape(len(x), -1).view(x.dtype)
    return Sparse(values, chosen.astype(np.uint8).reshape(values.shape), pattern)


def from_masked(x: AnyArray, pattern: str = "2:4") -> Sparse:
    """Take an operand whose zeros are written out, and check that it obeys the pattern.

    Raises
    ------
    ValueError
        If a group has more non-zeros than the pattern keeps.

    Examples
    --------
    >>> from_masked(np.float32([[1, 2, 3, 0]]))
    Traceback (most recent call last):
    ...
    ValueError: x does not obey 2:4: row 0 has 3 non-zeros in k = 0..3
    """
    found = sparsify(x, pattern)
    kept, of = _pattern(pattern)
    count = (x.reshape(len(x), -1, of) != 0).sum(axis=2)
    bad = np.argwhere(count > kept)
    if len(bad):
        row, group = bad[0]
        raise ValueError(
            f"x does not obey {pattern}: row {row} has {count[row, group]} non-zeros in k = {group * of}..{group * of + of - 1}"
        )
    return found


def sparse_matmul(
    a: Sparse,
    b: AnyArray,
    c: AnyArray | None = None,
    *,
    unit: str | Unit,
    order: Order | None = None,
    threads: int | None = None,
) -> AnyArray:
    """Multiply a row-sparse A with B: for every row the kept elements' rows of B are gathered, then the unit's chain.

    Rounding: that of the unit over the gathered depth K * n / m, k ascending. Rows of B that a row of A does not keep
    are not read: a NaN there does not reach that row of the result, and their number of elements does not count toward
    a step or a tile.

    Parameters
    ----------
    a : Sparse
        See `sparsify` and `from_masked`.
    b : ndarray (K, N)
    c : ndarray (M, N), optional
    unit : str or Unit
        Without block scales.
    order : str, optional
        For units whose order is a policy.
    threads : int, optional

    Returns
    -------
    ndarray (M, N)

    Raises
    ------
    TypeError, ValueError
        As `matmul`; and if the unit is block-scaled.

    Examples
    --------
    >>> x = np.float16([[1, 0, 0, 2]])
    >>> sparse_matmul(from_masked(x), np.ones((4, 2), np.float16), unit="h100/fp16")
    array([[3., 3.]], dtype=float32)
    """
    chosen = find_unit(unit)
    if order is not None:
        chosen = chosen.with_order(order)
    if not isinstance(a, Sparse):
        raise TypeError(f"a must be a Sparse operand (see sparsify), got {type(a).__name__}")
    if chosen.scale is not None:
        raise ValueError(f"sparse operands with block scales are not described publicly; {chosen.name} is block-scaled")
    if chosen.a == "b1":
        raise ValueError(f"no instruction multiplies sparse bits; {chosen.name} is dense only")
    if not isinstance(b, np.ndarray) or b.ndim != 2 or b.shape[0] != a.shape[1]:
        raise ValueError(
            f"b must be a matrix of {a.shape[1]} rows for a of shape {a.shape}, got {getattr(b, 'shape', b)!r}"
        )
    kept, of = _pattern(a.pattern)
    stretched = _stretched(chosen, kept, of)
    if stretched is None:
        return _gathered(a, b, c, chosen, threads)
    d = matmul(a.dense(), b, c, unit=stretched, threads=threads)
    if isinstance(chosen.model, IntegerDot):
        return d
    # zeros of A times infinities of B, and signs of zero, are what the stretched chain gets wrong
    doubtful = (d == 0) | ~_finite(d) | ~_finite(b).all(axis=0)
    for row in np.flatnonzero(doubtful.any(axis=1)):
        at = np.flatnonzero(doubtful[row])
        one = Sparse(a.values[row : row + 1], a.positions[row : row + 1], a.pattern)
        start = None if c is None else c[row : row + 1, at]
        d[row, at] = _gathered(one, np.ascontiguousarray(b[:, at]), start, chosen, threads)[0]
    return d


def _finite(x: AnyArray) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(x if x.dtype.itemsize >= 4 else x.astype(np.float32)))


def _stretched(unit: Unit, kept: int, of: int) -> Unit | None:
    """Build the unit whose chain over all of K, zeros included, is this unit's over the kept elements; None: there is none."""
    match unit.model:
        case IntegerDot():
            depth = unit.k * of // kept
            return unit if not unit.model.clamp else _deeper(unit, depth, unit.model) if depth <= 1024 else None
        case FusedDot() if not unit.model.group:
            products = min(unit.model.products, unit.k) * of // kept
            if products > 32 or unit.k * of // kept > 1024:
                return None
            model = FusedDot(products, unit.model.fraction_bits, unit.model.output, unit.model.floor_exponent)
            return _deeper(unit, unit.k * of // kept, model)
        case Chain() if unit.model.order in ("sequential", "bf16-products"):
            if unit.model.tile == 0:
                return unit
            return _deeper(unit, unit.k, Chain(unit.model.order, unit.model.tile * of // kept))
        case _:
            return None


def _deeper(unit: Unit, k: int, model: FusedDot | Chain | IntegerDot) -> Unit:
    name = f"{unit.name} (with the zeros)"
    return Unit(name, unit.a, unit.b, unit.c, unit.d, k, model, unit.evidence)


def _gathered(a: Sparse, b: AnyArray, c: AnyArray | None, unit: Unit, threads: int | None) -> AnyArray:
    """Gather B's rows for every row of A; the definition, and the path of whatever the fast one cannot express."""
    where, parts = a.rows_of_b, []
    step = max(1, _CHUNK // max(1, where.shape[1] * b.shape[1]))
    for i in range(0, len(where), step):
        rows = slice(i, i + step)
        start = None if c is None else c[rows, None, :]
        parts.append(matmul(a.values[rows, None, :], b[where[rows]], start, unit=unit, threads=threads)[:, 0, :])
    return np.concatenate(parts)
