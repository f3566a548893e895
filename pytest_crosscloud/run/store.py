"""The result store: every stage's state and every owned resource, committed before it is shown.

One SQLite database per user and host, under the state directory, shared by all runs and their workers.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .. import paths
from ..model import StageResult, Status

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, started REAL NOT NULL, finished REAL, pid INTEGER NOT NULL, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS stages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, stage TEXT NOT NULL, target TEXT NOT NULL,
    result TEXT NOT NULL, UNIQUE (run, stage, target) ON CONFLICT REPLACE);
CREATE TABLE IF NOT EXISTS resources (
    run TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL, spec TEXT NOT NULL,
    expires REAL, error TEXT NOT NULL DEFAULT '', PRIMARY KEY (run, kind, name));
CREATE TABLE IF NOT EXISTS leases (
    name TEXT PRIMARY KEY, owner TEXT NOT NULL, token INTEGER NOT NULL, expires REAL NOT NULL);
"""


@dataclass(frozen=True)
class RunRecord:
    """A run as the store knows it. ``record`` is what another process needs to act for the run."""

    id: str
    started: float
    finished: float | None
    pid: int
    record: Mapping[str, Any]


@dataclass(frozen=True)
class Resource:
    """Something that costs money, and whose run must see it gone.

    ``state``: ``intended`` (recorded, maybe being made), ``live``, ``released`` (destroy it now), ``kept``
    (until ``expires``), ``destroyed``, or ``failed`` (destroy failed; ``error`` says how).
    """

    run: str
    kind: str  #: e.g. ``cluster``
    name: str
    state: str
    spec: Mapping[str, Any]  #: all that is needed to destroy it from another process
    expires: float | None = None
    error: str = ""


class Store:
    """The SQLite store. Any thread may use an instance (each gets a connection); processes each open their own."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or paths.state("crosscloud.db")
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._connections = threading.local()
        self._db.executescript(_SCHEMA)

    @property
    def _db(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._connections, "db", None)
        if connection is None:
            connection = self._connections.db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            connection.execute("PRAGMA journal_mode=WAL")
            # FULL: a result that was reported must survive a power cut, not only a killed process.
            connection.execute("PRAGMA synchronous=FULL")
        return connection

    def close(self) -> None:
        """Close this thread's connection."""
        self._db.close()
        del self._connections.db

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One write transaction; rolled back if the block raises."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # -- runs -----------------------------------------------------------------------------------------------

    def create_run(self, run: RunRecord) -> None:
        """:raises sqlite3.IntegrityError: the id is taken."""
        self._db.execute(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?)",
            (run.id, run.started, run.finished, run.pid, json.dumps(run.record)),
        )

    def set_record(self, run: str, record: Mapping[str, Any]) -> None:
        self._db.execute("UPDATE runs SET record = ? WHERE id = ?", (json.dumps(record), run))

    def finish_run(self, run: str) -> None:
        self._db.execute("UPDATE runs SET finished = ? WHERE id = ?", (time.time(), run))

    def run(self, run: str) -> RunRecord | None:
        return next(iter(self._runs("WHERE id = ?", run)), None)

    def runs(self) -> list[RunRecord]:
        """All runs, oldest first."""
        return self._runs()

    def _runs(self, where: str = "", *values: str) -> list[RunRecord]:
        query = f"SELECT id, started, finished, pid, record FROM runs {where} ORDER BY started"  # noqa: S608
        rows = self._db.execute(query, values)
        return [RunRecord(id_, started, finished, pid, json.loads(text)) for id_, started, finished, pid, text in rows]

    # -- stages ---------------------------------------------------------------------------------------------

    def record(self, run: str, result: StageResult) -> None:
        """Write a stage's state; the last one counts."""
        self._db.execute(
            "INSERT INTO stages (run, stage, target, result) VALUES (?, ?, ?, ?)",
            (run, result.stage, result.target, json.dumps(result.to_json())),
        )

    def progress(self, run: str, result: StageResult, detail: str) -> None:
        """Replace the detail of a running stage; an ended one is left alone."""
        with self.transaction():
            current = self.result(run, result.stage, result.target)
            if current and current.status == Status.RUNNING:
                self.record(run, replace(current, detail=detail))

    def result(self, run: str, stage: str, target: str) -> StageResult | None:
        row = self._db.execute(
            "SELECT result FROM stages WHERE run = ? AND stage = ? AND target = ?", (run, stage, target)
        ).fetchone()
        return StageResult.from_json(json.loads(row[0])) if row else None

    def results(self, run: str) -> dict[str, StageResult]:
        """By stage key, in the order of their last change."""
        return {result.key: result for _, result in self.changes(run)}

    def changes(self, run: str, after: int = 0) -> list[tuple[int, StageResult]]:
        """Stages that changed since the sequence number ``after``, each with its own number, in order."""
        rows = self._db.execute("SELECT seq, result FROM stages WHERE run = ? AND seq > ? ORDER BY seq", (run, after))
        return [(seq, StageResult.from_json(json.loads(text))) for seq, text in rows]

    # -- resources ------------------------------------------------------------------------------------------

    def put_resource(self, resource: Resource) -> None:
        """Write a resource; to be called with state ``intended`` before anything is created."""
        values = asdict(resource) | {"spec": json.dumps(resource.spec)}
        self._db.execute(
            "INSERT OR REPLACE INTO resources (run, kind, name, state, spec, expires, error)"
            " VALUES (:run, :kind, :name, :state, :spec, :expires, :error)",
            values,
        )

    def set_resource(
        self, run: str, kind: str, name: str, state: str, error: str = "", expires: float | None = None
    ) -> None:
        self._db.execute(
            "UPDATE resources SET state = ?, error = ?, expires = ? WHERE run = ? AND kind = ? AND name = ?",
            (state, error, expires, run, kind, name),
        )

    def resources(self, run: str | None = None) -> list[Resource]:
        """Of one run, or of all, in the order in which they were recorded."""
        rows = self._db.execute(
            "SELECT run, kind, name, state, spec, expires, error FROM resources"
            " WHERE ? IS NULL OR run = ? ORDER BY rowid",
            (run, run),
        )
        return [
            Resource(run_, kind, name, state, json.loads(spec), expires, error)
            for run_, kind, name, state, spec, expires, error in rows
        ]
