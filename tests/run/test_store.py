"""The result store: what stays, what may get lost, and whose file it does not touch."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.model import StageResult, Status, TestOutcome, TestResult
from pytest_crosscloud.run import sqlite
from pytest_crosscloud.run.sqlite import SqliteStore
from pytest_crosscloud.run.store import Resource, RunExists, RunRecord, StoreFull, open_store

PASSED = TestResult("a.py::test", TestOutcome.PASSED, 0.5, 100.0)
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
        store.record_test(run, PASSED)
    store.forget_run("one")
    assert [run.id for run in store.runs()] == ["two"]
    assert store.results("one") == {} and len(store.results("two")) == 1
    assert [resource.run for resource in store.resources()] == ["two"]
    assert store.tests("one") == [] and store.tests("two") == [PASSED]
    store.close()


def test_the_last_outcome_of_a_test_counts_and_outlives_the_process(path: Path) -> None:
    failed = replace(PASSED, nodeid="b.py::test", outcome=TestOutcome.FAILED, message="it is red", bundled=True)
    script = """
import json, os, signal, sys
from pytest_crosscloud.model import TestResult
from pytest_crosscloud.run.store import open_store
store = open_store(sys.argv[1])
for data in json.loads(sys.argv[2]):
    store.record_test("one", TestResult.from_json(data))
os.kill(os.getpid(), signal.SIGKILL)
"""
    written = [test.to_json() for test in (replace(PASSED, outcome="error"), failed, PASSED)]
    died = subprocess.run([sys.executable, "-c", script, str(path), json.dumps(written)], check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL
    store = SqliteStore(path)
    assert store.tests("one") == [failed, PASSED]
    store.close()


def test_a_file_of_version_1_is_taken_along(path: Path) -> None:
    store = SqliteStore(path)
    store.create_run(new_run("old"))
    store._db.execute("DROP TABLE tests")
    store._db.execute("PRAGMA user_version = 1")
    store.close()
    store = SqliteStore(path)
    store.record_test("old", PASSED)
    assert [run.id for run in store.runs()] == ["old"] and store.tests("old") == [PASSED]
    store.close()


def test_a_full_disk_gives_its_reserve_and_then_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(path)
    store.create_run(new_run("one"))
    store._db.execute("PRAGMA max_page_count = 1")  # SQLite's own way to say that the disk is full
    given: list[bool] = []

    def give() -> bool:
        given.append(not given)
        return given[-1]

    monkeypatch.setattr(store, "make_room", give)
    with pytest.raises(StoreFull, match="its disk is full"):
        store.create_run(RunRecord("two", time.time(), None, 1, {"text": "x" * 2**20}))
    assert given == [True, False]
    assert [run.id for run in store.runs()] == ["one"]
    store.close()


def test_durations_are_those_of_the_last_few_that_succeeded(path: Path) -> None:
    store = SqliteStore(path)
    done = replace(RUNNING, status=Status.SUCCESS)
    for number, seconds in enumerate([900.0, 7.0, 9.0, 8.0, 6.0, 100.0]):
        store.record(f"run-{number}", RUNNING)
        store.record(f"run-{number}", replace(done, seconds=seconds))
    store.record("cached", replace(done, seconds=0.1, cached=True))
    store.record("failed", replace(done, seconds=0.1, status=Status.FAILED))
    store.record("failed", replace(RUNNING, target="other"))
    assert store.durations() == {"build one": 8.0}
    store.forget_run("run-5")
    assert store.durations() == {"build one": 8.0}
    store.close()


def test_durations_of_tests_are_those_that_matter(path: Path) -> None:
    store = SqliteStore(path)
    for number, seconds in enumerate([0.9, 3.0, 5.0]):
        store.record_test(f"run-{number}", replace(PASSED, seconds=seconds, ended=number))
        store.record_test(f"run-{number}", replace(PASSED, nodeid="suite.py::test_build", seconds=60.0, bundled=True))
        store.record_test(f"run-{number}", replace(PASSED, nodeid="a.py::red", outcome="failed", seconds=60.0))
    assert store.durations() == {"a.py::test": 4.0}
    # Runs of thousands of quick tests slow nobody down: an index has those that count.
    plan = store._db.execute(f"EXPLAIN QUERY PLAN {sqlite._SLOW_TESTS}").fetchall()
    assert "INDEX slow_tests" in str(plan)
    store.close()
