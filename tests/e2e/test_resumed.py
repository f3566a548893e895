"""``pytest --resume`` with a real cluster: a killed run's is taken over as it is, and nothing is left of either run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_crosscloud import machine
from pytest_crosscloud.run import processes
from pytest_crosscloud.run.store import Resource, open_store
from tests.e2e.job import DEADLINE, GONE, Job, wait_for

pytestmark = pytest.mark.root


def _clusters(run: str) -> list[Resource]:
    return [resource for resource in open_store().resources(run) if resource.kind == "cluster"]


def _clean(run: str) -> None:
    crosscloud = str(Path(sys.executable).with_name("crosscloud"))
    subprocess.run([crosscloud, "clean", "--run", run, "--yes"], check=False, capture_output=True, timeout=300)


def _kill_in(job: Job, stage: str) -> Resource:
    """kill -9 of the controller while the stage runs. :returns: the cluster that its reaper keeps."""
    wait_for(lambda: job.process.poll() is not None or (job.run and job.is_running(stage)), stage, DEADLINE)
    job.process.send_signal(signal.SIGKILL)
    assert job.wait(10) == -signal.SIGKILL, f"it had ended: {job.text}"
    wait_for(lambda: not processes.of_run(job.run), "end of what it had started", 60)
    wait_for(lambda: [cluster.state for cluster in _clusters(job.run)] == ["kept"], "kept cluster", 60)
    assert job.is_done("provision") and not job.is_done(stage), "it was killed in another stage"
    return _clusters(job.run)[0]


@pytest.mark.parametrize("stage", ["deploy", pytest.param("e2e", marks=pytest.mark.slow)])
def test_the_cluster_of_a_killed_run_is_taken_over(
    start: Callable[..., Job], stage: str, request: pytest.FixtureRequest
) -> None:
    killed = start("--refs=stable", "--keep-failed=30m")
    request.addfinalizer(lambda: _clean(killed.run))  # what it keeps, if nobody has taken it over
    kept = _kill_in(killed, stage)
    made = open_store().results(killed.run)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "auto", "--resume"],
        cwd=killed.log.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((killed.out / "results.json").read_text())
    assert document["run"]["resumes"] == killed.run
    (cell,) = document["cells"]
    stages = cell["stages"]
    assert {name: stage["status"] for name, stage in stages.items()} == dict.fromkeys(
        ("build", "provision", "deploy", "e2e"), "success"
    )
    # Neither built nor provisioned again: what the killed run made, with its addresses and its kubeconfig.
    finished = {name for name, stage in stages.items() if stage["resumed_from"] == killed.run}
    assert finished == {"build", "provision", *(["deploy"] if stage == "e2e" else [])}
    run = document["run"]["id"]
    provision = open_store().results(run)["provision local"]
    assert (provision.data, provision.started) == (made["provision local"].data, made["provision local"].started)
    assert [(cluster.name, cluster.state) for cluster in _clusters(run)] == [(kept.name, "destroyed")]
    assert _clusters(killed.run) == [], "it has moved"
    # The machines carry the id of the run that made them.
    wait_for(lambda: not killed.traces(), f"end: {killed.traces()}", GONE)
    assert [machine.leftovers(run), processes.of_run(run)] == [[], []]
    assert not [item for item in open_store().resources(run) if item.state != "destroyed"]
