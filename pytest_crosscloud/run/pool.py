"""The pool: clusters that have done their work for one run wait, healthy and empty, for a later one of the same kind.

They are on this host, where their state and their KUBECONFIG are. How one changes hands: ``takeover.take``.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import CrosscloudError
from ..model import Cluster, ProvisionRequest, Ref
from ..redact import redact
from . import requests, takeover
from .store import Resource, Store

if TYPE_CHECKING:
    from .destroy import Owner
    from .leases import Leases

#: Seconds for making a cluster as good as new. One that takes longer is destroyed instead.
_RECYCLE = 180.0


def fingerprint(cloud: str, kubernetes: Ref, arch: str, workers: int, variables: Mapping[str, Any]) -> str:
    """What two clusters have in common that can stand for each other. Their registries are compared apart."""
    made_of = [cloud, kubernetes.version, kubernetes.commit, arch, workers, variables]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True, default=str).encode()).hexdigest()[:16]


def of_request(request: ProvisionRequest) -> str:
    """The fingerprint of what is asked for."""
    return fingerprint(request.cloud.name, request.kubernetes, request.arch, request.workers, request.variables)


def waiting(store: Store, wanted: str, registries: Collection[str] = ()) -> list[Resource]:
    """Clusters of the pool with this fingerprint that may pull from these registries; the longest to stay first."""
    found = [
        resource
        for resource in store.resources()
        if resource.state == "pooled"
        and resource.spec.get("fingerprint") == wanted
        and (resource.expires or 0) > time.time()
        and set(registries) <= set(resource.spec["registries"])
    ]
    return sorted(found, key=lambda resource: -(resource.expires or 0))


def reuse(store: Store, leases: Leases, request: ProvisionRequest, target: str) -> tuple[Cluster, Resource] | None:
    """A cluster of the pool that can do what is asked for, now this run's; None: there is none.

    One that does not answer any more is given to the reaper.
    """
    stage = request.stage
    for resource in waiting(store, of_request(request), request.registries):
        ours = takeover.take(store, leases, resource, stage.run, target=target)
        if ours is None:
            continue
        stage.progress(f"looking at cluster {ours.name} of the pool")
        cluster = Cluster.from_json(ours.spec["cluster"])
        try:
            answers = request.cloud.answers(cluster)
        except Exception as error:  # a plugin's defect, or whatever a dead cluster makes of a request
            stage.write(f"{type(error).__name__}: {error}")
            answers = False
        if answers:
            return replace(cluster, cached=True), ours
        stage.write(f"cluster {ours.name} of the pool does not answer: it is destroyed")
        store.set_resource(stage.run, ours.kind, ours.name, "released")
    return None


def recycler(store: Store, owner: Owner, ttl: float, say: Callable[[str], None]) -> Callable[[Resource], bool]:
    """What makes a cluster that a run has returned as good as new, and puts it into the pool for ``ttl`` seconds.

    It returns False if that cannot be done: the cluster is to be destroyed.
    """

    def recycle(resource: Resource) -> bool:
        stage = owner.stage(resource)
        stage.deadline = time.monotonic() + _RECYCLE
        cluster = Cluster.from_json(resource.spec["cluster"])
        say(f"making cluster {resource.name} as good as new")
        try:
            request = requests.of_spec(resource.spec, owner.plugins, stage)
            if not owner.plugins.hook.crosscloud_recycle(request=request, cluster=cluster):
                raise CrosscloudError("no plugin did it")
            if not request.cloud.answers(cluster):
                raise CrosscloudError("it does not answer")
        except Exception as error:
            say(f"cluster {resource.name} cannot be used again: {redact(str(error) or type(error).__name__)}")
            return False
        pooled = replace(resource, state="pooled", expires=time.time() + ttl, error="")
        if store.exchange_resource(resource, pooled):
            say(f"cluster {resource.name} waits in the pool for {ttl:.0f} s")
        return True

    return recycle
