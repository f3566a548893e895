"""A cluster that is there already: takes its KUBECONFIG, provisions nothing, destroys nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_crosscloud import hookimpl
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import Cloud, ErrorClass, Node

if TYPE_CHECKING:
    from pytest_crosscloud.model import Cluster, ProvisionRequest


@dataclass(frozen=True, kw_only=True)
class ExistingCloud(Cloud):
    """The cluster of the variable ``kubeconfig`` (a path), or of ``$KUBECONFIG``; its current context counts."""

    provides_cluster: bool = False
    is_elsewhere: bool = True  # even where its nodes reach this computer, nobody told them of a registry without TLS

    def provision(self, request: ProvisionRequest) -> Cluster:
        from pytest_crosscloud.provision import cluster
        from pytest_crosscloud.provision.bootstrap import write_secret

        source = _source(request.variables.get("kubeconfig"))
        # A copy: the run's may not change under it, and ends with it.
        kubeconfig = request.directory / "kubeconfig"
        write_secret(kubeconfig, cluster.standalone(source))
        nodes = cluster.wait_ready(kubeconfig, 0, request.stage)
        server = cluster.Api(kubeconfig).server
        return request.cluster(kubeconfig, server, (Node(*cluster.identity(node)) for node in nodes))

    def destroy(self, request: ProvisionRequest) -> None:
        (request.directory / "kubeconfig").unlink(missing_ok=True)

    def preflight(self) -> list[str]:
        try:
            _source(self.variables.get("kubeconfig"))
        except StageError as error:
            return [str(error)]
        return []


def _source(variable: object) -> Path:
    """:raises StageError: class configuration: no KUBECONFIG is named, or the file is not there."""
    remedy = "set KUBECONFIG, or the cloud's variable kubeconfig in cross-cloud.yml"
    # Of several files kubectl reads all; the first is the one that it writes to, and the one we take.
    name = str(variable or os.environ.get("KUBECONFIG", "")).split(os.pathsep)[0]
    path = Path(name).expanduser()
    if not path.is_file():
        problem = f"there is no KUBECONFIG {name}" if name else "no KUBECONFIG is named"
        raise StageError(problem, remedy=remedy, error_class=ErrorClass.CONFIGURATION)
    return path


@hookimpl
def crosscloud_clouds() -> list[Cloud]:
    return [ExistingCloud(name="existing", display_name="Existing", order=200)]
