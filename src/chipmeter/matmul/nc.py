"""The TensorE one instruction at a time: nc_matmul, nc_matmul_mx and nc_transpose into PSUM, in program order.

Source: aws-neuron-sdk at 81ce03ae (NKI ISA and architecture guides of Trainium 1 to 3), read 2026-08. `matmul` with a
NeuronCore unit is a loop over these instructions; here a kernel's own loop can be written down, with its tiles, the
order of its instructions, the type of PSUM and what hardware leaves undefined.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from chipmeter._arrays import AnyArray, dtype_of
from chipmeter.formats import cast, decode
from chipmeter.matmul.gemm import matmul
from chipmeter.matmul.names import units
from chipmeter.matmul.neuroncore import CHIPS, PREFERRED, ROWS
from chipmeter.matmul.units import Order, Unit

Mode = Literal["double_row"]
Write = Literal["nearest-even", "stochastic"]

_KINDS = {
    "bfloat16": "bf16", "float16": "f16", "float32": "f32", "float8_e4m3": "e4m3ieee", "float8_e4m3fn": "e4m3",
    "float8_e5m2": "e5m2", "float8_e3m4": "e3m4", "float4_e2m1fn": "e2m1",
}  # fmt: skip
_UNTOUCHED, _BY_MATMUL, _BY_OTHER = 0, 1, 2
_BANK = 2048
_BANKS = 8


def _core(name: str) -> str:
    core = CHIPS.get(name, name) if isinstance(name, str) else None
    if core not in PREFERRED:
        raise ValueError(f"core must be one of {', '.join((*PREFERRED, *CHIPS))}, got {name!r}")
    return core


class Psum:
    """A region of a NeuronCore's PSUM: its numbers, and for every location what initialised it.

    Parameters
    ----------
    columns : int
        Elements per partition: 8 banks of 2 KiB hold 4096 float32 or 8192 bfloat16.
    core : str
        `neuroncore-v2`, `-v3`, `-v4`, or a chip: trn1, inf2, trn2, trn3.
    dtype : {"float32", "bfloat16"}
        bfloat16 exists on v4 only. Every write then rounds once: an accumulation widens the old value, adds in float32
        and rounds again.
    rounding : {"nearest-even", "stochastic"}
        Of writes to bfloat16. Stochastic: Philox4x32-10 with `seed`, one 32-bit word per element written, in program
        order; the device's own generator is not published.

    Raises
    ------
    ValueError
        For a core, type or size that does not exist.

    Examples
    --------
    >>> psum = Psum(4, "trn2")
    >>> x = np.ones((128, 4), np.float16)
    >>> psum.matmul(x, x)
    >>> psum.matmul(x, x, accumulate=True)
    >>> psum.read(4)[0]
    array([256., 256., 256., 256.], dtype=float32)
    """

    def __init__(
        self,
        columns: int,
        core: str = "neuroncore-v3",
        dtype: str = "float32",
        rounding: Write = "nearest-even",
        seed: int = 0,
    ) -> None:
        self.core = _core(core)
        if dtype not in ("float32", "bfloat16") or (dtype == "bfloat16" and self.core != "neuroncore-v4"):
            raise ValueError(
                f"PSUM of {self.core} holds float32{' or bfloat16' * (self.core[-1] == '4')}, got {dtype!r}"
            )
        if rounding not in ("nearest-even", "stochastic") or (rounding == "stochastic" and dtype == "float32"):
            raise ValueError(f"rounding must be nearest-even, or stochastic with dtype bfloat16, got {rounding!r}")
        self.dtype, self.rounding, self.seed = dtype_of(dtype), rounding, seed
        most = _BANKS * _BANK // self.dtype.itemsize
        if isinstance(columns, bool) or not isinstance(columns, int) or not 1 <= columns <= most:
            raise ValueError(f"columns must be an integer in 1..{most} for {dtype}, got {columns!r}")
        self._values = np.full((ROWS, columns), np.nan, np.float32)
        self._origin = np.full((ROWS, columns), _UNTOUCHED, np.uint8)
        self._written = 0

    def matmul(
        self,
        stationary: AnyArray,
        moving: AnyArray,
        *,
        at: int = 0,
        accumulate: bool = False,
        perf_mode: Mode | None = None,
        tf32: bool = False,
        tile_position: tuple[int, int] = (0, 0),
        tile_size: tuple[int, int] = (ROWS, ROWS),
        order: Order | None = None,
        allow_undefined: bool = False,
        threads: int | None = None,
    ) -> None:
        """nc_matmul: stationary.T @ moving, written over or added to PSUM.

        Rounding: one tile's sum in the unit's order (`order`, else its default), from zero; then, when accumulating,
        one float32 addition; then one rounding if PSUM is bfloat16.

        Parameters
        ----------
        stationary : ndarray (K, M), or (K, 2, M) in double_row
            K at most 128 partitions, M at most 128.
        moving : ndarray (K, N), or (K, 2, N) in double_row
            N at most one bank of PSUM (512 float32) on v2 and v3.
        at : int
            First column of PSUM; partitions begin at the column tile's position.
        accumulate : bool
            Add to PSUM instead of overwriting it.
        perf_mode : {"double_row"}, optional
            8-bit operands of v3 and v4; every processing element multiplies two pairs.
        tf32 : bool
            Take float32 operands as tf32: their low 13 bits are ignored.
        tile_position, tile_size : (int, int)
            Rows and columns of the array that are used: tiles of 128, 64 or (from v3) 32, at multiples of their size.
        order : str, optional
        allow_undefined : bool
            Accumulate even where hardware leaves the result undefined: locations nothing has written hold NaN here,
            locations that another engine wrote keep their number.

        Raises
        ------
        TypeError, ValueError
            For operand types the core does not multiply, shapes or tiles it does not have, and undefined accumulation.
        """
        lanes = 2 if perf_mode == "double_row" else 1
        if perf_mode not in (None, "double_row"):
            raise ValueError(f"perf_mode must be double_row or None, got {perf_mode!r}")
        unit = self._unit("matmul-double-row" if lanes == 2 else "matmul", stationary, moving, tf32=tf32)
        self._check_tile(tile_position, tile_size, lanes)
        left, right = _fold(stationary, lanes, "stationary"), _fold(moving, lanes, "moving")
        if len(left) > tile_size[0] * lanes or left.shape[1] > tile_size[1]:
            raise ValueError(
                f"stationary of {len(left) // lanes} rows and {left.shape[1]} columns exceeds the tile {tile_size}"
            )
        self._run(unit, left.T, right, {}, (tile_position[1], at), accumulate, order, allow_undefined, threads)

    def matmul_mx(
        self,
        stationary: AnyArray,
        moving: AnyArray,
        stationary_scale: AnyArray,
        moving_scale: AnyArray,
        *,
        at: int = 0,
        accumulate: bool = False,
        tile_position: int = 0,
        tile_size: int = ROWS,
        order: Order | None = None,
        allow_undefined: bool = False,
        threads: int | None = None,
    ) -> None:
        """nc_matmul_mx (v4): MXFP8 or MXFP4 operands, four elements per partition, one scale per 8 partitions x 4.

        Parameters
        ----------
        stationary : ndarray (P, M, 4)
            P a multiple of 32, at most 128; M even, at most 128. `mx_layout` makes it from rows of K.
        moving : ndarray (P, N, 4)
        stationary_scale, moving_scale : ndarray (P, M) and (P, N), uint8 or float8_e8m0fnu
            The first four partitions of every 32 hold the scales of its four groups; others are not read. See
            `mx_scale_layout`.
        at, accumulate, order, allow_undefined
            As for `matmul`.
        tile_position, tile_size : int
            Rows of the array that are used; MX has no column tiles.

        Raises
        ------
        TypeError, ValueError
            As for `matmul`.
        """
        unit = self._unit("matmul-mx", stationary, moving, tf32=False)
        self._check_tile((tile_position, 0), (tile_size, ROWS), 4)
        for x, s, what in ((stationary, stationary_scale, "stationary"), (moving, moving_scale, "moving")):
            if x.ndim != 3 or x.shape[2] != 4 or x.shape[0] % 32 or not 32 <= x.shape[0] <= tile_size:
                raise ValueError(
                    f"{what} must have shape (P, F, 4) with P a multiple of 32 up to {tile_size}, got {x.shape}"
                )
            if (
                not isinstance(s, np.ndarray)
                or s.dtype.name not in ("uint8", "float8_e8m0fnu")
                or s.shape != x.shape[:2]
            ):
                got = f"{s.dtype} {s.shape}" if isinstance(s, np.ndarray) else type(s).__name__
                raise ValueError(f"{what}_scale must be uint8 or float8_e8m0fnu of shape {x.shape[:2]}, got {got}")
        if stationary.shape[1] > ROWS or stationary.shape[1] % 2:
            raise ValueError(f"stationary must have an even number of columns up to 128, got {stationary.shape[1]}")
        left, right = (_fold(x.transpose(0, 2, 1), 4, w) for x, w in ((stationary, "stationary"), (moving, "moving")))
        held = np.arange(len(left) // 32)
        held = held // 4 * 32 + held % 4
        scales = {
            "scale_a": stationary_scale.view(np.uint8)[held].T,
            "scale_b": moving_scale.view(np.uint8)[held],
        }
        self._run(unit, left.T, right, scales, (0, at), accumulate, order, allow_undefined, threads)

    def write(self, values: AnyArray, *, at: tuple[int, int] = (0, 0)) -> None:
        """Write by another engine: rounded to PSUM's type, and no defined start of an accumulation on v2 and v3."""
        values = np.asarray(values, np.float32)
        if values.ndim != 2:
            raise ValueError(f"values must be a matrix (partitions, columns), got shape {values.shape}")
        self._store(self._region(at, values.shape), values, _BY_OTHER)

    def read(self, partitions: int = ROWS, *, allow_undefined: bool = False) -> AnyArray:
        """Return the first partitions, in PSUM's type.

        Raises
        ------
        ValueError
            If a location has never been written; `allow_undefined=True` reads NaN there.
        """
        if isinstance(partitions, bool) or not isinstance(partitions, int) or not 1 <= partitions <= ROWS:
            raise ValueError(f"partitions must be an integer in 1..{ROWS}, got {partitions!r}")
        missing = int((self._origin[:partitions] == _UNTOUCHED).sum())
        if missing and not allow_undefined:
            raise ValueError(f"{missing} locations of PSUM were never written; allow_undefined=True reads them as NaN")
        return self._values[:partitions].astype(self.dtype)

    def _unit(self, family: str, stationary: Any, moving: Any, *, tf32: bool) -> Unit:
        kinds = []
        for x, what in ((stationary, "stationary"), (moving, "moving")):
            if not isinstance(x, np.ndarray):
                raise TypeError(f"{what} must be a NumPy array, got {type(x).__name__}")
            kind = _KINDS.get(x.dtype.name, x.dtype.name)
            kinds.append("tf32" if tf32 and kind == "f32" else kind)
        found = units().get(f"{self.core}/{family}.{kinds[0]}.{kinds[1]}.f32.f32")
        if found is None:
            prefix = f"{self.core}/{family}."
            pairs = sorted({f"{u.a} x {u.b}" for n, u in units().items() if n.startswith(prefix)})
            takes = f"takes {', '.join(pairs)}" if pairs else "does not exist"
            raise TypeError(f"{family} on {self.core} {takes}; got {kinds[0]} x {kinds[1]}")
        return found

    def _check_tile(self, position: tuple[int, int], size: tuple[int, int], lanes: int) -> None:
        sizes = (128, 64) if self.core == "neuroncore-v2" else (128, 64, 32)
        for where, edge, what in zip(position, size, ("row", "column"), strict=True):
            if edge not in sizes or where not in range(0, ROWS, edge):
                raise ValueError(
                    f"a {what} tile of {self.core} has size {', '.join(map(str, sizes))} and a position at a multiple of it, "
                    f"got size {edge} at {where}"
                )
        if lanes == 2 and size[1] != ROWS:
            raise ValueError(f"double_row has no column tiles, got tile_size {size}")

    def _region(self, at: tuple[int, int], shape: tuple[int, ...]) -> tuple[slice, slice]:
        region = slice(at[0], at[0] + shape[0]), slice(at[1], at[1] + shape[1])
        if min(at) < 0 or region[0].stop > ROWS or region[1].stop > self._values.shape[1]:
            raise ValueError(f"{shape} at {at} lies outside PSUM's {self._values.shape}")
        return region

    def _run(
        self, unit: Unit, left: AnyArray, right: AnyArray, scales: dict[str, AnyArray], at: tuple[int, int],
        accumulate: bool, order: Order | None, allow_undefined: bool, threads: int | None,
    ) -> None:  # fmt: skip
        if left.shape[1] != right.shape[0]:
            raise ValueError(
                f"stationary and moving must share the contraction rows, got {left.shape[1]} and {right.shape[0]}"
            )
        most = (_BANK if self.core != "neuroncore-v4" else _BANKS * _BANK) // self.dtype.itemsize
        if right.shape[1] > most:
            raise ValueError(f"moving has at most {most} columns on {self.core}, got {right.shape[1]}")
        region = self._region(at, (left.shape[0], right.shape[1]))
        start: AnyArray | None = None
        if accumulate:
            self._check_start(self._origin[region], allow_undefined)
            start = self._values[region]
        side_a, side_b = scales.get("scale_a"), scales.get("scale_b")
        product = matmul(left, right, start, unit=unit, order=order, threads=threads, scale_a=side_a, scale_b=side_b)
        self._store(region, product, _BY_MATMUL)

    def _check_start(self, origin: AnyArray, allow_undefined: bool) -> None:
        if allow_undefined:
            return
        if (origin == _UNTOUCHED).any():
            raise ValueError(
                "undefined PSUM accumulation: accumulate=True on locations that nothing has written; the first matmul must "
                "overwrite (accumulate=False), or allow_undefined=True to insist"
            )
        if self.core != "neuroncore-v4" and (origin == _BY_OTHER).any():
            raise ValueError(
                f"undefined PSUM accumulation: accumulate=True on locations initialised by another engine, on {self.core}; "
                "overwrite first, or allow_undefined=True to insist"
            )

    def _store(self, region: tuple[slice, slice], values: AnyArray, origin: int) -> None:
        if self.dtype.name == "bfloat16":
            codes = cast(values, "bfloat16", rounding=self.rounding, nan=0x7FFF, seed=self.seed, offset=self._written)
            self._written += values.size
            values = decode(codes)
        self._values[region] = values
        self._origin[region] = origin


