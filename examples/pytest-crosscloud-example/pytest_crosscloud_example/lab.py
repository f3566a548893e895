"""A cloud that hands out the one cluster of a lab."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import Cloud, Cluster, ErrorClass, ProvisionRequest
from pytest_crosscloud.provision.cluster import wait_ready

VARIABLE = "LAB_KUBECONFIG"


class LabCloud(Cloud):
    """Gives a copy of the kubeconfig that the environment names."""

    def provision(self, request: ProvisionRequest) -> Cluster:
        source = Path(os.environ[VARIABLE])
        if not source.is_file():
            raise StageError(
                f"{VARIABLE} names {source}, which is not a file",
                remedy="set it to the path of a kubeconfig",
                error_class=ErrorClass.CONFIGURATION,
            )
        kubeconfig = request.directory / "kubeconfig"
        shutil.copyfile(source, kubeconfig)
        kubeconfig.chmod(0o600)
        wait_ready(kubeconfig, 0, request.stage)
        return Cluster(request.name, self.name, request.kubernetes, request.arch, str(kubeconfig))

    def destroy(self, request: ProvisionRequest) -> None:
        (request.directory / "kubeconfig").unlink(missing_ok=True)
