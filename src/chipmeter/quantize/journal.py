"""A file that grows over several runs: data beside a journal of what is known to be on the disk.

Bytes are appended to a data file and synced; only then a line of the journal says that they are there. After a kill,
the journal's whole lines whose bytes are found again (by checksum) count, and all else is cut off.
"""

from __future__ import annotations

import fcntl
import os
import time
import zlib
from pathlib import Path
from typing import Any, Final

import msgspec

from chipmeter._arrays import AnyArray

SYNC_BYTES: Final = 64 << 20
SYNC_SECONDS: Final = 2.0
"""How much work a kill may cost: lines are held back until this much data, or this long, has gathered."""


class Line(msgspec.Struct, frozen=True):
    """One finished piece: where its bytes lie in the data file, their CRC-32, and what it means to the writer."""

    begin: int
    end: int
    crc: int
    value: dict[str, Any]


_line_decoder = msgspec.json.Decoder(Line)


class Journal:
    """An open data file and its journal.

    Parameters
    ----------
    data : Path
        The data file; the journal lies beside it, named `<data>.journal`.
    start : int
        Bytes kept free at the front of the data file.
    task : bytes
        What is being done, one line: a journal of another task is refused.

    Raises
    ------
    ValueError
        If the journal belongs to another task, or another process writes to it now.
    """

    def __init__(self, data: Path, start: int, task: bytes) -> None:
        self.path = data
        journal = journal_path(data)
        self._journal = os.fdopen(os.open(journal, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        self._pending: list[bytes] = []
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._journal.close()
            raise ValueError(f"{journal}: another run is writing here") from None
        first, *rest = self._journal.read().split(b"\n")
        if rest and first != task:
            self._journal.close()
            raise ValueError(
                f"{data.parent}: holds an unfinished run with another source, recipe or version; finish it with the "
                f"same arguments, or delete the folder to start anew"
            )
        self._data = os.fdopen(os.open(data, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        self.lines: list[Line] = []
        self._end, kept = start, len(task) + 1
        for raw in rest[:-1]:  # the last piece is empty, or was cut
            line = self._found(raw)
            if line is None:
                break
            self.lines.append(line)
            self._end, kept = line.end, kept + len(raw) + 1
        if not rest:
            self._journal.seek(0)
            self._journal.truncate()
            self._journal.write(task + b"\n")
        else:
            self._journal.truncate(kept)
            self._journal.seek(kept)
        self._sync(self._journal)
        self._data.truncate(self._end)
        self._data.seek(self._end)
        self._synced, self._when = self._end, time.monotonic()

    def _found(self, raw: bytes) -> Line | None:
        """Give a line whose bytes are where it says, else None."""
        try:
            line = _line_decoder.decode(raw)
        except (ValueError, RecursionError):
            return None
        if line.begin != self._end or line.end < line.begin or line.end > os.fstat(self._data.fileno()).st_size:
            return None
        self._data.seek(line.begin)
        crc, left = 0, line.end - line.begin
        while left:
            piece = self._data.read(min(left, 1 << 24))
            crc, left = zlib.crc32(piece, crc), left - len(piece)
        return line if crc == line.crc else None

    @property
    def position(self) -> int:
        """Where the next byte goes."""
        return self._end

    def append(self, pieces: list[AnyArray], value: dict[str, Any]) -> None:
        """Write arrays of bytes, and a line for them."""
        begin, crc = self._end, 0
        for piece in pieces:
            self._data.write(piece.data)
            crc = zlib.crc32(piece.data, crc)
            self._end += piece.nbytes
        line = Line(begin, self._end, crc, value)
        self.lines.append(line)
        self._pending.append(msgspec.json.encode(line) + b"\n")
        if self._end - self._synced >= SYNC_BYTES or time.monotonic() - self._when >= SYNC_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Put all that was written on the disk, data first."""
        self._sync(self._data)
        self._journal.writelines(self._pending)
        self._pending.clear()
        self._sync(self._journal)
        self._synced, self._when = self._end, time.monotonic()

    def finish(self, front: bytes) -> None:
        """Write the front of the data file and put it on the disk."""
        self.commit()
        self._data.seek(0)
        self._data.write(front)
        self._sync(self._data)

    def close(self) -> None:
        """Close both files; what was not committed may be lost."""
        for file in (self._data, self._journal):
            try:
                file.close()
            except OSError:  # a full disk: close tries to write what is buffered; the caller has the first error
                continue

    @staticmethod
    def _sync(file: Any) -> None:
        file.flush()
        os.fsync(file.fileno())


def journal_path(data: Path) -> Path:
    """Where the journal of a data file lies."""
    return data.with_name(data.name + ".journal")
