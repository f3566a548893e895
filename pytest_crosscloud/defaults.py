"""The framework's own hook implementations: what a stage does unless a plugin says otherwise. They run last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import hookimpl

if TYPE_CHECKING:
    from .model import (
        Artifacts,
        BuildRequest,
        Cluster,
        DeployRequest,
        E2ERequest,
        E2EResult,
        ProvisionRequest,
        Release,
        Upgraded,
        UpgradeRequest,
    )


@hookimpl(trylast=True)
def crosscloud_build(request: BuildRequest) -> Artifacts:
    from .build import project  # late: it brings the strategies

    return project.build(request)


@hookimpl(trylast=True)
def crosscloud_provision(request: ProvisionRequest) -> Cluster:
    return request.cloud.provision(request)


@hookimpl(trylast=True)
def crosscloud_destroy(request: ProvisionRequest) -> bool:
    request.cloud.destroy(request)
    return True


@hookimpl(trylast=True)
def crosscloud_recycle(request: ProvisionRequest, cluster: Cluster) -> bool:
    from .deploy import recycle  # late: it needs pyhelm3 and kubernetes

    recycle.recycle(request, cluster)
    return True


@hookimpl(trylast=True)
def crosscloud_deploy(request: DeployRequest) -> Release:
    from .deploy import helm  # late: it needs pyhelm3 and kubernetes

    return helm.deploy(request)


@hookimpl(trylast=True)
def crosscloud_e2e(request: E2ERequest) -> E2EResult:
    from .deploy import e2e  # late: it needs kubernetes

    return e2e.run(request)


@hookimpl(trylast=True)
def crosscloud_upgrade(request: UpgradeRequest) -> Upgraded:
    from .deploy import upgrade  # late: it needs pyhelm3 and kubernetes

    return upgrade.upgrade(request)
