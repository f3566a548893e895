"""The result store: what stays, what may get lost, and whose file it does not touch."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.model import StageResult, Status
from pytest_crosscloud.run import sqlite
from pytest_crosscloud.run.sqlite import SqliteStore
from pytest_crosscloud.run.store import Resource, RunExists, RunRecord, open_store

RUNNING = StageResult("build", "one", Status.RUNNING, started=1.0, detail="compiling")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "crosscloud.db"


def new_run(id_: str) -> RunRecord:
    return RunRecord(id_, time.time(), None, 1, {})


def test_another_process_opens_it_by_its_address(path: Path) -> None:
    store = open_store(path)
    store.create_run(new_run("one"))
    other = open_store(store.address)
    assert [run.id for run in other.runs()] == ["one"]
    store.close()
    other.close()


def test_an_id_is_given_once(path: Path) -> None:
    store = SqliteStore(path)
    store.create_run(new_run("one"))
    with pytest.raises(RunExists):
        store.create_run(new_run("one"))
    store.close()


def test_the_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as newer:
        newer.execute(f"PRAGMA user_version = {sqlite._VERSION + 1}")
    newer.close()
    with pytest.raises(CrosscloudError, match=r"newer pytest-crosscloud") as error:
        SqliteStore(path)
    assert "upgrade" in error.value.remedy
    with sqlite3.connect(path) as newer:
        assert newer.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    newer.close()


def test_progress_is_lost_rather_than_failing_its_stage(path: Path) -> None:
    store = SqliteStore(path)
    store.create_run(new_run("one"))
    store.record("one", RUNNING)
    store._db.execute("PRAGMA busy_timeout = 10")
    other = SqliteStore(path)
    with other.transaction():
        store.progress("one", RUNNING, "linking")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            store.record("one", RUNNING)  # a state must not get lost
    store.progress("one", RUNNING, "packaging")
    found = store.result("one", "build", "one")
    assert found and found.detail == "packaging"
    store.close()
    other.close()


def test_a_forgotten_run_takes_its_rows_along_and_no_others(path: Path) -> None:
    store = SqliteStore(path)
    for run in ("one", "two"):
        store.create_run(new_run(run))
        store.record(run, RUNNING)
        store.put_resource(Resource(run, "cluster", "c", "destroyed", {}))
    store.forget_run("one")
    assert [run.id for run in store.runs()] == ["two"]
    assert store.results("one") == {} and len(store.results("two")) == 1
    assert [resource.run for resource in store.resources()] == ["two"]
    store.close()
