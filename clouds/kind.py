"""kind: a cluster in containers, for whoever has Docker or Podman."""

from __future__ import annotations

import json
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_crosscloud import hookimpl
from pytest_crosscloud.model import Cloud, Node

if TYPE_CHECKING:
    from pytest_crosscloud.model import Cluster, ProvisionRequest

_CERTS = "/etc/containerd/certs.d"

#: Seconds for kind to list or delete a cluster.
_PATIENCE = 120.0

#: Where the engines keep their containers, unless they are told otherwise.
_STORAGE = {"docker": "/var/lib/docker", "podman": "/var/lib/containers"}


@dataclass(frozen=True, kw_only=True)
class KindCloud(Cloud):
    """Variables: ``node_image`` (default: kindest/node at the Kubernetes version), ``pod_cidr``, ``service_cidr``."""

    def preflight(self) -> list[str]:
        missing = []
        if not shutil.which("kind"):
            missing.append("kind is not installed: https://kind.sigs.k8s.io/docs/user/quick-start/#installation")
        if not _engine():
            missing.append("neither docker nor podman is installed: kind needs one of them to run")
        return missing

    def capacity(self, clusters: int) -> list[str]:
        from pytest_crosscloud import capacity

        elsewhere = os.environ.get("DOCKER_HOST", "unix:").partition(":")[0] != "unix"
        if elsewhere or platform.system() != "Linux":  # its nodes are on another computer, or in its engine's VM
            return []
        storage = Path(_STORAGE[_engine() or "docker"])
        return capacity.lacking(clusters, int(self.variables.get("workers", 0)), storage)

    def provision(self, request: ProvisionRequest) -> Cluster:
        from pytest_crosscloud.provision import cluster

        kubeconfig = request.directory / "kubeconfig"
        image = request.variables.get("node_image") or f"kindest/node:{request.kubernetes.version}"
        request.stage.progress(f"kind create cluster with {image}")
        argv = ["create", "cluster", "--name", request.name, "--image", image, "--kubeconfig", str(kubeconfig)]
        _kind(request, *argv, "--config", "-", stdin=json.dumps(_configuration(request)))
        kubeconfig.chmod(0o600)
        nodes = cluster.wait_ready(kubeconfig, 1 + request.workers, request.stage)
        server = cluster.Api(kubeconfig).server
        return request.cluster(kubeconfig, server, (Node(*cluster.identity(node)) for node in nodes))

    def destroy(self, request: ProvisionRequest) -> None:
        kubeconfig = request.directory / "kubeconfig"
        _kind(request, "delete", "cluster", "--name", request.name, "--kubeconfig", str(kubeconfig))
        kubeconfig.unlink(missing_ok=True)

    def answers(self, cluster: Cluster) -> bool:
        from pytest_crosscloud.provision import cluster as clusters

        return clusters.answers(cluster)

    def owned(self, run: str) -> list[str]:
        return [name for name in _clusters() if name.startswith(f"xc-{run}-")]

    def runs(self) -> list[str]:
        return sorted({name.split("-")[1] for name in _clusters() if name.startswith("xc-")})

    def sweep(self, run: str) -> None:
        for name in self.owned(run):
            _ask("delete", "cluster", "--name", name)

    def console(self, request: ProvisionRequest, target: Path) -> None:
        _kind(request, "export", "logs", str(target / "console"), "--name", request.name, check=False)


def _kind(request: ProvisionRequest, *arguments: str, stdin: str | None = None, check: bool = True) -> None:
    request.stage.command(["kind", *arguments], env=_provider(), stdin=stdin, check=check)


def _clusters() -> list[str]:
    """Names of the clusters there are. Who has no kind has none."""
    return _ask("get", "clusters").split() if shutil.which("kind") and _engine() else []


def _ask(*arguments: str) -> str:
    """What kind prints, without a stage.

    :raises CrosscloudError: it failed, or does not answer in time.
    """
    from pytest_crosscloud.provision.remote import printed

    return printed(["kind", *arguments], _provider(), timeout=_PATIENCE)


def _provider() -> dict[str, str]:
    # kind asks for Docker first and does not look for another engine by itself.
    return {"KIND_EXPERIMENTAL_PROVIDER": _engine() or "docker"}


def _engine() -> str | None:
    return next((name for name in ("docker", "podman") if shutil.which(name)), None)


def _configuration(request: ProvisionRequest) -> dict[str, Any]:
    """kind's own configuration file (v1alpha4)."""
    certs = request.directory / "certs.d"
    for registry in request.registries:
        (certs / registry).mkdir(parents=True, exist_ok=True)
        (certs / registry / "hosts.toml").write_text(f'server = "http://{registry}"\n[host."http://{registry}"]\n')
    mounts = [{"hostPath": os.fspath(certs), "containerPath": _CERTS, "readOnly": True}] if request.registries else []
    networking = {
        "podSubnet": request.variables.get("pod_cidr"),
        "serviceSubnet": request.variables.get("service_cidr"),
    }
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {key: value for key, value in networking.items() if value},
        "nodes": [{"role": role, "extraMounts": mounts} for role in ["control-plane", *["worker"] * request.workers]],
        "containerdConfigPatches": [f'[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "{_CERTS}"'],
    }


@hookimpl
def crosscloud_clouds() -> list[Cloud]:
    return [KindCloud(name="kind", display_name="kind", order=20)]
