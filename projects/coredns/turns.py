"""The address that kubelet tells pods as their DNS: lent to one release after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

from pytest_crosscloud.deploy import RUN_LABEL
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.kube import Api, ApiError
from pytest_crosscloud.model import E2ERequest
from pytest_crosscloud.stage import StageContext

#: The address's place in the range of Services, of which the Service kubernetes has the first.
PLACE = 10

#: Seconds of the stage that are neither the container's nor for waiting: for its image, its start and what it leaves.
_AROUND = 60.0

_INTERVAL = 0.25


@contextmanager
def cluster_dns(request: E2ERequest) -> Iterator[dict[str, str]]:
    """Give the release the cluster's DNS address; yields what its e2e container is told of it.

    The API server gives an address to one Service only, so who gets to make that Service has the address. One that
    no release of a run has is the cluster's own affair: then the container is told who has it.

    :raises StageError: the API server does not answer, or refuses for another reason.
    """
    api, release = Api(request.cluster.kubeconfig), request.release
    path = f"/api/v1/namespaces/{release.namespace}/services"
    name = f"{release.name}-cluster"
    try:
        first = api.get("/api/v1/namespaces/default/services/kubernetes")["spec"]["clusterIP"]
        address = str(ip_address(first) + (PLACE - 1))
        request.stage.progress(f"waiting for {address}, the cluster's DNS address")
        api.delete(f"{path}/{name}")  # of an attempt before this one
        service = _service(api, path, release.name, name, address)
        owner = _take(api, path, service, request.stage, patience(request))
    except ApiError as error:
        raise StageError(f"the cluster's DNS address cannot be had: {error}") from error
    if owner:
        request.stage.write(f"the cluster's DNS address {address} is {owner}'s")
        yield {"CLUSTER_DNS_NOT_LENT": f"{address} is {owner}'s"}
        return
    try:
        yield {"CLUSTER_DNS": address}
    finally:
        with suppress(ApiError):  # else it goes with its namespace; what was tested is tested
            api.delete(f"{path}/{name}")


def patience(request: E2ERequest) -> float:
    """Seconds for which other releases may have the address: all that the container does not need of the stage.

    Where the stage has little more than the container may take, it is half of it: the container hardly takes that long.
    """
    left = request.stage.remaining()
    needed = (request.project.e2e.timeout if request.project.e2e else 0) + _AROUND
    return max(left - needed, left / 2)


def _take(api: Api, path: str, service: dict[str, Any], stage: StageContext, patience: float) -> str:
    """Make the Service as soon as no other release has its address; return who else has it, or an empty text."""
    limit = time.monotonic() + patience
    while True:
        try:
            api.create(path, service)
        except ApiError as error:
            if error.status != HTTPStatus.UNPROCESSABLE_ENTITY:
                raise
            owner = _owner(api, service["spec"]["clusterIP"])
            if owner is None:
                if time.monotonic() > limit:
                    raise
            elif not _is_lent(api, owner) or time.monotonic() > limit:
                return f"{owner['namespace']}/{owner['name']}"
            time.sleep(min(_INTERVAL, stage.remaining()))
        else:
            return ""


def _owner(api: Api, address: str) -> dict[str, Any] | None:
    """The metadata of the Service that has an address."""
    services = api.get("/api/v1/services")["items"]
    return next((each["metadata"] for each in services if each["spec"].get("clusterIP") == address), None)


def _is_lent(api: Api, owner: dict[str, Any]) -> bool:
    """Whether the Service is a release's of a run, which gives the address back."""
    namespace = api.get(f"/api/v1/namespaces/{owner['namespace']}")
    return RUN_LABEL in namespace["metadata"].get("labels", {})


def _service(api: Api, path: str, release: str, name: str, address: str) -> dict[str, Any]:
    """The release's own Service once more, at that address."""
    own = api.get(f"{path}/{release}")["spec"]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"clusterIP": address, "selector": own["selector"], "ports": own["ports"]},
    }
