"""A cluster that has done its work, made as good as new: all that runs have put into it goes."""

from __future__ import annotations

import asyncio

from ..errors import StageError
from ..kube import Api
from ..model import Cluster, ProvisionRequest
from ..toolchain.tools import tool
from .helm import RUN_LABEL
from .helm_command import Helm, HelmError

#: Releases in whatever state: Helm 4 has no --all any more, and Helm 3 shows only what is deployed without it.
_ALL = ("--deployed", "--failed", "--pending", "--superseded", "--uninstalling")

#: Seconds that Kubernetes gets to empty and remove the namespaces.
_REMOVAL = 90.0


def recycle(request: ProvisionRequest, cluster: Cluster) -> None:
    """Remove all namespaces that a run has made, with their Helm releases: what those have outside of it, too.

    :raises CrosscloudError: Helm or the API refused, or a namespace is still there in the end.
    """
    stage, api = request.stage, Api(cluster.kubeconfig)
    helm = Helm(str(tool("helm", stage)), cluster.kubeconfig, stage.marks)

    def namespaces() -> list[str]:
        return [item["metadata"]["name"] for item in api.get("/api/v1/namespaces", labelSelector=RUN_LABEL)["items"]]

    async def uninstall(namespace: str) -> None:
        for release in (await helm.text("list", *_ALL, "--short", "--namespace", namespace)).split():
            await helm.text("uninstall", release, "--namespace", namespace, "--ignore-not-found")

    for namespace in namespaces():
        stage.progress(f"removing namespace {namespace}")
        try:
            asyncio.run(asyncio.wait_for(uninstall(namespace), stage.remaining()))
        except HelmError as error:
            raise StageError(f"the releases in {namespace} cannot be removed: {error}") from error
        api.delete(f"/api/v1/namespaces/{namespace}")
    stage.wait_until(lambda: not namespaces(), "namespaces to be gone", timeout=_REMOVAL, interval=0.2)
