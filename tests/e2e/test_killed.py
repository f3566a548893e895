"""kill -9 at ten moments of a run that makes a real cluster, beside a run that must not notice any of it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_crosscloud import machine
from pytest_crosscloud.machine import records
from pytest_crosscloud.run import processes
from pytest_crosscloud.run.processes import Process
from pytest_crosscloud.run.store import open_store
from tests.e2e.job import GONE, Job, wait_for

pytestmark = pytest.mark.root

#: Its cluster stays until the file says that it may go, so no kill comes after the end.
_TEST = """
import pathlib, time

def test_its_cluster_is_there(cluster):
    limit = time.monotonic() + 900
    while not pathlib.Path("over").exists():
        assert time.monotonic() < limit
        time.sleep(0.1)
"""

#: Of a stage whose worker or Terraform was killed: at once, what is left behind is the same.
_RETRIES = "retries: {backoff: 0}\n"


@pytest.fixture(scope="module")
def bystander(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    rootdir = tmp_path_factory.mktemp("bystander")
    (rootdir / "pytest.ini").write_text("[pytest]\n")
    (rootdir / "test_it.py").write_text(_TEST)
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


# -- who is killed ----------------------------------------------------------------------------------------------


def controller(job: Job) -> list[Process]:
    process = Process.of(job.process.pid)
    return [process] if process else []


def worker(job: Job) -> list[Process]:
    """The one of pytest-xdist, which reads its program from its standard input."""
    return [process for process in processes.of_run(job.run) if "sys.stdin.readline" in _command(process)]


def terraform(job: Job) -> list[Process]:
    """The one that makes the cluster."""
    return [process for process in processes.of_run(job.run) if _is_terraform_apply(_command(process).split())]


def reaper(job: Job) -> list[Process]:
    return processes.of_reaper(job.run)


def everything(job: Job) -> list[Process]:
    return [*reaper(job), *controller(job), *processes.of_run(job.run)]


def _command(process: Process) -> str:
    try:
        return Path(f"/proc/{process.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() or "-"
    except OSError:
        return "-"


def _is_terraform_apply(words: list[str]) -> bool:
    return Path(words[0]).name == "terraform" and "apply" in words


# -- and when ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kill:
    """Who is killed, when, and what becomes of pytest."""

    victims: Callable[[Job], list[Process]]
    moment: float | Callable[[Job], object]  #: seconds after the run's id is known; or a condition
    code: int  #: pytest's exit code
    attempts: int = 1  #: at Provision, where pytest lives to tell

    def __str__(self) -> str:
        moment = f"{self.moment}s" if isinstance(self.moment, float) else self.moment.__name__
        return f"{self.victims.__name__}-{moment}"

    def is_due(self, job: Job, since: float) -> bool:
        if isinstance(self.moment, float):
            return time.monotonic() > since + self.moment
        return bool(self.moment(job))


def beginning(job: Job) -> bool:
    return True


def half_way(job: Job) -> bool:
    """The cluster's network is there, and its machine comes up."""
    return bool(records.networks(job.run))


def in_use(job: Job) -> bool:
    return job.is_done("provision")


def _random(number: int) -> float:
    """A random moment, the same each time."""
    return round(random.Random(number).uniform(0, 6), 1)


_KILLED = -signal.SIGKILL

KILLS = [
    Kill(controller, _random(0), _KILLED),
    Kill(worker, half_way, 0, attempts=2),
    Kill(terraform, beginning, 0, attempts=2),
    Kill(reaper, _random(3), 0),
    Kill(everything, _random(4), _KILLED),
    Kill(controller, _random(5), _KILLED),
    Kill(worker, in_use, 1),
    Kill(terraform, half_way, 0, attempts=2),
    Kill(controller, _random(8), _KILLED),
    Kill(everything, _random(9), _KILLED),
]


@pytest.mark.parametrize("kill", KILLS, ids=str)
def test_nothing_is_left_of_a_real_run(start: Callable[..., Job], bystander: Job, kill: Kill) -> None:
    wait_for(lambda: bystander.is_done("provision"), "bystander's cluster", 300)
    job = start("-n", "1", "--refs=stable", "test_it.py", files={"test_it.py": _TEST, "cross-cloud.yml": _RETRIES})
    wait_for(lambda: job.run or job.process.poll() is not None, "run", 120)

    struck = _strike(job, kill)

    wait_for(lambda: all(process.is_dead for process in struck), f"death of {struck}", 10)
    if kill.code != _KILLED:
        (job.log.parent / "over").touch()
    assert job.wait(300) == kill.code, job.text
    if kill.code != _KILLED:
        provision = open_store().results(job.run)["provision local"]
        assert (provision.status, provision.attempts) == ("success", kill.attempts), job.text
    if kill.victims is everything:  # nobody is left who could know
        clean = [sys.executable, "-c", "from pytest_crosscloud.cli import main; raise SystemExit(main())"]
        command = [*clean, "clean", "--run", job.run]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    wait_for(lambda: not job.traces(), f"end: {job.traces()}", GONE)
    assert bystander.process.poll() is None
    assert machine.leftovers(bystander.run)


def _strike(job: Job, kill: Kill) -> list[Process]:
    """Kill when the moment has come. :returns: who was killed: somebody, always."""
    since = time.monotonic()
    struck: list[Process] = []

    def strike() -> bool:
        assert job.process.poll() is None, job.text
        if kill.is_due(job, since):
            struck.extend(process for process in kill.victims(job) if processes.send(process, signal.SIGKILL))
        return bool(struck)

    wait_for(strike, f"{kill.victims.__name__} to kill", 120)
    return struck
