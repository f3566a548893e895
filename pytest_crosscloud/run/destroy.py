"""Destroys what a run owns: one destroyer per kind of resource, several at a time, again if it fails."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from .. import disk, paths
from ..errors import CrosscloudError
from ..model import ProvisionRequest, StageName, Status
from ..redact import redact
from ..stage import StageContext
from . import context, processes, requests
from .cluster_lease import NOT_OURS, owning
from .leases import LeaseLost, Leases, open_leases
from .store import Resource, RunRecord, Store, StoreFull

if TYPE_CHECKING:
    from ..plugins import Plugins

#: States of a resource that stays until it expires.
WAITING = ("kept", "pooled")

#: Seconds before each further attempt.
BACKOFF = (0.5, 2.0, 8.0, 30.0)

#: Seconds that one attempt may take.
DEADLINE = 1800.0

_AT_ONCE = 8


class Owner:
    """The run whose resources are destroyed: its plugins are loaded when the first destroyer asks for them."""

    def __init__(self, record: RunRecord, store: Store) -> None:
        self.id = record.id
        self._store = store
        self._record = record
        self._lock = threading.Lock()
        self._plugins: Plugins | None = None
        self._leases: Leases | None = None

    @property
    def leases(self) -> Leases:
        """Where the run's clusters have their leases."""
        with self._lock:
            if self._leases is None:
                self._leases = open_leases(self._record.record["settings"].get("leases", ""), self._store)
            return self._leases

    @property
    def plugins(self) -> Plugins:
        with self._lock:
            if self._plugins is None:
                from ..plugins import load_sources

                self._plugins = load_sources(self._record.record["settings"]["plugins"])
            return self._plugins

    def has_seen(self, cluster: Resource) -> bool:
        """Whether the cluster was there and the run knew it. Of another it is not known what still comes of it."""
        result = self._store.result(self.id, StageName.PROVISION, cluster.spec["target"])
        return result is not None and result.status == Status.SUCCESS

    def stage(self, resource: Resource) -> StageContext:
        return StageContext(
            key=f"destroy {resource.name}",
            run=self.id,
            directory=context.directory(self.id) / "destroyed" / resource.name,
            deadline=time.monotonic() + DEADLINE,
        )


def _cluster(resource: Resource, owner: Owner) -> None:
    stage = owner.stage(resource)
    request = requests.of_spec(resource.spec, owner.plugins, stage)
    with owning(owner.leases, resource, stage):
        _destroy(request, owner)
        if request.cloud.settles and not owner.has_seen(resource):
            # Who asked for it may be dead, and the cloud still be at it: there was nothing to destroy, and will be.
            time.sleep(request.cloud.settles)
            _destroy(request, owner)
    # One that was taken over lies in the directory of the run that made it.
    if request.directory.is_relative_to(paths.state("runs")) and request.directory.exists():
        shutil.rmtree(request.directory)  # its CA, tokens and kubeconfig live no longer than the cluster


def _destroy(request: ProvisionRequest, owner: Owner) -> None:
    if not owner.plugins.hook.crosscloud_destroy(request=request):
        raise CrosscloudError("no plugin destroyed it")


def _release(resource: Resource, owner: Owner) -> None:
    from ..deploy import helm

    spec = resource.spec
    helm.remove(spec["kubeconfig"], spec["namespace"], spec["release"], owner.stage(resource))


def _registry(resource: Resource, owner: Owner) -> None:
    from ..build import registry

    registry.release(resource.spec)


def _process(resource: Resource, owner: Owner) -> None:
    process = processes.Process.parse(resource.spec["process"])
    if process and processes.end_all(lambda: [] if process.is_dead else [process]):
        raise CrosscloudError(f"process {process.pid} does not end")


#: By ``Resource.kind``. A destroyer succeeds when there is nothing left to destroy, and may be called again.
DESTROYERS: Mapping[str, Callable[[Resource, Owner], None]] = {
    "cluster": _cluster,
    "release": _release,
    "registry": _registry,
    "process": _process,
}


