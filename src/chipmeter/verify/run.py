"""verify: every recording below a folder, row by row."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from chipmeter.verify.collectives import collective_rows
from chipmeter.verify.hardware import hardware_rows
from chipmeter.verify.layout import CollectivesIndex, HardwareIndex, MatrixIndex, QuantisationIndex, Recording
from chipmeter.verify.matrix import matrix_rows
from chipmeter.verify.quantisation import quantisation_rows
from chipmeter.verify.report import Report, Row


def verify(path: str | os.PathLike[str], *, progress: Callable[[str, float], object] | None = None) -> Report:
    """Emulate recordings of devices and libraries, and count the bits that differ.

    Parameters
    ----------
    path : str or PathLike
        A folder with an index.json of a known format beside its npz files, or one above several of those.
    progress : callable, optional
        Called with the name of the row that was just done and the share of all rows that are, from 0 to 1.

    Returns
    -------
    Report
        One row per recorded output array. A row that nothing here describes has `compared` 0 and says what is missing.

    Raises
    ------
    ValueError
        If there is no recording, or one is damaged: the message names the file, and the array or field at fault.

    Examples
    --------
    >>> verify("/nonexistent")
    Traceback (most recent call last):
    ...
    ValueError: no index.json in /nonexistent or below
    """
    root = Path(path)
    folders = sorted(Path(at) for at, _, files in os.walk(root) if "index.json" in files)
    if not folders:
        raise ValueError(f"no index.json in {root} or below")
    recordings = [Recording(folder) for folder in folders]
    total = sum(_count(recording) for recording in recordings)
    rows: list[Row] = []
    for folder, recording in zip(folders, recordings, strict=True):
        prefix = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
        try:
            for row in _rows(recording):
                named = msgspec.structs.replace(row, name=prefix + row.name)
                rows.append(named)
                if progress is not None:
                    progress(named.name, min(1.0, len(rows) / total))
        finally:
            recording.close()
    return Report(tuple(rows))


def _rows(recording: Recording) -> Iterator[Row]:
    match recording.index:
        case MatrixIndex():
            return matrix_rows(recording, recording.index)
        case HardwareIndex():
            return hardware_rows(recording, recording.index)
        case QuantisationIndex():
            return quantisation_rows(recording, recording.index)
        case CollectivesIndex():
            return collective_rows(recording, recording.index)


def _count(recording: Recording) -> int:
    match recording.index:
        case MatrixIndex():
            gemm = recording.index.gemm
            return len(recording.index.rows) + (len(gemm.cases) if gemm is not None else 0)
        case HardwareIndex():
            return len(recording.index.sets)
        case QuantisationIndex():
            files = recording.index.files.values()
            return sum(entry.role != "input" for file in files for entry in file.arrays.values())
        case CollectivesIndex():
            return sum(len(record.ops) or 1 for record in recording.index.records)
