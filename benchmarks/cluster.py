"""How long a local cluster takes from nothing to node Ready, and to the first answer of the DNS deployed on it."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from pytest_crosscloud import hookimpl
from pytest_crosscloud.deploy.e2e import CONTAINER
from pytest_crosscloud.kube import Api
from pytest_crosscloud.model import Cell, Cluster, ProvisionRequest, StageName
from pytest_crosscloud.run import requests

from .local import LocalRun, local_run
from .measure import Bench, Figure, Measure, NotMeasured, median

#: Seconds to node Ready, by the local cloud's variable ``prepared``: what lies on the disk that a machine clones.
BOUNDS = {"images": 7.0, "cluster": 4.0}

_FIGURES = {"images": "cluster", "cluster": "cluster-prepared"}

# Seconds, published by minikube's own benchmark of v1.34: the command alone, and until DNS answers.
_COMMAND = {"kind": 14.4, "k3d": 13.2}
_DNS = {"kind": 35.6, "k3d": 27.6}


@dataclass(frozen=True)
class _Times:
    """Seconds since Provision started."""

    ready: float  #: the node is Ready
    pods: float  #: Provision is done: it takes pods, too
    dns: float  #: CoreDNS has answered


class _Listener:
    """Hears in Provision's progress when the nodes are Ready: it then waits for the first service account."""

    ready: float | None = None

    @hookimpl(wrapper=True)
    def crosscloud_provision(self, request: ProvisionRequest) -> Generator[None, Cluster, Cluster]:
        say, self.ready = request.stage.on_progress, None

        def listen(text: str) -> None:
            if "serviceaccounts/default" in text and self.ready is None:
                self.ready = time.time()
            say(text)

        request.stage.on_progress = listen
        return (yield)


def take(bench: Bench) -> Iterator[Figure]:
    for prepared, name in _FIGURES.items():
        with local_run(bench, {"prepared": prepared}) as local:
            listener = _Listener()
            local.run.plugins.manager.register(listener)
            # The first one fetches and builds what is not there yet: images present is what is measured.
            _sample(local, listener, f"{prepared}-warm-up", "not counted")
            samples = [
                _sample(local, listener, f"{prepared}-{n + 1}", f"{n + 1} of {bench.runs}") for n in range(bench.runs)
            ]
        yield median(f"{name}-ready", [times.ready for times in samples], "s", bound=BOUNDS[prepared], peer=_COMMAND)
        yield median(f"{name}-pods", [times.pods for times in samples], "s")
        yield median(f"{name}-dns", [times.dns for times in samples], "s", peer=_DNS)


def _sample(local: LocalRun, listener: _Listener, name: str, which: str) -> _Times:
    with local.bench.item() as item:
        item.progress(f"{which}: a cluster")
        target, cluster = local.cluster(name)
        try:
            cell = replace(local.cell, cluster=target, id=name)
            item.progress(f"{which}: CoreDNS on it")
            local.engine.e2e(cell)
            provisioned = local.result(StageName.PROVISION, name)
            start = provisioned.started
            assert start
            ready = (listener.ready or start + provisioned.seconds) - start
            times = _Times(ready, provisioned.seconds, _first_answer(cluster.kubeconfig, local, cell) - start)
        finally:
            local.destroy(target)
        item.end("done", f"{which}: Ready {times.ready:.2f} s, takes pods {times.pods:.2f} s, DNS {times.dns:.2f} s")
    return times


def _first_answer(kubeconfig: str, local: LocalRun, cell: Cell) -> float:
    """When the e2e container printed its first passed check, in seconds since the epoch: on our clock, for the machine
    shares it."""
    api = Api(kubeconfig)
    pods = f"/api/v1/namespaces/{requests.namespace(local.engine.run.id, cell)}/pods"
    (pod,) = api.get(pods, labelSelector="batch.kubernetes.io/job-name")["items"]
    log = api.text(f"{pods}/{pod['metadata']['name']}/log", container=CONTAINER, timestamps="true")
    for line in log.splitlines():
        stamp, _, text = line.partition(" ")
        if text.startswith("ok "):
            return datetime.fromisoformat(stamp).timestamp()
    raise NotMeasured("the e2e container passed, and printed no check")


MEASURE = Measure(
    "cluster",
    "start of a local cluster, cold and from a prepared disk, to Ready and to DNS answering",
    take,
)
