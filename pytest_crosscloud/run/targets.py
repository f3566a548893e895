"""From a collected test to its place in the graph: the stages of the target that it is parametrized with."""

from __future__ import annotations

import pytest

from ..model import UPGRADE, BuildTarget, Cell, ClusterTarget, StageName, Upgrade, stage_key
from .graph import STAGES, Stages


def place(item: pytest.Item, parameter: str) -> None:
    """Put ``item``'s stages where the graph finds them; ``parameter`` is the one that holds its target."""
    callspec = getattr(item, "callspec", None)
    target = callspec.params.get(parameter) if callspec else None
    if target is not None:
        item.stash[STAGES] = stages(target)


def stages(target: Cell | BuildTarget | ClusterTarget | Upgrade) -> Stages:
    """What a test of ``target`` makes, and what must have ended before it is worth a worker."""
    match target:
        case Cell(build, cluster, id_):
            return Stages(_upstream(cluster, build), (stage_key(StageName.DEPLOY, id_), stage_key(StageName.E2E, id_)))
        case Upgrade(before, after, cluster, id_):
            return Stages(_upstream(cluster, before, after), (stage_key(UPGRADE, id_),))
        case BuildTarget():
            return Stages(makes=(stage_key(StageName.BUILD, target.id),))
        case ClusterTarget():
            return Stages(needs=_made_of(target), makes=(stage_key(StageName.PROVISION, target.id),))


def _upstream(cluster: ClusterTarget, *builds: BuildTarget) -> tuple[str, ...]:
    """The builds and the cluster that a test of a release needs."""
    keys = (*(stage_key(StageName.BUILD, build.id) for build in builds), *_made_of(cluster))
    return (*dict.fromkeys(keys), stage_key(StageName.PROVISION, cluster.id))


def _made_of(cluster: ClusterTarget) -> tuple[str, ...]:
    """The build of its Kubernetes, if the run has one."""
    return (stage_key(StageName.BUILD, cluster.made_of),) if cluster.made_of else ()
