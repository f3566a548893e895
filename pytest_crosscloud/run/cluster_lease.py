"""The lease of a cluster: taken before anything is made, and proved by whoever works on it or destroys it.

Its owner is the run, not a process: the engine takes it, the reaper renews it until the cluster is gone, and whoever
ends the run after them takes it on. What has a token that is not the lease's any more was replaced, and stops.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import CrosscloudError
from .leases import Beside, Heartbeat, Lease, LeaseLost, Leases

if TYPE_CHECKING:
    from ..stage import StageContext
    from .store import Resource, Store

#: Seconds that a cluster's lease lives without being renewed.
TTL = 60.0

#: Seconds between two looks of a stage at the lease of its cluster, and between two renewals.
LOOK, RENEWAL = 2.0, TTL / 4

#: The tag that carries the token, beside the run's id and the cluster's name.
TAG = "crosscloud-token"

#: States of a resource that its run does not own any more.
NOT_OURS = ("destroyed", "lost")


def take(leases: Leases, run: str, name: str) -> Lease:
    """Take the lease of something of the run's, or take it on from another process of the same run.

    :raises LeaseLost: another run has it.
    """
    owner = f"run/{run}"
    while (lease := leases.acquire(name, owner, TTL)) is None:
        held = leases.holder(name)
        if held and held.owner != owner:
            raise LeaseLost(f"{name} belongs to {held.owner} now (token {held.token})")
        if held:
            return leases.renew(held, TTL)
    return lease


def of_cluster(cluster: str) -> str:
    """The name of the lease of a cluster."""
    return f"cluster/{cluster}"


def to_spec(lease: Lease) -> dict[str, Any]:
    """What a resource's spec says of its lease."""
    return {"name": lease.name, "token": lease.token}


def recorded(resource: Resource) -> Lease | None:
    """The lease that a resource's spec names; None: it has none."""
    spec = resource.spec.get("lease")
    return Lease(spec["name"], f"run/{resource.run}", spec["token"], 0.0) if spec else None


def prove(leases: Leases, resource: Resource) -> Lease | None:
    """The right to destroy a resource, by who acts for its run; None: it needs none.

    :raises LeaseLost: another run has it.
    """
    lease = recorded(resource)
    if lease is None:
        return None
    try:
        return leases.renew(lease, TTL)
    except LeaseLost:  # to somebody, or only because whoever had it was killed between two steps
        return take(leases, resource.run, lease.name)


@contextmanager
def owning(leases: Leases, resource: Resource, stage: StageContext) -> Iterator[None]:
    """Hold the lease of a resource while it is destroyed in ``stage``, which ends when the lease is lost.

    :raises LeaseLost: another run has it.
    """
    lease = prove(leases, resource)
    if lease is None:
        yield
        return
    with Heartbeat(leases, lease, TTL) as heartbeat:

        def check() -> None:
            if heartbeat.lost.is_set():
                raise LeaseLost(f"the lease of {lease.name} was lost while it was being destroyed")

        stage.guard = check
        yield
        check()


class Guard(Beside):
    """Looks after a lease while a stage works on what it owns. ``check`` raises as soon as it is lost."""

    def __init__(self, leases: Leases, lease: Lease) -> None:
        super().__init__(f"guard {lease.name}")
        self._leases = leases
        self._lease = lease
        self._why = ""

    def check(self) -> None:
        """:raises LeaseLost: it is."""
        if self._why:
            raise LeaseLost(self._why, remedy="it is another's now, and was left alone")

    def _work(self) -> None:
        confirmed = time.monotonic()
        try:
            while not self._why and not self._stop.wait(LOOK):
                asked = time.monotonic()
                try:
                    self._why = self._look()
                    confirmed = asked
                except CrosscloudError as error:  # what cannot be asked may have been taken, once its time is over
                    if time.monotonic() > confirmed + TTL:
                        self._why = f"the lease of {self._lease.name} could not be confirmed: {error.message}"
        finally:
            self._leases.close()

    def _look(self) -> str:
        held = self._leases.holder(self._lease.name)
        if held is None:  # the reaper was held up; nobody has taken it since
            try:
                self._leases.renew(self._lease, TTL)
            except LeaseLost as error:
                return error.message
            return ""
        return "" if held.token == self._lease.token else f"{held.name} belongs to {held.owner} now"


class Keeper(threading.Thread):
    """Renews the leases of all that a run owns, as long as its reaper lives. What is lost is marked so."""

    def __init__(self, store: Store, leases: Leases, run: str, say: Callable[[str], None]) -> None:
        super().__init__(name="crosscloud-keeper", daemon=True)
        self._store = store
        self._leases = leases
        self._run = run
        self._say = say

    def run(self) -> None:
        while True:
            time.sleep(RENEWAL)
            try:
                self.look()
            except Exception as error:  # a store or a network that gets better
                self._say(f"leases could not be renewed: {type(error).__name__}: {error}")

    def look(self) -> None:
        """Renew each once."""
        for resource in self._store.resources(self._run):
            lease = recorded(resource)
            if lease is None or resource.state in NOT_OURS:
                continue
            try:
                self._leases.renew(lease, TTL)
            except LeaseLost as error:
                held = self._leases.holder(lease.name)
                if held is None or held.owner == lease.owner:  # it is being destroyed, or was taken on
                    continue
                self._say(f"{resource.kind} {resource.name}: {error.message}")
                self._store.exchange_resource(resource, replace(resource, state="lost", error=error.message))
