"""Recordings of matrix instructions: tiles of one instruction each, and ragged GEMMs of many."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from chipmeter._arrays import AnyArray
from chipmeter.matmul import Unit, matmul
from chipmeter.verify.compare import Emulated, compare
from chipmeter.verify.instructions import Instruction, float_dtype, operand, parse, raw_dtype
from chipmeter.verify.layout import Archive, GemmCase, MatrixIndex, MatrixRow, Recording
from chipmeter.verify.report import Row

GROUP = 4
"""Tiles multiplied at once: their outputs are the diagonal blocks of one product, a panel wide. Fewer calls, and a
value that leaked into another tile's output would be seen."""


def matrix_rows(recording: Recording, index: MatrixIndex) -> Iterator[Row]:
    """Verify one row after another."""
    for row in index.rows:
        yield _instruction(recording.archive(row.file), row)
    if index.gemm is not None:
        for case in index.gemm.cases:
            yield _gemm(recording.archive(index.gemm.file), case)


def _instruction(archive: Archive, row: MatrixRow) -> Row:
    name = f"{row.arch} {row.family} {row.inst}"
    types = (row.a, row.b, row.c, row.d)
    unit = Instruction(row.arch, row.family, types, row.K, row.scale_type, row.scale_block or 0, row.inst).unit()
    if unit is None:
        outputs = (row.tiles or 1) * (row.tile_M or 1) * (row.tile_N or 1)
        return Row(name, 0, 0, outputs, f"no unit for {row.arch} {row.family} {'.'.join(types)}, K = {row.K}")
    a = archive.read("A", raw_dtype(row.a), (row.tiles, row.tile_M, row.K))
    tiles, m, _ = a.shape
    b = archive.read("B", raw_dtype(row.b), (tiles, row.K, row.tile_N))
    n = b.shape[2]
    if m == 0 or n == 0:
        raise ValueError(f"{archive.path}: tiles of {m} x {n} outputs in arrays 'A' and 'B'")
    c = archive.read("C", raw_dtype(row.c), (tiles, m, n))
    recorded = archive.read(row.D, raw_dtype(row.d), (tiles, m, n))
    scales = None
    if unit.scale is not None:
        count = -(-row.K // unit.scale_block)
        scales = archive.read("SA", "uint8", (tiles, m, count)), archive.read("SB", "uint8", (tiles, count, n))
    excluded = None
    if row.exclude_mask is not None:
        excluded = archive.read(row.exclude_mask, "uint8", (tiles, m, n)) != 0
    d = tiles_of(a, b, c, unit, scales)
    nan = float_dtype(row.d) if row.nan_policy.startswith("any") else None
    return compare(name, Emulated(d, f"unit {unit.name}, {row.file}:{row.D}", nan, unspecified=excluded), recorded)


def tiles_of(
    a: AnyArray, b: AnyArray, c: AnyArray, unit: Unit, scales: tuple[AnyArray, AnyArray] | None = None
) -> AnyArray:
    """Multiply independent tiles: a (T, M, K), b (T, K, N), c (T, M, N) as raw bits; returns (T, M, N)."""
    tiles, m, n = c.shape
    group = max(1, min(tiles, GROUP * max(1, 4 // n)))
    spare = -tiles % group
    if tiles == 0:
        return c

    def rows(x: AnyArray) -> AnyArray:
        """Stack groups of tiles: (T, M, K) to (T / group, group * M, K)."""
        padded = np.concatenate([x, np.repeat(x[-1:], spare, axis=0)]) if spare else x
        return padded.reshape(-1, group * x.shape[1], x.shape[2])

    def columns(x: AnyArray) -> AnyArray:
        """Put groups of tiles side by side: (T, K, N) to (T / group, K, group * N)."""
        return np.ascontiguousarray(rows(np.ascontiguousarray(x.swapaxes(1, 2))).swapaxes(1, 2))

    left, right = operand(rows(a), unit.a), operand(columns(b), unit.b)
    batch = len(left)
    addend = np.zeros((batch, group, m, group, n), c.dtype)
    each = np.arange(group)
    addend[:, each, :, each, :] = rows(c).reshape(batch, group, m, n).swapaxes(0, 1)
    scale_a, scale_b = (None, None) if scales is None else (rows(scales[0]), columns(scales[1]))
    c = operand(addend.reshape(batch, group * m, group * n), unit.c)
    d = matmul(left, right, c, unit=unit, scale_a=scale_a, scale_b=scale_b)
    blocks = d.reshape(batch, group, m, group, n)[:, each, :, each, :].swapaxes(0, 1)
    return np.ascontiguousarray(blocks.reshape(batch * group, m, n)[:tiles])


def _gemm(archive: Archive, case: GemmCase) -> Row:
    name = f"gemm {case.id} {case.arch} {case.family} {case.inst} {case.M}x{case.N}x{case.K}"
    instruction = parse(case.arch, case.family, case.inst)
    unit = instruction.unit() if instruction is not None else None
    if instruction is None or unit is None:
        return Row(name, 0, 0, case.M * case.N, f"no unit for {case.arch} {case.family} {case.inst}")
    packed = 2 if case.packing is not None else 1
    if packed == 2 and (case.K % 2 or (unit.a, unit.b) != ("e2m1", "e2m1")):
        raise ValueError(f"{archive.path}: case {case.id!r} packs operands that are not pairs of e2m1 along K")

    def read(what: str, dtype: str, shape: tuple[int, int]) -> AnyArray:
        return archive.read(f"{case.id}_{what}", dtype, shape)

    a = read("A", raw_dtype(unit.a), (case.M, case.K // packed))
    b = read("B", raw_dtype(unit.b), (case.K // packed, case.N))
    if packed == 2:
        a, b = unpack_nibbles(a), np.ascontiguousarray(unpack_nibbles(np.ascontiguousarray(b.T)).T)
    c = operand(read("C", raw_dtype(unit.c), (case.M, case.N)), unit.c)
    recorded = read("D", raw_dtype(unit.d), (case.M, case.N))
    scale_a = scale_b = None
    if unit.scale is not None:
        count = -(-case.K // unit.scale_block)
        scale_a, scale_b = read("SA", "uint8", (case.M, count)), read("SB", "uint8", (count, case.N))
    d = matmul(operand(a, unit.a), operand(b, unit.b), c, unit=unit, scale_a=scale_a, scale_b=scale_b)
    # the recordings state no NaN policy for GEMMs: NVIDIA's NaN is canonical, that of IEEE chains and of AMD is any NaN
    nan = float_dtype(unit.d) if unit.d == "f64" or "mfma" in case.family else None
    return compare(name, Emulated(d, f"unit {unit.name}", nan), recorded)


def unpack_nibbles(packed: AnyArray) -> AnyArray:
    """Spread two 4-bit codes per byte along the last axis, the even index in the low nibble.

    >>> unpack_nibbles(np.uint8([[0x21, 0x43]]))
    array([[1, 2, 3, 4]], dtype=uint8)
    """
    raw = packed.view(np.uint8)
    return np.stack([raw & 15, raw >> 4], axis=-1).reshape(*raw.shape[:-1], -1)
