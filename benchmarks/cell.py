"""Deploy and e2e of one cell, against the same typed by hand: helm upgrade --install --wait, and a Job with kubectl."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

from pytest_crosscloud import paths
from pytest_crosscloud.deploy import E2E_LABEL, helm
from pytest_crosscloud.deploy.e2e import CONTAINER
from pytest_crosscloud.kube import Api, ApiError
from pytest_crosscloud.model import Artifacts, Cluster, Project, StageName
from pytest_crosscloud.run import requests
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.toolchain.node import node_bundle
from pytest_crosscloud.toolchain.tools import tool

from .local import PROJECT, LocalRun, local_run
from .measure import Bench, Figure, Measure, median

#: Times what it takes by hand.
BOUND = 1.2

#: Seconds for one deploy with its e2e, and for its removal.
_DEADLINE = 600.0

_NAMESPACE, _RELEASE = "by-hand", "dns"


def take(bench: Bench) -> Iterator[Figure]:
    with local_run(bench) as local:
        with bench.item() as item:
            item.progress("a cluster")
            _, cluster = local.cluster("cell")
            item.end("done", f"cluster {cluster.name}")
        hand = ByHand(local, cluster)
        _pair(local, cluster, hand, "warm-up", "not counted", ours_first=True)  # the node pulls the images
        # Who comes first alternates, so that neither always runs on what the other left in the caches.
        pairs = [
            _pair(local, cluster, hand, f"pair-{n + 1}", f"{n + 1} of {bench.runs}", ours_first=bool(n % 2))
            for n in range(bench.runs)
        ]
    ours, theirs = ([pair[side] for pair in pairs] for side in (0, 1))
    yield median("cell-seconds", ours, "s", peer={"by hand": statistics.median(theirs)})
    yield median("cell", [mine / hands for mine, hands in pairs], "times", bound=BOUND)


def _pair(
    local: LocalRun, cluster: Cluster, hand: ByHand, name: str, which: str, *, ours_first: bool
) -> tuple[float, float]:
    with local.bench.item() as item:
        taken = {}
        for side in ("ours", "by hand") if ours_first else ("by hand", "ours"):
            item.progress(f"{which}: {side}")
            taken[side] = _ours(local, cluster, name) if side == "ours" else hand.run()
        item.end("done", f"{which}: {taken['ours']:.2f} s, by hand {taken['by hand']:.2f} s")
    return taken["ours"], taken["by hand"]


def _ours(local: LocalRun, cluster: Cluster, cell: str) -> float:
    """Seconds of the cell's two stages, in a new process: a worker of pytest's imports their libraries too."""
    stage = local.bench.stage(f"cell {cell}", _DEADLINE, run=local.run.id)
    stage.command([sys.executable, "-m", "benchmarks.worker", local.run.id, cell, "cell"], cwd=paths.data())
    namespace = requests.namespace(local.engine.run.id, local.cell)
    _remove(cluster, namespace, local.result(StageName.DEPLOY, cell).data["name"], stage)
    return sum(local.result(name, cell).seconds for name in (StageName.DEPLOY, StageName.E2E))


class ByHand:
    """The same chart, values and images with nothing but Helm and kubectl."""

    def __init__(self, local: LocalRun, cluster: Cluster) -> None:
        self._local = local
        stage = self._stage()
        bundle = node_bundle(cluster.kubernetes, cluster.arch, stage)
        self._helm = [str(tool("helm", stage)), "--kubeconfig", cluster.kubeconfig, "--namespace", _NAMESPACE]
        kubectl = str(bundle.programs / "kubectl")
        self._kubectl = [kubectl, "--kubeconfig", cluster.kubeconfig, "--namespace", _NAMESPACE]
        project = local.run.config.projects[PROJECT]
        artifacts = local.engine.artifacts(local.cell.build)
        self._chart = helm.find_chart(project.chart, Path.cwd())
        self._values = json.dumps(helm.values(project, artifacts))
        self._job = json.dumps(_job(project, artifacts))

    def run(self) -> float:
        """Seconds from the first command to the Job's log."""
        stage = self._stage()
        helm_, kubectl = self._helm, self._kubectl
        install = ["upgrade", "--install", _RELEASE, self._chart, "--create-namespace", "--wait", "--values", "-"]
        started = time.monotonic()
        stage.command([*helm_, *install], stdin=self._values)
        stage.command([*kubectl, "apply", "--filename", "-"], stdin=self._job)
        stage.command([*kubectl, "wait", "--for=condition=Complete", "job/e2e", "--timeout=300s"])
        stage.command([*kubectl, "logs", "job/e2e"])
        taken = time.monotonic() - started
        stage.command([*helm_, "uninstall", _RELEASE])
        stage.command([*kubectl, "delete", "namespace", _NAMESPACE])  # waits until it is gone
        return taken

    def _stage(self) -> StageContext:
        return self._local.bench.stage("by-hand", _DEADLINE, run=self._local.run.id)


def _job(project: Project, artifacts: Artifacts) -> dict[str, Any]:
    """What somebody writes who wants to see the e2e container's exit code and its log."""
    assert project.e2e and artifacts.e2e
    environment = {
        "CROSSCLOUD_NAMESPACE": _NAMESPACE,
        "CROSSCLOUD_RELEASE": _RELEASE,
        "CROSSCLOUD_RESULTS": "/",
        **project.e2e.env,
    }
    container = {
        "name": CONTAINER,
        "image": artifacts.e2e.reference,
        "env": [{"name": name, "value": value} for name, value in environment.items()],
    }
    pod = {"restartPolicy": "Never", "containers": [container]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "e2e"},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": {E2E_LABEL: _RELEASE}}, "spec": pod}},
    }


def _remove(cluster: Cluster, namespace: str, release: str, stage: StageContext) -> None:
    """Remove a release, and wait until its namespace is gone: the next sample starts on an empty cluster."""
    helm.remove(cluster.kubeconfig, namespace, release, stage)
    api = Api(cluster.kubeconfig)

    def gone() -> bool:
        try:
            api.get(f"/api/v1/namespaces/{namespace}")
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return True
        return False

    stage.wait_until(gone, f"namespace {namespace} to be gone")


MEASURE = Measure("cell", "deploy and e2e of one cell, against Helm and kubectl by hand", take)
