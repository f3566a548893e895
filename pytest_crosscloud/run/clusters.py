"""What becomes of a cluster when its last test is over: destroyed, kept for a failure, or left to the pool."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

from ..model import UPGRADE, StageName, Status, TestOutcome, stage_key
from ..report import terminal
from .graph import Graph
from .store import Resource

if TYPE_CHECKING:
    from .context import Run


def give_back(run: Run, target: str, graph: Graph) -> None:
    """The target's last test is over: the reaper or the pool gets its cluster, unless a failure is to be looked into.

    :param graph: of the run's tests; what a user's own test made of the cluster counts, too.
    """
    for resource in run.store.resources(run.id):
        if resource.kind == "cluster" and resource.spec["target"] == target and resource.state in ("intended", "live"):
            keep = run.settings.keep_failed
            if keep is not None and (
                _has(run, target, Status.FAILED, Status.CANCELLED) or _has_red_test(run, target, graph)
            ):
                _keep(run, resource, time.time() + keep)
            else:
                state = "returned" if _is_reusable(run, resource) else "released"
                run.store.set_resource(run.id, resource.kind, resource.name, state)


def _is_reusable(run: Run, cluster: Resource) -> bool:
    """Whether the pool may have it: it was there, is ours to give, and nothing was cut off that worked on it."""
    if run.settings.reuse is None or "cluster" not in cluster.spec:
        return False
    provides = run.config.clouds[cluster.spec["cloud"]].provides_cluster
    return provides and not _has(run, cluster.spec["target"], Status.CANCELLED, Status.RUNNING)


def _has(run: Run, cluster: str, *statuses: Status) -> bool:
    """Whether a stage of the cluster, of one of its cells or of an upgrade there stands like that."""
    cells = [cell.id for cell in run.matrix.cells if cell.cluster.id == cluster]
    upgrades = [upgrade.id for upgrade in run.matrix.upgrades if upgrade.cluster.id == cluster]
    stages = [
        (StageName.PROVISION, cluster),
        *itertools.product((StageName.DEPLOY, StageName.E2E), cells),
        *itertools.product((UPGRADE,), upgrades),
    ]
    # One by one: a run may have a hundred times as many.
    found = (run.store.result(run.id, stage, target) for stage, target in stages)
    return any(result.status in statuses for result in found if result)


def _keep(run: Run, cluster: Resource, expires: float) -> None:
    """Keep a cluster, and the registry that its pods pull from when they are started again."""
    registries = [resource for resource in run.store.resources(run.id) if resource.kind == "registry"]
    for resource in (cluster, *registries):
        run.store.set_resource(run.id, resource.kind, resource.name, "kept", expires=expires)


def _has_red_test(run: Run, cluster: str, graph: Graph) -> bool:
    provision = stage_key(StageName.PROVISION, cluster)
    return any(
        test.outcome in (TestOutcome.FAILED, TestOutcome.ERROR) and provision in graph[test.nodeid].touched
        for test in run.store.tests(run.id)
    )


#: What is said of a cluster that stays, by its state.
_STAYS = {"kept": "kept", "pooled": "in the pool"}


def tell(run: Run) -> list[str]:
    """How to reach what ``--keep-failed`` kept or the pool has, and for how long it is there."""
    return [
        f"{_STAYS[resource.state]} until {terminal.moment(resource.expires or 0)}: {resource.kind} {resource.name}  "
        f"KUBECONFIG={resource.spec['directory']}/kubeconfig  crosscloud clean --run {run.id} destroys it"
        for resource in run.store.resources(run.id)
        if resource.state in _STAYS and resource.kind == "cluster"
    ]
