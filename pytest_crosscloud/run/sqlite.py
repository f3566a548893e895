"""The store in one SQLite database, under the state directory; leases are in another beside it."""

from __future__ import annotations

import itertools
import json
import sqlite3
import statistics
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from .. import disk, paths
from ..errors import CrosscloudError
from ..model import StageResult, Status, TestResult
from .leases import Leases
from .leases_sqlite import Database
from .registers import RegisterLeases
from .store import Resource, RunExists, RunRecord, StoreFull

#: What the file says of its schema, in ``PRAGMA user_version``; 0 is a new file.
_VERSION = 2

#: Tests whose durations matter to an order. An index has them, so that no others are looked at.
_SLOW = "outcome = 'passed' AND seconds >= 1 AND NOT bundled AND resumed_from = ''"
_SLOW_TESTS = f"SELECT nodeid, seconds FROM tests WHERE {_SLOW} ORDER BY nodeid, ended"  # noqa: S608

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, started REAL NOT NULL, finished REAL, pid INTEGER NOT NULL, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS plans (run TEXT PRIMARY KEY, plan TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS stages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, stage TEXT NOT NULL, target TEXT NOT NULL,
    result TEXT NOT NULL, UNIQUE (run, stage, target) ON CONFLICT REPLACE);
CREATE TABLE IF NOT EXISTS resources (
    run TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL, spec TEXT NOT NULL,
    expires REAL, error TEXT NOT NULL DEFAULT '', PRIMARY KEY (run, kind, name));
CREATE TABLE IF NOT EXISTS tests (
    run TEXT NOT NULL, nodeid TEXT NOT NULL, outcome TEXT NOT NULL, seconds REAL NOT NULL, ended REAL NOT NULL,
    message TEXT NOT NULL, bundled INTEGER NOT NULL, resumed_from TEXT NOT NULL, PRIMARY KEY (run, nodeid));