def nc_transpose(x: AnyArray, core: str = "neuroncore-v3", *, threads: int | None = None) -> AnyArray:
    """Transpose a tile on the TensorE.

    From v3 a bit-exact mode, NaN and infinity included: 16-bit floats and float32 keep their type, 8-bit floats come
    out as 16-bit elements whose upper byte is zero (uint16). On v2 a multiplication by the identity, so the result is
    float32 and a NaN or infinity turns the rest of its row of the result into NaN (inferred).

    Parameters
    ----------
    x : ndarray (P, F)
        At most 128 x 128 (512 columns of PSUM are never needed).
    core : str

    Returns
    -------
    ndarray (F, P)

    Raises
    ------
    TypeError, ValueError
        For types or shapes the array does not take.

    Examples
    --------
    >>> nc_transpose(np.float32([[1, np.inf], [2, 3]]), "trn2")
    array([[ 1.,  2.],
           [inf,  3.]], dtype=float32)
    >>> nc_transpose(np.float32([[1, np.inf], [2, 3]]), "trn1")
    array([[ 1.,  2.],
           [inf, nan]], dtype=float32)
    """
    core = _core(core)
    if not isinstance(x, np.ndarray) or x.dtype.name not in _KINDS or x.dtype.name == "float4_e2m1fn":
        got = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
        accepted = ", ".join(n for n in _KINDS if n != "float4_e2m1fn")
        raise TypeError(f"x must be an array of {accepted}, got {got}")
    if x.ndim != 2 or not 1 <= x.shape[0] <= ROWS or not 1 <= x.shape[1] <= ROWS:
        raise ValueError(f"x must be a tile of at most {ROWS} x {ROWS}, got shape {x.shape}")
    if core == "neuroncore-v2":
        psum = Psum(x.shape[0], core)
        psum.matmul(x, np.eye(x.shape[0]).astype(x.dtype), threads=threads)
        return psum.read(x.shape[1])
    if x.dtype.itemsize == 1:
        return np.ascontiguousarray(x.view(np.uint8).T).astype(np.uint16)
    return np.ascontiguousarray(x.T)


def _fold(x: AnyArray, lanes: int, what: str) -> AnyArray:
    """Put the elements of one partition next to one another along K."""
    if x.ndim != (2 if lanes == 1 else 3) or (lanes > 1 and x.shape[1] != lanes) or 0 in x.shape:
        shape = "(K, F)" if lanes == 1 else f"(K, {lanes}, F)"
        raise ValueError(f"{what} must have shape {shape} and no empty axis, got {x.shape}")
    return x.reshape(-1, x.shape[-1])
