"""How long a local cluster takes from nothing to node Ready, and to the first answer of the DNS deployed on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from pytest_crosscloud.deploy.e2e import CONTAINER
from pytest_crosscloud.kube import Api
from pytest_crosscloud.model import Cell, StageName

from .local import LocalRun, local_run
from .measure import Bench, Figure, Measure, NotMeasured, median

#: Seconds to node Ready.
BOUND = 7.0

# Seconds, published by minikube's own benchmark of v1.34: the command alone, and until DNS answers.
_COMMAND = {"kind": 14.4, "k3d": 13.2}
_DNS = {"kind": 35.6, "k3d": 27.6}


def take(bench: Bench) -> Iterator[Figure]:
    with local_run(bench) as local:
        # The first one fetches and builds what is not there yet: images present is what is measured.
        _sample(local, "warm-up", "not counted")
        samples = [_sample(local, f"sample-{n + 1}", f"{n + 1} of {bench.runs}") for n in range(bench.runs)]
    yield median("cluster-ready", [ready for ready, _ in samples], "s", bound=BOUND, peer=_COMMAND)
    yield median("cluster-dns", [dns for _, dns in samples], "s", peer=_DNS)


def _sample(local: LocalRun, name: str, which: str) -> tuple[float, float]:
    """Seconds from the start of Provision until it is done, and until CoreDNS answered for the first time."""
    with local.bench.item() as item:
        item.progress(f"{which}: a cluster")
        target, cluster = local.cluster(name)
        try:
            cell = replace(local.cell, cluster=target, id=name)
            item.progress(f"{which}: CoreDNS on it")
            local.engine.e2e(cell)
            provisioned = local.result(StageName.PROVISION, name)
            assert provisioned.started
            dns = _first_answer(cluster.kubeconfig, local, cell) - provisioned.started
        finally:
            local.destroy(target)
        item.end("done", f"{which}: Ready after {provisioned.seconds:.2f} s, DNS answers after {dns:.2f} s")
    return provisioned.seconds, dns


def _first_answer(kubeconfig: str, local: LocalRun, cell: Cell) -> float:
    """When the e2e container printed its first passed check, in seconds since the epoch: on our clock, for the machine
    shares it."""
    api = Api(kubeconfig)
    pods = f"/api/v1/namespaces/{local.engine.namespace(cell)}/pods"
    (pod,) = api.get(pods, labelSelector="batch.kubernetes.io/job-name")["items"]
    log = api.text(f"{pods}/{pod['metadata']['name']}/log", container=CONTAINER, timestamps="true")
    for line in log.splitlines():
        stamp, _, text = line.partition(" ")
        if text.startswith("ok "):
            return datetime.fromisoformat(stamp).timestamp()
    raise NotMeasured("the e2e container passed, and printed no check")


MEASURE = Measure("cluster", "cold start of a local cluster, images present, to Ready and to DNS answering", take)
