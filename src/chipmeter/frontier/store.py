"""Results that survive a killed run: one SQLite file, a row per measurement, each written in a transaction of its own."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

VERSION = 1
APPLICATION = 0x63686D74
"""The file's application id: the letters "chmt"."""


class Store:
    """A file of results by key.

    Parameters
    ----------
    path : path
        Made if it does not exist. Several processes may write at once; a key written twice keeps its first value.

    Raises
    ------
    ValueError
        If the file is damaged, is no store, or was written by a newer version; it is left as it is.
    OSError
        If it cannot be opened or written.

    Examples
    --------
    >>> import tempfile
    >>> with Store(os.path.join(tempfile.mkdtemp(), "results.sqlite")) as store:
    ...     store.put("a", b"1"), store.put("a", b"2"), store.get("a"), store.get("b"), list(store)
    (True, False, b'1', None, ['a'])
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        new = not self.path.exists() or self.path.stat().st_size == 0
        try:
            self._open(new)
        except sqlite3.DatabaseError as error:
            raise ValueError(
                f"{self.path}: damaged, or not a store of results: {error}; it was left as it is"
            ) from None

    def _open(self, new: bool) -> None:
        try:
            if not new:  # looked at read-only first: what is not ours must not be touched
                with sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True) as looking:
                    self._check(looking)
                looking.close()
            self._db = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        except sqlite3.OperationalError as error:
            raise OSError(f"{self.path}: {error}") from None
        self._db.execute("PRAGMA synchronous = FULL")
        if new:
            with self._writing():
                self._db.execute(f"PRAGMA application_id = {APPLICATION}")
                self._db.execute(f"PRAGMA user_version = {VERSION}")
                self._db.execute("CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, value BLOB NOT NULL)")

    def _check(self, db: sqlite3.Connection) -> None:
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION:
            raise ValueError(f"{self.path}: a database of another program; it was left as it is")
        if version > VERSION:
            raise ValueError(
                f"{self.path}: written by a newer chipmeter (store version {version}, this one reads up to {VERSION}); "
                "it was left as it is"
            )
        (sound,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if sound != "ok":
            raise ValueError(f"{self.path}: damaged ({sound}); it was left as it is")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def get(self, key: str) -> bytes | None:
        """Look up a result."""
        row = self._db.execute("SELECT value FROM results WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, key: str, value: bytes) -> bool:
        """Write a result unless the key has one; whether it was written."""
        with self._writing():
            done = self._db.execute("INSERT OR IGNORE INTO results VALUES (?, ?)", (key, value))
        return done.rowcount == 1

    def __iter__(self) -> Iterator[str]:
        """List the keys in the order in which they were written."""
        return (row[0] for row in self._db.execute("SELECT key FROM results ORDER BY rowid").fetchall())

    def __len__(self) -> int:
        """Count the results."""
        return int(self._db.execute("SELECT count(*) FROM results").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the file."""
        self.close()
