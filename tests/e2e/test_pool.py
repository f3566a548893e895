"""The pool with a real cluster: a second run has it as it is, and the first one's releases are gone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud import machine
from pytest_crosscloud.kube import Api
from pytest_crosscloud.run.store import Resource, open_store
from tests.e2e.computer import Computer

pytestmark = pytest.mark.root

#: Seconds for one run, with what it builds cached or not.
DEADLINE = 1500.0


def _run(rootdir: Path) -> dict[str, Any]:
    """One run with the pool; its only cell."""
    command = [sys.executable, "-m", "pytest", "-n", "2", "--clouds=local", "--projects=coredns", "--refs=stable"]
    done = subprocess.run(
        [*command, "--reuse-clusters=30m"],
        cwd=rootdir,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (cell,) = json.loads((rootdir / "reports" / "out" / "results.json").read_text())["cells"]
    found: dict[str, Any] = cell
    return found


def _pooled() -> Resource:
    store = open_store()
    (found,) = [resource for resource in store.resources() if resource.state == "pooled"]
    store.close()
    return found


def test_a_second_run_has_the_cluster_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))  # a pool of its own
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    before = Computer()
    runs: list[str] = []
    try:
        first = _run(tmp_path)
        pooled = _pooled()
        runs.append(pooled.run)
        api = Api(pooled.spec["cluster"]["kubeconfig"])
        assert api.get("/api/v1/namespaces", labelSelector="crosscloud-run")["items"] == []
        # What a chart has outside of its namespace goes, too.
        roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
        assert api.get(roles, labelSelector="app.kubernetes.io/managed-by=Helm")["items"] == []

        second = _run(tmp_path)

        again = _pooled()
        runs.append(again.run)
        assert (again.name, again.run != pooled.run) == (pooled.name, True)
        assert not first["stages"]["provision"]["cached"] and second["stages"]["provision"]["cached"]
        assert second["stages"]["provision"]["detail"].startswith(f"reused: made by run {pooled.run} ")
        assert second["stages"]["e2e"]["status"] == "success"

        clean = [str(Path(sys.executable).with_name("crosscloud")), "clean", "--run", again.run, "--yes"]
        subprocess.run(clean, cwd=tmp_path, check=True, timeout=300)
        assert [machine.leftovers(run) + before.left(run) for run in runs] == [[], []]
    finally:
        for run in runs:
            machine.destroy_run(run)
