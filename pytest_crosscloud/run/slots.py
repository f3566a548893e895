"""Who may have another cluster now: the engine's side of the limits, which the scheduler's order only makes likely."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from filelock import FileLock

from ..errors import StageError
from .limits import Limit
from .store import Resource

if TYPE_CHECKING:
    from ..stage import StageContext
    from .context import Run

_There = TypeVar("_There")

#: Of a cluster that nobody need be waited for.
_GONE = ("destroyed", "lost", "kept", "pooled")

#: Seconds between two looks.
_INTERVAL = 0.1


def take(
    run: Run, intent: Resource, stage: StageContext, instead: Callable[[], _There | None] = lambda: None
) -> _There | None:
    """Record the intent of a cluster, as soon as the run's limits let it.

    A cluster counts until it is destroyed, and not at all if it is kept or in the pool.

    :param instead: asked once there is room: if it has a cluster that is there, no other is intended.
    :returns: what ``instead`` has.
    :raises DeadlineExceeded: there was no room in time; the message says who had it.
    :raises StageError: there will be none: a cluster in the way could not be destroyed.
    """
    limits = [limit for limit in run.limits if intent.spec["target"] in limit.clusters]
    while True:
        # One worker at a time: between a look and the intent there must be nobody else's.
        with FileLock(run.directory / "locks" / "slots"):
            in_the_way = _in_the_way(run, limits, intent.name)
            if not in_the_way:
                found = instead()
                if found is None:
                    run.store.put_resource(intent)
                return found
        limit, clusters = in_the_way
        names = ", ".join(cluster.name for cluster in clusters)
        if all(cluster.state == "failed" for cluster in clusters):
            raise StageError(
                f"no room for another cluster, {limit}: {names} could not be destroyed",
                remedy=f"crosscloud clean --run {run.id} tries again",
            )
        stage.progress(f"waiting for {limit}: {names} must be destroyed first")
        time.sleep(min(_INTERVAL, stage.remaining()))


def _in_the_way(run: Run, limits: list[Limit], but: str) -> tuple[Limit, list[Resource]] | None:
    """A limit that leaves no room, and the clusters that it counts."""
    if not limits:
        return None
    there = [
        resource
        for resource in run.store.resources(run.id)
        if resource.kind == "cluster" and resource.state not in _GONE and resource.name != but
    ]
    for limit in limits:
        counted = [resource for resource in there if resource.spec["target"] in limit.clusters]
        if len(counted) >= limit.most:
            return limit, counted
    return None
