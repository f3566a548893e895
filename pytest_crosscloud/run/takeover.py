"""What a run takes over from one that is over: its clusters, its registry, and results that need them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import CrosscloudError
from ..model import Artifacts, Cell, Cluster, Pin, StageName, StageResult
from . import cluster_lease, processes, reaper
from .destroy import WAITING
from .leases import LeaseLost, Leases, open_leases
from .store import Resource, RunRecord, Store

if TYPE_CHECKING:
    from ..stage import StageContext
    from .context import Run

#: Seconds for which what a dead run left is kept for the one that goes on with it.
_KEPT = 7200.0

#: Seconds that something kept must have left to be worth taking.
_MARGIN = 60.0


def keep(store: Store, run: str, seconds: float) -> None:
    """Keep what lives of a run: clusters, and the registry that their pods pull from."""
    for resource in store.resources(run):
        if resource.kind in ("cluster", "registry") and resource.state == "live":
            store.set_resource(run, resource.kind, resource.name, "kept", expires=time.time() + seconds)


def spare(store: Store, run: str) -> Callable[[], None]:
    """Keep what lives of a run that nobody owns any more: else its clusters would be destroyed as left behind.

    :returns: lets go of what nobody has taken over.
    """
    lease = reaper.acquire(store, run)
    if lease is None:  # it has a reaper, which destroys them
        return lambda: None
    processes.end_all(lambda: processes.of_run(run))
    before = {(resource.kind, resource.name) for resource in store.resources(run) if resource.state == "kept"}
    keep(store, run, _KEPT)
    store.leases().release(lease)
    reaper.adopt(store, run)  # destroys the rest, and these when they expire

    def let_go() -> None:
        for resource in store.resources(run):
            if resource.state == "kept" and (resource.kind, resource.name) not in before:
                store.set_resource(run, resource.kind, resource.name, "kept", expires=time.time())

    return let_go


def clusters(store: Store, run: str) -> set[str]:
    """Ids of the clusters that a run has left, and that one which goes on with it may take."""
    soon = time.time() + _MARGIN
    return {
        resource.spec["target"]
        for resource in store.resources(run)
        if resource.kind == "cluster"
        and (resource.state == "live" or (resource.state == "kept" and (resource.expires or 0) > soon))
    }


def take(store: Store, leases: Leases, resource: Resource, run: str, **spec: Any) -> Resource | None:
    """Make something that stays, until it expires, ``run``'s own; None: another has it, or it is being destroyed.

    It changes hands in one step of the store, and then gets a lease with a new token: what still acted for the old run
    stops.

    :param spec: what changes in what is recorded of it.
    """
    if resource.state not in WAITING or (resource.expires or 0) < time.time() + _MARGIN:
        return None
    ours = replace(resource, run=run, state="live", expires=None, error="", spec={**resource.spec, **spec})
    if not store.exchange_resource(resource, ours):
        return None
    if former := cluster_lease.recorded(resource):
        # Whoever is killed between these steps has left a lease that is free: cluster_lease.prove takes it on.
        leases.release(former)
        try:
            lease = cluster_lease.take(leases, run, former.name)
        except LeaseLost as error:
            store.exchange_resource(ours, replace(ours, state="lost", error=error.message))
            return None
        ours = replace(ours, spec={**ours.spec, "lease": cluster_lease.to_spec(lease)})
        store.put_resource(ours)
    return ours


def registry(store: Store, old: RunRecord, run: str) -> str:
    """The old run's registry, taken over: what its nodes may pull from. Empty if it is gone."""
    from ..build.distribution import Repository

    host = str(old.record["settings"]["registry"])
    for resource in store.resources(old.id):
        if resource.kind == "registry" and host:
            with suppress(CrosscloudError):
                Repository.at(host, "any").digest("any")
                return host if take(store, store.leases(), resource, run) else ""
    return ""


class Inherited:
    """Results of the run that this one goes on with, when they are first needed."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._store = run.store

    def build(self, result: StageResult) -> StageResult | None:
        """With its images where this run's nodes pull from; None: they are not there, it is to be made again."""
        artifacts = Artifacts.from_json(result.data)
        pins = [self._moved(pin) for pin in artifacts.pins]
        e2e = self._moved(artifacts.e2e) if artifacts.e2e else None
        if None in pins or (artifacts.e2e and e2e is None):
            return None
        moved = replace(artifacts, pins=tuple(pin for pin in pins if pin), e2e=e2e)
        if moved == artifacts:
            return result
        result = replace(result, data=moved.to_json())
        self._store.record(self._run.id, result)
        return result

    def _moved(self, pin: Pin) -> Pin | None:
        """The pin of the same image in this run's registry; None: it is not there."""
        from ..build.distribution import Repository, is_inside

        registry = self._run.settings.registry
        host, _, name = pin.image.partition("/")
        if not registry or host == registry.removeprefix("http://") or not is_inside(host):
            return pin  # it is where it was, or in no run's own registry
        repository = Repository.at(registry, name)
        try:
            return replace(pin, image=str(repository)) if repository.digest(pin.digest) else None
        except CrosscloudError:
            return None

    def cluster(self, result: StageResult) -> StageResult | None:
        """With the cluster now this run's own; None: it is gone."""
        cluster = Cluster.from_json(result.data)
        for resource in self._store.resources():
            if (resource.kind, resource.name) != ("cluster", cluster.name):
                continue
            if resource.run == self._run.id and resource.state == "live":
                return result
            leases = open_leases(self._run.settings.leases, self._store)
            if take(self._store, leases, resource, self._run.id):
                if self._is_usable(cluster):
                    return result
                self._store.set_resource(self._run.id, resource.kind, resource.name, "released")
        return None

    def _is_usable(self, cluster: Cluster) -> bool:
        cloud = self._run.config.clouds[cluster.cloud]
        try:
            return cloud.answers(cluster)
        except Exception:  # a plugin's defect, or whatever a dead cluster makes of a request
            return False

    def release(self, result: StageResult, cell: Cell) -> StageResult | None:
        """As it is, on the cluster that it was deployed on; None: that is gone."""
        provision = self._store.result(self._run.id, StageName.PROVISION, cell.cluster.id)
        return result if provision and provision.resumed_from else None

    def clear(self, cell: Cell, cluster: Cluster, namespace: str, release: str, stage: StageContext) -> None:
        """Remove what the old run had deployed of the cell when it was cut off: it would be in the way."""
        from ..deploy import helm

        provision = self._store.result(self._run.id, StageName.PROVISION, cell.cluster.id)
        if provision and provision.resumed_from:
            stage.progress("removing what was half deployed")
            try:
                helm.remove(cluster.kubeconfig, namespace, release, replace(stage, run=self._run.settings.resumes))
            except Exception as error:  # if it is in the way, Helm will say so
                stage.write(f"what run {self._run.settings.resumes} had deployed is still there: {error}")