class Destruction:
    """Destroys resources of one run in threads; what became of each is in the store.

    :param recycle: puts what the run has returned into the pool; False: it is to be destroyed. None: all of it is.
    """

    def __init__(
        self,
        store: Store,
        owner: Owner,
        say: Callable[[str], None],
        backoff: Sequence[float] | None = None,
        recycle: Callable[[Resource], bool] | None = None,
    ) -> None:
        self._store = store
        self._owner = owner
        self._say = say
        self._recycle = recycle
        self._backoff = BACKOFF if backoff is None else backoff
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="destroy")
        self._futures: dict[tuple[str, str], Future[None]] = {}

    def add(self, resource: Resource) -> None:
        """Begin to destroy it, unless that has begun already. A cluster's releases go before it."""
        before = [self._begin(release) for release in self._releases_on(resource)]
        self._begin(resource, before)

    def _begin(self, resource: Resource, before: Sequence[Future[None]] = ()) -> Future[None]:
        key = (resource.kind, resource.name)
        if key not in self._futures or self._futures[key].done():
            # Threads take these in order: whoever waits for another finds it begun.
            self._futures[key] = self._pool.submit(self._destroy, resource, before)
        return self._futures[key]

    def _releases_on(self, resource: Resource) -> list[Resource]:
        """What the run has on somebody else's cluster: without the KUBECONFIG that ends with it, it would stay."""
        if resource.kind != "cluster":
            return []
        return [
            found
            for found in self._store.resources(resource.run)
            if found.kind == "release" and found.spec.get("cluster") == resource.name and found.state not in NOT_OURS
        ]

    def finish(self) -> None:
        """Wait until each is destroyed, or has failed for good."""
        wait(self._futures.values())
        self._pool.shutdown()

    def _destroy(self, resource: Resource, before: Sequence[Future[None]] = ()) -> None:
        store = self._store
        what = (resource.run, resource.kind, resource.name)
        wait(before)
        try:
            if resource.state == "returned" and self._recycle and self._recycle(resource):
                return
            if resource.state in WAITING:
                waiting, resource = resource, replace(resource, state="released")
                if not store.exchange_resource(waiting, resource):  # a run has just taken it
                    return
            if there := self._releases_on(resource):
                names = ", ".join(release.name for release in there)
                with suppress(StoreFull):
                    store.set_resource(*what, "failed", error=f"there is still the release {names}")
                return
            for pause in (*self._backoff, None):
                started = time.monotonic()
                self._say(f"destroying {resource.kind} {resource.name}")
                try:
                    DESTROYERS[resource.kind](resource, self._owner)
                except LeaseLost as error:
                    self._say(f"{resource.kind} {resource.name} is not destroyed: {error.message}")
                    store.set_resource(*what, "lost", error=error.message)
                    return
                except Exception as error:
                    reason = redact(str(error) or type(error).__name__)
                    self._say(f"{resource.kind} {resource.name} is not destroyed: {reason}")
                    if disk.is_full(error) or disk.says_full(reason):
                        store.make_room()  # Terraform writes down what it has destroyed
                    state = resource.state if pause is not None else "failed"
                    reason += self._billing(resource) if state == "failed" else ""
                    with suppress(StoreFull):  # what counts is that it goes
                        store.set_resource(*what, state, error=reason)
                else:
                    with suppress(StoreFull):  # whoever destroys it again finds nothing
                        store.set_resource(*what, "destroyed")
                    self._say(f"destroyed {resource.kind} {resource.name} in {time.monotonic() - started:.1f} s")
                    return
                time.sleep(pause or 0)
        finally:
            store.close()

    def _billing(self, resource: Resource) -> str:
        """What is paid for as long as it is there."""
        cloud = self._owner.plugins.clouds.get(resource.spec.get("cloud", ""))
        return f"\n  meanwhile it costs: {cloud.billing}" if cloud and cloud.billing else ""


def left(store: Store, run: str, *, kept: bool = False) -> list[Resource]:
    """What the run still owns and may be destroyed now, clusters last. ``kept``: also what is to be kept for longer."""
    now = time.time()
    found = [
        resource
        for resource in store.resources(run)
        if resource.state not in NOT_OURS and (kept or resource.state not in WAITING or (resource.expires or 0) <= now)
    ]
    return sorted(found, key=lambda resource: resource.kind == "cluster")
