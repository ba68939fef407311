"""Recordings of devices: single dot products, the highest authority there is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from chipmeter.matmul import units
from chipmeter.verify.compare import Emulated, compare
from chipmeter.verify.instructions import Instruction, raw_dtype
from chipmeter.verify.layout import HardwareIndex, HardwareSet, Recording
from chipmeter.verify.matrix import tiles_of
from chipmeter.verify.report import Row


def hardware_rows(recording: Recording, index: HardwareIndex) -> Iterator[Row]:
    """Verify one set after another."""
    for position, one in enumerate(index.sets):
        yield _set(recording, index.file, one, position)


def _set(recording: Recording, file: str, one: HardwareSet, position: int) -> Row:
    types = (one.a, one.b, one.c, one.d)
    name = f"[{position}] {one.gpu} {'.'.join(types)} K={one.K} {one.path}"
    # the recorded path names the machine instruction (HMMA, QMMA) beside the PTX one: all of those are mma.sync
    family = next((f for f in ("wgmma", "tcgen05") if f in one.path), "mma")
    if one.unit is not None:  # the recording names the unit: NeuronCores, TPUs and CPUs have no instruction names
        unit = units().get(one.unit)
        if unit is not None and (unit.a, unit.b, unit.c, unit.d, unit.scale) != (*types, None):
            raise ValueError(f"set {position}: unit {one.unit!r} does not take {'.'.join(types)}")
    else:
        unit = Instruction(one.arch, family, types, one.K, None, 0, one.path).unit(padded=True)
    if unit is None:
        return Row(name, 0, 0, one.n or 1, f"no unit for {one.arch} {family} {'.'.join(types)}, K = {one.K}")
    archive = recording.archive(file)
    a = archive.read(one.A, raw_dtype(one.a), (one.n, one.K))
    count = len(a)
    b = archive.read(one.B, raw_dtype(one.b), (count, one.K))
    c = archive.read(one.C, raw_dtype(one.c), (count,))
    recorded = archive.read(one.D, raw_dtype(one.d), (count,))
    if "c taken as 0" in one.path:
        c = np.zeros_like(c)
    d = tiles_of(a[:, None, :], b[:, :, None], c[:, None, None], unit)
    return compare(name, Emulated(d.reshape(-1), f"unit {unit.name}"), recorded)
