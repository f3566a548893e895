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
            upstream = (stage_key(StageName.BUILD, build.id), stage_key(StageName.PROVISION, cluster.id))
            return Stages(needs=upstream, makes=(stage_key(StageName.DEPLOY, id_), stage_key(StageName.E2E, id_)))
        case Upgrade(before, after, cluster, id_):
            builds = (stage_key(StageName.BUILD, build.id) for build in (before, after))
            provision = stage_key(StageName.PROVISION, cluster.id)
            return Stages(needs=(*builds, provision), makes=(stage_key(UPGRADE, id_),))
        case BuildTarget():
            return Stages(makes=(stage_key(StageName.BUILD, target.id),))
        case ClusterTarget():
            return Stages(makes=(stage_key(StageName.PROVISION, target.id),))
