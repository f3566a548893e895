"""Store and leases in one SQLite database, under the state directory."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from .. import disk, paths
from ..errors import CrosscloudError
from ..model import StageResult, Status, TestResult
from .leases import Lease, LeaseLost, Leases
from .processes import Process
from .store import Resource, RunExists, RunRecord, StoreFull

#: What the file says of its schema, in ``PRAGMA user_version``; 0 is a new file.
_VERSION = 2

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, started REAL NOT NULL, finished REAL, pid INTEGER NOT NULL, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS stages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, stage TEXT NOT NULL, target TEXT NOT NULL,
    result TEXT NOT NULL, UNIQUE (run, stage, target) ON CONFLICT REPLACE);
CREATE TABLE IF NOT EXISTS resources (
    run TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL, spec TEXT NOT NULL,
    expires REAL, error TEXT NOT NULL DEFAULT '', PRIMARY KEY (run, kind, name));
CREATE TABLE IF NOT EXISTS tests (
    run TEXT NOT NULL, nodeid TEXT NOT NULL, outcome TEXT NOT NULL, seconds REAL NOT NULL, ended REAL NOT NULL,
    message TEXT NOT NULL, bundled INTEGER NOT NULL, resumed_from TEXT NOT NULL, PRIMARY KEY (run, nodeid));
CREATE TABLE IF NOT EXISTS leases (
    name TEXT PRIMARY KEY, owner TEXT NOT NULL, token INTEGER NOT NULL, expires REAL NOT NULL);
"""