CREATE TABLE IF NOT EXISTS durations (key TEXT PRIMARY KEY, seconds TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS slow_tests ON tests (nodeid, ended, seconds) WHERE {_SLOW};
"""

#: In each table, the column that has a run's id.
_RUN_COLUMN = {"stages": "run", "tests": "run", "resources": "run", "plans": "run", "runs": "id"}

#: How many of the last durations count: enough that one that was odd does not.
_DURATIONS = 5


class SqliteStore:
    """A ``Store`` in one file. Each thread gets connections of its own."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or paths.state("crosscloud.db")
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._reserve = disk.Reserve(self.path.with_name(f"{self.path.name}.reserve"))
        self._connections = threading.local()
        leases = self.path.with_name(f"{self.path.stem}-leases.db")
        self._leases = RegisterLeases(Database(leases, make_room=self.make_room))
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise CrosscloudError(
                f"{self.path} was written by a newer pytest-crosscloud (its version is {version}, not {_VERSION})",
                remedy="upgrade pytest-crosscloud, or set XDG_STATE_HOME to a directory of its own",
            )
        self._db.executescript(_SCHEMA)  # what is there already costs no transaction
        if version < _VERSION:
            self._db.execute(f"PRAGMA user_version = {_VERSION}")
        self._reserve.fill()

    @property
    def address(self) -> str:
        return str(self.path)

    def leases(self) -> Leases:
        return self._leases

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
            with suppress(OSError), Path(f"{self.path}-wal").open("r+b") as log:
                disk.lay_out_log(log.fileno())
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
            if disk.is_full(error):
                self.make_room()  # for whoever tries again
            if self._db.in_transaction:  # a full disk may have rolled it back already
                self._db.execute("ROLLBACK")
            raise

    def _write(
        self, statement: str, values: Sequence[Any] | Mapping[str, Any], db: sqlite3.Connection | None = None
    ) -> int:
        """One statement, committed. A full disk gives what was set aside for it.

        :returns: how many rows it changed.
        :raises StoreFull: that is used up, too.
        """
        while True:
            try:
                return (db or self._db).execute(statement, values).rowcount
            except sqlite3.OperationalError as error:
                if not disk.is_full(error):
                    raise
                if not self.make_room():
                    raise StoreFull(f"{self.path} cannot grow: its disk is full", remedy=disk.REMEDY) from error

    # -- runs -----------------------------------------------------------------------------------------------

    def create_run(self, run: RunRecord, plan: Mapping[str, Any] | None = None) -> None:
        values = (run.id, run.started, run.finished, run.pid, json.dumps(run.record))
        try:
            self._write("INSERT INTO runs VALUES (?, ?, ?, ?, ?)", values)
        except sqlite3.IntegrityError as error:
            raise RunExists(f"there is a run {run.id!r} already") from error
        if plan is not None:
            self._write("INSERT INTO plans VALUES (?, ?)", (run.id, json.dumps(plan)))

    def plan(self, run: str) -> dict[str, Any]:
        row = self._db.execute("SELECT plan FROM plans WHERE run = ?", (run,)).fetchone()
        if row is None:
            raise CrosscloudError(f"of run {run} it is not recorded what it was to do")
        plan: dict[str, Any] = json.loads(row[0])
        return plan

    def set_record(self, run: str, record: Mapping[str, Any]) -> None:
        self._write("UPDATE runs SET record = ? WHERE id = ?", (json.dumps(record), run))

    def finish_run(self, run: str) -> None:
        self._write("UPDATE runs SET finished = ? WHERE id = ?", (time.time(), run))

    def forget_run(self, run: str) -> None:
        with self.transaction() as db:
            for table, column in _RUN_COLUMN.items():
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
        if result.status == Status.SUCCESS and not result.cached:
            self._record_duration(result.key, round(result.seconds, 3))

    def _record_duration(self, key: str, seconds: float) -> None:
        with suppress(sqlite3.OperationalError):  # without it an order is a little worse: no reason to fail
            row = self._quick.execute("SELECT seconds FROM durations WHERE key = ?", (key,)).fetchone()
            last = json.dumps([*(json.loads(row[0]) if row else ()), seconds][-_DURATIONS:])
            self._quick.execute("INSERT OR REPLACE INTO durations VALUES (?, ?)", (key, last))

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

    def durations(self) -> Mapping[str, float]:
        stages = self._db.execute("SELECT key, seconds FROM durations")
        found = {key: statistics.median(json.loads(seconds)) for key, seconds in stages}
        tests = self._db.execute(_SLOW_TESTS)
        for nodeid, rows in itertools.groupby(tests, key=lambda row: str(row[0])):
            found[nodeid] = statistics.median([seconds for _, seconds in rows][-_DURATIONS:])
        return found

    # -- tests ----------------------------------------------------------------------------------------------

    def record_test(self, run: str, test: TestResult) -> None:
        self._write(
            "INSERT OR REPLACE INTO tests (run, nodeid, outcome, seconds, ended, message, bundled, resumed_from)"
            " VALUES (:run, :nodeid, :outcome, :seconds, :ended, :message, :bundled, :resumed_from)",
            {"run": run, **test.to_json()},
            self._quick,
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

    def inherit(self, run: str, old: str, stages: Iterable[str], tests: Iterable[str]) -> int:
        with self.transaction() as db:
            db.execute(
                "INSERT INTO stages (run, stage, target, result) SELECT ?1, stage, target, json_set(result,"
                " '$.resumed_from', coalesce(nullif(json_extract(result, '$.resumed_from'), ''), ?2))"
                " FROM stages WHERE run = ?2 AND stage || ' ' || target IN (SELECT value FROM json_each(?3))"
                " ORDER BY seq",
                (run, old, json.dumps(list(stages))),
            )
            db.execute(
                "INSERT OR IGNORE INTO tests (run, nodeid, outcome, seconds, ended, message, bundled, resumed_from)"
                " SELECT ?1, nodeid, outcome, seconds, ended, message, bundled, coalesce(nullif(resumed_from, ''), ?2)"
                " FROM tests WHERE run = ?2 AND nodeid IN (SELECT value FROM json_each(?3)) ORDER BY rowid",
                (run, old, json.dumps(list(tests))),
            )
            (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM stages WHERE run = ?", (run,)).fetchone()
        return int(last)

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

    def exchange_resource(self, old: Resource, new: Resource) -> bool:
        values = (
            new.run,
            new.state,
            json.dumps(new.spec),
            new.expires,
            new.error,
            old.run,
            old.kind,
            old.name,
            old.state,
        )
        changed = self._write(
            "UPDATE resources SET run = ?, state = ?, spec = ?, expires = ?, error = ?"
            " WHERE run = ? AND kind = ? AND name = ? AND state = ?",
            values,
        )
        return changed == 1

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
