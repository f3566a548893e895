"""kill -9 at ten moments of a run that makes a real cluster, beside a run that must not notice any of it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_crosscloud import machine
from pytest_crosscloud.run import processes
from pytest_crosscloud.run.processes import Process
from tests.e2e.job import GONE, Job, wait_for

pytestmark = pytest.mark.root

#: Its cluster stays until the file says that it may go.
_BYSTANDER = """
import pathlib, time

def test_its_cluster_is_left_alone(cluster):
    limit = time.monotonic() + 900
    while not pathlib.Path("over").exists() and time.monotonic() < limit:
        time.sleep(0.1)
"""

_TEST = "def test_cluster(cluster): pass"


@pytest.fixture(scope="module")
def bystander(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    rootdir = tmp_path_factory.mktemp("bystander")
    (rootdir / "pytest.ini").write_text("[pytest]\n")
    (rootdir / "test_it.py").write_text(_BYSTANDER)
    job = Job(rootdir, "--refs=stable", "test_it.py")
    try:
        yield job
        (rootdir / "over").touch()
        assert job.wait(300) == 0, job.text
        assert job.traces() == []
    finally:
        job.process.kill()
        job.process.wait()
        if job.run:
            machine.destroy_run(job.run)


def controller(job: Job) -> list[Process]:
    process = Process.of(job.process.pid)
    return [process] if process else []


def worker(job: Job) -> list[Process]:
    return [process for process in processes.of_run(job.run) if "execnet" in _command(process)][:1]


def terraform(job: Job) -> list[Process]:
    return [process for process in processes.of_run(job.run) if Path(_command(process).split()[0]).name == "terraform"]


def reaper(job: Job) -> list[Process]:
    return processes.of_reaper(job.run)


def everything(job: Job) -> list[Process]:
    return [*reaper(job), *controller(job), *processes.of_run(job.run)]


def _command(process: Process) -> str:
    try:
        return Path(f"/proc/{process.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() or "-"
    except OSError:
        return "-"


#: Who is killed, and how far into the run, in seconds after its id is known: a random moment, the same each time.
KILLS = [
    (victims, round(random.Random(number).uniform(0, 6), 1))
    for number, victims in enumerate(
        (controller, worker, terraform, reaper, everything, controller, worker, terraform, controller, everything)
    )
]


@pytest.mark.parametrize(
    ("victims", "moment"), KILLS, ids=[f"{victims.__name__}-{moment}s" for victims, moment in KILLS]
)
def test_nothing_is_left_of_a_real_run(
    start: Callable[..., Job], bystander: Job, victims: Callable[[Job], list[Process]], moment: float
) -> None:
    wait_for(lambda: bystander.is_done("provision"), "bystander's cluster", 300)
    job = start("-n", "1", "--refs=stable", "test_it.py", files={"test_it.py": _TEST})
    wait_for(lambda: job.run, "run", 60)
    due = time.monotonic() + moment
    wait_for(lambda: (time.monotonic() > due and victims(job)) or job.process.poll() is not None, "victim", 60)
    for process in victims(job):
        processes.send(process, signal.SIGKILL)
    job.wait(300)
    if victims is everything:  # nobody is left who could know
        clean = [sys.executable, "-c", "from pytest_crosscloud.cli import main; raise SystemExit(main())"]
        command = [*clean, "clean", "--run", job.run]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    wait_for(lambda: not job.traces(), f"end: {job.traces()}", GONE)
    assert bystander.process.poll() is None
    assert machine.leftovers(bystander.run)
