"""Every hook of the ``crosscloud`` pluggy project.

A plugin is a module (or any object) with functions that bear a hook's name and ``@hookimpl``::

    from pytest_crosscloud import hookimpl

    @hookimpl
    def crosscloud_clouds():
        return [MyCloud(name="mycloud", display_name="My Cloud")]

It need not import pytest. A hook implementation may take fewer arguments than are listed here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from .model import (
        Artifacts,
        BuildRequest,
        Cloud,
        Cluster,
        DeployRequest,
        E2ERequest,
        E2EResult,
        Project,
        ProvisionRequest,
        Release,
        StageResult,
        Upgraded,
        UpgradeRequest,
    )
    from .run.summary import RunSummary

hookspec = pluggy.HookspecMarker("crosscloud")


# -- what there is ------------------------------------------------------------------------------------------


@hookspec
def crosscloud_clouds() -> Iterable[Cloud]:  # type: ignore[empty-body]
    """Declare clouds.

    Called once, when a matrix or a list is made. A name that two plugins declare is an error that names both.
    Declaring must be cheap and must touch nothing: ``crosscloud list`` calls it.
    """


@hookspec
def crosscloud_projects() -> Iterable[Project]:  # type: ignore[empty-body]
    """Declare projects.

    Called once, when a matrix or a list is made, under the same rules as ``crosscloud_clouds``.
    """


# -- the pipelines ------------------------------------------------------------------------------------------
#
# The first implementation that returns something other than None wins. The framework's own implementation
# runs last: it asks the project's build strategy, the cloud, Helm and the cluster. Implement one of these to
# replace a stage, or wrap it (``@hookimpl(wrapper=True)``) to do something around it. They run on whichever
# worker came first, once per run and target, with ``request.stage`` for deadline, log and progress. A stage that failed
# with class infrastructure is called again, and may find what the failed attempt left, also that of a killed worker.


@hookspec(firstresult=True)
def crosscloud_build(request: BuildRequest) -> Artifacts | None:
    """Build a project at a ref, push its images, return the pins.

    :raises StageError: the stage fails; everything that needs the build becomes n/a.
    """


@hookspec(firstresult=True)
def crosscloud_provision(request: ProvisionRequest) -> Cluster | None:
    """Make one cluster and return it when its nodes are Ready.

    The intent is recorded before this is called, so a cluster that is half made is destroyed all the same.

    :raises StageError: the stage fails; everything that needs the cluster becomes n/a.
    """


@hookspec(firstresult=True)
def crosscloud_destroy(request: ProvisionRequest) -> bool | None:
    """Remove what ``crosscloud_provision`` made, wholly or in part; return True.

    Called by the run's reaper (another process than the one that provisioned) as soon as the cluster's last
    cell is done, and again after a failure. Must not fail because there is nothing left. Called by the worker too,
    before it tries a failed provision again, unless the cloud ``converges``.
    """


@hookspec(firstresult=True)
def crosscloud_recycle(request: ProvisionRequest, cluster: Cluster) -> bool | None:
    """Make a cluster that has done its work as good as new for another run; return True.

    Called by the run's reaper with ``--reuse-clusters``, when the cluster's last cell is done. The framework's own
    removes the namespaces that runs have made, with their Helm releases.

    :raises CrosscloudError: it cannot be used again; it is destroyed instead.
    """


@hookspec(firstresult=True)
def crosscloud_deploy(request: DeployRequest) -> Release | None:
    """Install the project's chart with the pinned images, and return the release when it is ready.

    :raises StageError: the stage fails; the cell's e2e becomes n/a. Evidence is collected afterwards.
    """


@hookspec(firstresult=True)
def crosscloud_e2e(request: E2ERequest) -> E2EResult | None:
    """Run the project's e2e container against the release and return how it ended.

    A test that failed is a result with ``exit_code`` other than 0, not an error.

    :raises StageError: the container could not be run to its end.
    """


@hookspec(firstresult=True)
def crosscloud_upgrade(request: UpgradeRequest) -> Upgraded | None:
    """Change a release that is used to other pins, and back; return it when it is ready, with how it answered.

    ``pytest --upgrade`` does it, stable to head and back, with the project's e2e container before and after. The
    framework's own is ``helm upgrade``, while a pod beside the release asks the TCP ports of its Services all the time.

    :raises StageError: it did not become ready, or was away for longer than ``Project.upgrade_gap``.
    """


# -- what happened ------------------------------------------------------------------------------------------
#
# For notifications and other CI systems. Called on the controller, after the result was committed to the
# store, in the order of the store. An implementation that raises is reported as a warning and changes no result.


@hookspec
def crosscloud_stage_started(run: str, result: StageResult) -> None:
    """A stage began; ``result.status`` is ``running``."""


@hookspec
def crosscloud_stage_finished(run: str, result: StageResult) -> None:
    """A stage ended, or was found to be n/a; ``result`` is what the store holds."""


@hookspec
def crosscloud_run_finished(summary: RunSummary) -> None:
    """The run is over and its reports are written."""
