"""Upgrade: ``helm upgrade`` of a release that is used, and how it answered meanwhile."""

from __future__ import annotations

from ..errors import StageError
from ..model import ErrorClass, Upgraded, UpgradeRequest
from . import helm, prober


def upgrade(request: UpgradeRequest) -> Upgraded:
    """Change the release to the request's pins.

    :raises StageError: as ``helm.deploy``; (class product) it answered nobody for longer than the project allows.
    """
    stage = request.stage
    stage.progress("preparing the prober")
    image = prober.publish(stage, request.registry, request.cluster.arch)
    with prober.watching(request.cluster.kubeconfig, request.replaces, image, stage) as answers:
        release = helm.deploy(request, in_place=True)
    worst, allowed = answers.worst, request.project.upgrade_gap
    if worst and worst.gap > allowed:
        raise StageError(
            f"{worst.name} answered nobody for {worst.gap:.1f} s, and {allowed:g} s are allowed: {worst.error}",
            remedy="see the chart's replicas and strategy, and how the program ends; Project.upgrade_gap allows more",
            error_class=ErrorClass.PRODUCT,
        )
    return Upgraded(release, str(answers))
