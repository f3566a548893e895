"""One of the processes that take and give back leases: ``lease_worker KIND WHERE COUNT GRANTS``; it begins at a word.

Of each grant it notes name, token, and when it had it and gave it back, on the clock that all processes share.
"""

from __future__ import annotations

import os
import random
import sqlite3
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pytest_crosscloud.run.leases_directory import Directory
from pytest_crosscloud.run.leases_sqlite import Database
from pytest_crosscloud.run.registers import Reading, Register, RegisterLeases

#: As many names as the workload of the other measures has clusters.
NAMES = 12

#: One grant of so many is held for so many seconds, so that others come while it is.
_HELD, _HOLD = 50, 0.005

#: A grant: name, token, from when, until when (monotonic, in nanoseconds).
GRANT = struct.Struct("=IIqq")


class PlainSqlite:
    """The peer: SQLite as it comes, one durable transaction per change, sleeping while the database is locked."""

    def __init__(self, where: Path) -> None:
        self._db = sqlite3.connect(where / "plain.db", timeout=60, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("CREATE TABLE IF NOT EXISTS leases (name TEXT PRIMARY KEY, version INTEGER, text TEXT)")

    def read(self, name: str) -> Reading:
        row = self._db.execute("SELECT version, text FROM leases WHERE name = ?", (name,)).fetchone()
        return Reading(str(row[0]), row[1], time.time()) if row else Reading("", "", time.time())

    def replace(self, name: str, version: str, text: str) -> bool:
        self._db.execute("BEGIN IMMEDIATE")
        row = self._db.execute("SELECT version FROM leases WHERE name = ?", (name,)).fetchone()
        if fits := version == (str(row[0]) if row else ""):
            number = int(version or 0) + 1
            self._db.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?)", (name, number, text))
        self._db.execute("COMMIT")
        return fits

    def close(self) -> None:
        self._db.close()


KINDS: dict[str, Callable[[Path], Register]] = {
    "sqlite": lambda where: Database(where / "leases.db"),
    "directory": Directory,
    "plain": PlainSqlite,
}


def main(kind: str, where: str, count: str, grants: str) -> None:
    register = KINDS[kind](Path(where))
    leases = RegisterLeases(register)
    owner, names = f"run/{os.getpid()}", [f"cluster/{number}" for number in range(NAMES)]
    register.read(names[0])  # opened
    print("ready", flush=True)
    sys.stdin.readline()
    noted = bytearray()
    for round_ in range(int(count)):
        lease = None
        while lease is None:
            number = random.randrange(NAMES)  # noqa: S311
            lease = leases.acquire(names[number], owner, 60)
        begun = time.monotonic_ns()
        if round_ % _HELD == 0:
            time.sleep(_HOLD)
        ended = time.monotonic_ns()
        leases.release(lease)
        noted += GRANT.pack(number, lease.token, begun, ended)
    register.close()
    Path(grants).write_bytes(noted)


if __name__ == "__main__":
    main(*sys.argv[1:])
