"""A stage's lock, and what becomes of a stage whose worker died or is stuck."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud.config import Retries
from pytest_crosscloud.model import StageResult, Status
from pytest_crosscloud.run import making, processes
from pytest_crosscloud.run.processes import RESOURCE_VARIABLE, RUN_VARIABLE, STAGE_VARIABLE
from pytest_crosscloud.run.sqlite import SqliteStore


class StandIn:
    """As much of a Run as a stage's lock and its end need."""

    def __init__(self, directory: Path) -> None:
        self.id = "0123abcd"
        self.directory = directory
        self.store = SqliteStore(directory / "db")
        self.config: Any = type("Config", (), {"retries": Retries(attempts=2)})


@pytest.fixture
def run(tmp_path: Path) -> Any:
    return StandIn(tmp_path)


ROW = StageResult("e2e", "a-b", Status.RUNNING, started=time.time() - 60)


def test_a_dead_workers_stage_goes_on_as_long_as_it_has_attempts(run: Any) -> None:
    assert not making.goes_on(run, "e2e a-b"), "it never began"
    run.store.record(run.id, ROW)
    assert making.goes_on(run, "e2e a-b")
    run.store.record(run.id, replace(ROW, attempts=2, flaky=True))
    assert not making.goes_on(run, "e2e a-b")
    ended = run.store.result(run.id, "e2e", "a-b")
    assert (ended.status, ended.flaky, ended.seconds >= 60) == ("failed", False, True)
    assert ended.failure.message == "after 2 attempts: the worker that ran this stage died"
    assert not making.goes_on(run, "e2e a-b")


def test_a_stage_that_somebody_makes_is_left_alone(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "_FREED", 0.0)
    run.store.record(run.id, replace(ROW, attempts=2))
    program = (
        "import sys; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]):\n    print('held', flush=True); sys.stdin.read()\n"
    )
    lock = run.directory / "locks" / "e2e-a-b"
    lock.parent.mkdir()
    argv = [sys.executable, "-c", program, str(lock)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdout.readline() == b"held\n"
        assert not making.goes_on(run, "e2e a-b")
        assert run.store.result(run.id, "e2e", "a-b").status == "running"
        with pytest.raises(TimeoutError), making.held(run, "e2e a-b", 0.1):
            pass
        other.kill()
    assert not making.goes_on(run, "e2e a-b")
    assert run.store.result(run.id, "e2e", "a-b").status == "failed", "a killed process holds no lock"


def test_what_a_stage_started_is_found_but_not_what_is_recorded() -> None:
    marks = {RUN_VARIABLE: "0123abcd", STAGE_VARIABLE: "deploy a-b"}
    with (
        subprocess.Popen(["sleep", "60"], env=marks) as mine,
        subprocess.Popen(["sleep", "60"], env={**marks, RESOURCE_VARIABLE: "cluster/x"}) as machine,
        subprocess.Popen(["sleep", "60"], env={**marks, STAGE_VARIABLE: "deploy a-c"}) as other,
    ):
        try:
            assert [found.pid for found in processes.of_stage("0123abcd", "deploy a-b")] == [mine.pid]
        finally:
            for process in (mine, machine, other):
                process.kill()
