"""A register in an SQLite database: the leases of one host, durable, and quick with many processes at once.

SQLite alone is neither, at once: each commit waits for the disk, and processes that find the database locked sleep and
try again. So writers queue for a lock of the kernel's, commit without waiting for the disk, and then share one
synchronisation of the write-ahead log among all who committed before it began (group commit). Nobody is told that a
lease is written before it is on the disk.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sqlite3
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .. import disk
from ..errors import CrosscloudError
from .registers import Reading

_SCHEMA = "CREATE TABLE IF NOT EXISTS leases (name TEXT PRIMARY KEY, version INTEGER NOT NULL, text TEXT NOT NULL)"

#: In the file beside the database: how many commits there were, and how many of them are on the disk.
_COMMITS, _SYNCED, _SIZE = 0, 8, 16


class Database:
    """A register in one file. Each thread gets a connection of its own.

    :param make_room: called when the disk is full; whether to try again.
    """

    def __init__(self, path: Path, *, make_room: Callable[[], bool] = lambda: False) -> None:
        self._path = path
        self._make_room = make_room
        self._local = threading.local()

    def read(self, name: str) -> Reading:
        with self._named():
            row = self._connected.db.execute("SELECT version, text FROM leases WHERE name = ?", (name,)).fetchone()
        return Reading(str(row[0]), row[1], time.time()) if row else Reading("", "", time.time())

    def replace(self, name: str, version: str, text: str) -> bool:
        with self._named():
            while True:
                try:
                    return self._replace(name, version, text)
                except (OSError, sqlite3.OperationalError) as error:
                    if not disk.is_full(error) or not self._make_room():
                        raise

    def _replace(self, name: str, version: str, text: str) -> bool:
        connected = self._connected
        with connected.alone():
            if version:
                change = connected.db.execute(
                    "UPDATE leases SET version = version + 1, text = ? WHERE name = ? AND version = ?",
                    (text, name, int(version)),
                )
            else:
                change = connected.db.execute("INSERT OR IGNORE INTO leases VALUES (?, 1, ?)", (name, text))
            number = connected.count()
        connected.synchronise(number)
        return change.rowcount == 1

    def close(self) -> None:
        if hasattr(self._local, "connected"):
            self._local.connected.close()
            del self._local.connected

    @property
    def _connected(self) -> _Connected:
        connected: _Connected | None = getattr(self._local, "connected", None)
        if connected is None:
            connected = self._local.connected = _Connected(self._path)
        return connected

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            self.close()
            raise CrosscloudError(f"leases: {self._path}: {error}") from error


class _Connected:
    """What one thread has open: the database, its write-ahead log, and the locks and counts beside them."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._queue = os.open(f"{path}-queue", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._counts = os.open(f"{path}-counts", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        with self.alone():
            if os.fstat(self._counts).st_size < _SIZE:
                os.ftruncate(self._counts, _SIZE)
            self.db.execute("PRAGMA journal_mode=WAL")
            # The log is synchronised by us; before it is copied into the database, by SQLite.
            self.db.execute("PRAGMA synchronous=NORMAL")
            self.db.execute(_SCHEMA)
        # It stays the same file as long as this connection is open.
        self._log = os.open(f"{path}-wal", os.O_RDWR | os.O_CLOEXEC)
        disk.lay_out_log(self._log)
        self._map = mmap.mmap(self._counts, _SIZE)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Write while no other does. A killed process leaves the queue."""
        fcntl.flock(self._queue, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._queue, fcntl.LOCK_UN)

    def count(self) -> int:
        """The number of the commit that was just made; to be asked for while ``alone``."""
        number = self._get(_COMMITS) + 1
        self._put(_COMMITS, number)
        return number

    def synchronise(self, number: int) -> None:
        """Wait until that commit is on the disk."""
        fcntl.flock(self._counts, fcntl.LOCK_EX)
        try:
            if not number <= self._get(_SYNCED) <= self._get(_COMMITS):
                covered = self._get(_COMMITS)
                os.fdatasync(self._log)
                self._put(_SYNCED, covered)
        finally:
            fcntl.flock(self._counts, fcntl.LOCK_UN)

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self.db.close()
        self._map.close()
        for descriptor in (self._queue, self._counts, self._log):
            os.close(descriptor)

    def _get(self, offset: int) -> int:
        value: int = struct.unpack_from("@q", self._map, offset)[0]
        return value

    def _put(self, offset: int, value: int) -> None:
        struct.pack_into("@q", self._map, offset, value)