class SqliteStore:
    """A ``Store`` in one file. Each thread gets connections of its own."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or paths.state("crosscloud.db")
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._reserve = disk.Reserve(self.path.with_name(f"{self.path.name}.reserve"))
        self._connections = threading.local()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise CrosscloudError(
                f"{self.path} was written by a newer pytest-crosscloud (its version is {version}, not {_VERSION})",
                remedy="upgrade pytest-crosscloud, or set XDG_STATE_HOME to a directory of its own",
            )
        if version < _VERSION:
            self._db.executescript(f"{_SCHEMA}PRAGMA user_version = {_VERSION};")
        self._reserve.fill()

    @property
    def address(self) -> str:
        return str(self.path)

    def leases(self) -> Leases:
        return SqliteLeases(self)

    def exists(self) -> bool:
        return self.path.exists()

    @property
    def _db(self) -> sqlite3.Connection:
        # A result that was reported must survive a power cut, not only a killed process.
        return self._connection("FULL")

    @property
    def _quick(self) -> sqlite3.Connection:
        """For what comes by the thousand, and which a killed process must not lose, but a power cut may."""
        return self._connection("NORMAL")

    def _connection(self, synchronous: str) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._connections, synchronous, None)
        if connection is None:
            connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={synchronous}")
            setattr(self._connections, synchronous, connection)
        return connection

    def close(self) -> None:
        for name, connection in list(vars(self._connections).items()):
            connection.close()
            delattr(self._connections, name)

    def make_room(self) -> bool:
        return self._reserve.spend()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One write transaction; rolled back if the block raises."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            self._db.execute("COMMIT")
        except BaseException as error:
            if isinstance(error, sqlite3.OperationalError) and _is_full(error):
                self.make_room()  # for whoever tries again
            if self._db.in_transaction:  # a full disk may have rolled it back already
                self._db.execute("ROLLBACK")
            raise

    def _write(self, statement: str, values: Sequence[Any] | Mapping[str, Any]) -> None:
        """One statement, committed. A full disk gives what was set aside for it.

        :raises StoreFull: that is used up, too.
        """
        while True:
            try:
                self._db.execute(statement, values)
            except sqlite3.OperationalError as error:
                if not _is_full(error):
                    raise
                if not self.make_room():
                    raise StoreFull(f"{self.path} cannot grow: its disk is full", remedy=disk.REMEDY) from error
            else:
                return

    # -- runs -----------------------------------------------------------------------------------------------

    def create_run(self, run: RunRecord) -> None:
        try:
            self._write(
                "INSERT INTO runs VALUES (?, ?, ?, ?, ?)",
                (run.id, run.started, run.finished, run.pid, json.dumps(run.record)),
            )
        except sqlite3.IntegrityError as error:
            raise RunExists(f"there is a run {run.id!r} already") from error

    def set_record(self, run: str, record: Mapping[str, Any]) -> None:
        self._write("UPDATE runs SET record = ? WHERE id = ?", (json.dumps(record), run))

    def finish_run(self, run: str) -> None:
        self._write("UPDATE runs SET finished = ? WHERE id = ?", (time.time(), run))

    def forget_run(self, run: str) -> None:
        with self.transaction() as db:
            for table, column in (("stages", "run"), ("tests", "run"), ("resources", "run"), ("runs", "id")):
                db.execute(f"DELETE FROM {table} WHERE {column} = ?", (run,))  # noqa: S608

    def run(self, run: str) -> RunRecord | None:
        return next(iter(self._runs("WHERE id = ?", run)), None)

    def runs(self) -> list[RunRecord]:
        return self._runs()

    def _runs(self, where: str = "", *values: str) -> list[RunRecord]:
        query = f"SELECT id, started, finished, pid, record FROM runs {where} ORDER BY started"  # noqa: S608
        rows = self._db.execute(query, values)
        return [RunRecord(id_, started, finished, pid, json.loads(text)) for id_, started, finished, pid, text in rows]

    # -- stages ---------------------------------------------------------------------------------------------

    def record(self, run: str, result: StageResult) -> None:
        self._write(
            "INSERT INTO stages (run, stage, target, result) VALUES (?, ?, ?, ?)",
            (run, result.stage, result.target, json.dumps(result.to_json())),
        )

    def progress(self, run: str, result: StageResult, detail: str) -> None:
        with suppress(sqlite3.OperationalError), self.transaction():
            current = self.result(run, result.stage, result.target)
            if current and current.status == Status.RUNNING:
                self.record(run, replace(current, detail=detail))

    def result(self, run: str, stage: str, target: str) -> StageResult | None:
        row = self._db.execute(
            "SELECT result FROM stages WHERE run = ? AND stage = ? AND target = ?", (run, stage, target)
        ).fetchone()
        return StageResult.from_json(json.loads(row[0])) if row else None

    def results(self, run: str) -> dict[str, StageResult]:
        return {result.key: result for _, result in self.changes(run)}

    def changes(self, run: str, after: int = 0) -> list[tuple[int, StageResult]]:
        rows = self._db.execute("SELECT seq, result FROM stages WHERE run = ? AND seq > ? ORDER BY seq", (run, after))
        return [(seq, StageResult.from_json(json.loads(text))) for seq, text in rows]

    # -- tests ----------------------------------------------------------------------------------------------

    def record_test(self, run: str, test: TestResult) -> None:
        self._quick.execute(
            "INSERT OR REPLACE INTO tests (run, nodeid, outcome, seconds, ended, message, bundled, resumed_from)"
            " VALUES (:run, :nodeid, :outcome, :seconds, :ended, :message, :bundled, :resumed_from)",
            {"run": run, **test.to_json()},
        )

    def tests(self, run: str) -> list[TestResult]:
        rows = self._db.execute(
            "SELECT nodeid, outcome, seconds, ended, message, bundled, resumed_from FROM tests"
            " WHERE run = ? ORDER BY rowid",
            (run,),
        )
        return [
            TestResult(nodeid, outcome, seconds, ended, message, bool(bundled), resumed_from)
            for nodeid, outcome, seconds, ended, message, bundled, resumed_from in rows
        ]

    # -- resources ------------------------------------------------------------------------------------------

    def put_resource(self, resource: Resource) -> None:
        values = asdict(resource) | {"spec": json.dumps(resource.spec)}
        self._write(
            "INSERT OR REPLACE INTO resources (run, kind, name, state, spec, expires, error)"
            " VALUES (:run, :kind, :name, :state, :spec, :expires, :error)",
            values,
        )

    def set_resource(
        self, run: str, kind: str, name: str, state: str, error: str = "", expires: float | None = None
    ) -> None:
        self._write(
            "UPDATE resources SET state = ?, error = ?, expires = ? WHERE run = ? AND kind = ? AND name = ?",
            (state, error, expires, run, kind, name),
        )

    def resources(self, run: str | None = None) -> list[Resource]:
        rows = self._db.execute(
            "SELECT run, kind, name, state, spec, expires, error FROM resources"
            " WHERE ? IS NULL OR run = ? ORDER BY rowid",
            (run, run),
        )
        return [
            Resource(run_, kind, name, state, json.loads(spec), expires, error)
            for run_, kind, name, state, spec, expires, error in rows
        ]


def _is_full(error: sqlite3.OperationalError) -> bool:
    # SQLITE_IOERR, too: there may be no room for the shared memory beside the log (sqlite.org/rescode.html).
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


class SqliteLeases:
    """Leases in the result store. Use it in the thread that opened the store."""

    def __init__(self, store: SqliteStore, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def acquire(self, name: str, owner: str, ttl: float) -> Lease | None:
        with self._store.transaction() as db:
            current = self._row(db, name)
            if current and self._holds(current):
                return None
            lease = Lease(name, owner, current.token + 1 if current else 1, self._clock() + ttl)
            # The row stays after a release, for its token must not start again.
            db.execute(
                "INSERT OR REPLACE INTO leases (name, owner, token, expires) VALUES (?, ?, ?, ?)",
                (lease.name, lease.owner, lease.token, lease.expires),
            )
            return lease

    def renew(self, lease: Lease, ttl: float) -> Lease:
        with self._store.transaction() as db:
            current = self._row(db, lease.name)
            # One that expired and that nobody took since is still ours: a laptop may have slept.
            if current is None or current.token != lease.token or not current.expires:
                raise LeaseLost(f"the lease of {lease.name} was lost", remedy="this process was held up for too long")
            renewed = replace(lease, expires=self._clock() + ttl)
            db.execute("UPDATE leases SET expires = ? WHERE name = ?", (renewed.expires, lease.name))
            return renewed

    def release(self, lease: Lease) -> None:
        with self._store.transaction() as db:
            db.execute("UPDATE leases SET expires = 0 WHERE name = ? AND token = ?", (lease.name, lease.token))

    def holder(self, name: str) -> Lease | None:
        with self._store.transaction() as db:
            current = self._row(db, name)
        return current if current and self._holds(current) else None

    def _holds(self, lease: Lease) -> bool:
        owner = Process.parse(lease.owner)
        return lease.expires > self._clock() and not (owner and owner.is_dead)

    @staticmethod
    def _row(db: sqlite3.Connection, name: str) -> Lease | None:
        row = db.execute("SELECT name, owner, token, expires FROM leases WHERE name = ?", (name,)).fetchone()
        return Lease(*row) if row else None
