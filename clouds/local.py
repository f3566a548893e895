"""The local cloud: machines made of this computer's namespaces. The default; needs Linux and root, nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_crosscloud import hookimpl, paths
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import ErrorClass
from pytest_crosscloud.provision.terraform import TerraformCloud
from pytest_crosscloud.suggest import among

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_crosscloud.model import Cloud, ProvisionRequest
    from pytest_crosscloud.stage import StageContext
    from pytest_crosscloud.toolchain.node import NodeBundle


#: What a machine's disk holds when it starts, for the variable ``prepared``.
PREPARED = ("nothing", "images", "cluster")

SERVICE_CIDR = "10.96.0.0/16"


@dataclass(frozen=True, kw_only=True)
class LocalCloud(TerraformCloud):
    """terraform/local, with the node bundle and the prepared disk as files of this computer.

    Beside the module's own there is the variable ``prepared``: ``cluster`` (default) starts from a disk with the images
    and what every new API server writes into etcd, ``images`` from one with the images alone, ``nothing`` from an
    empty one.
    """

    @property
    def takes_node_bundle(self) -> bool:
        return True

    def preflight(self) -> list[str]:
        from pytest_crosscloud import machine

        return machine.preflight()

    def capacity(self, clusters: int) -> list[str]:
        from pytest_crosscloud import capacity

        return capacity.lacking(clusters, int(self.variables.get("workers", 0)), paths.state("machines"))

    def module_variables(self, request: ProvisionRequest) -> dict[str, Any]:
        from pytest_crosscloud import machine
        from pytest_crosscloud.provision.remote import pause_image
        from pytest_crosscloud.toolchain.node import node_bundle

        bundle = node_bundle(request.kubernetes, request.arch, request.stage)
        variables = {"service_cidr": SERVICE_CIDR, **super().module_variables(request)}
        disk = prepared_disk(variables.pop("prepared", "cluster"), bundle, variables["service_cidr"], request.stage)
        return {
            "run": request.stage.run,
            "python": sys.executable,
            "cidr": machine.allocate_network(request.name, request.stage.run),
            "bundle": {
                "binary_url": bundle.binary.as_uri(),
                "images_url": bundle.images.as_uri(),
                "pause_image": pause_image(bundle),
            },
            "disk": str(disk or ""),
            **variables,
        }

    def converges(self, request: ProvisionRequest) -> bool:
        # A machine that is half made stands in its own way, and all of them are gone in a second.
        return False

    def remote_state(self, request: ProvisionRequest) -> str:
        return ""  # nobody else can destroy what is on this computer

    def destroy(self, request: ProvisionRequest) -> None:
        from pytest_crosscloud import machine

        super().destroy(request)
        # terraform frees the range of a network that it made; here one that it never heard of.
        machine.free_network(request.name)

    def console_texts(self, request: ProvisionRequest) -> dict[str, str]:
        from pytest_crosscloud import machine

        # Of whichever run made them: the cluster may have been taken over.
        names = [found.name for found in machine.machines() if found.network == request.name]
        return {name: _console(name) for name in names}

    def owned(self, run: str) -> list[str]:
        from pytest_crosscloud import machine

        return machine.leftovers(run) if os.geteuid() == 0 else []  # nobody else can have made machines

    def runs(self) -> list[str]:
        from pytest_crosscloud import machine

        return machine.runs() if os.geteuid() == 0 else []

    def sweep(self, run: str) -> None:
        from pytest_crosscloud import machine

        machine.destroy_run(run)


#: Seconds to read a machine's console.
_CONSOLE = 20.0


def prepared_disk(prepared: str, bundle: NodeBundle, service_cidr: str, stage: StageContext) -> Path | None:
    """The disk that machines get a clone of, made once per bundle and range of Services; None: an empty one.

    :raises StageError: ``prepared`` is not one of PREPARED (class configuration); or the disk could not be made.
    """
    from pytest_crosscloud.lock import held

    if prepared not in PREPARED:
        raise StageError(f"prepared: {prepared!r}{among(prepared, PREPARED)}", error_class=ErrorClass.CONFIGURATION)
    if prepared == "nothing":
        return None
    cidr = service_cidr if prepared == "cluster" else ""
    target = paths.cache("disks", f"{bundle.fingerprint}-{cidr.replace('/', '_') or 'images'}")
    with held(target.with_name(f"{target.name}.lock"), stage, "another process, which is preparing the disk"):
        if not target.exists():
            stage.progress("preparing the machines' disk, once")
            partial = target.with_name(f"{target.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            isolated = ("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc")
            script = paths.data("terraform", "local", "prepare.sh")
            stage.command(
                [*isolated, *map(str, (script, partial, bundle.programs, bundle.images)), *([cidr] if cidr else [])]
            )
            partial.rename(target)
    return target


def _console(name: str) -> str:
    argv = [sys.executable, "-m", "pytest_crosscloud.machine", "console", name]
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=_CONSOLE, check=False).stdout
    except subprocess.TimeoutExpired:  # a look at what a slow node says must not end the wait for it
        return ""


@hookimpl
def crosscloud_clouds() -> list[Cloud]:
    return [LocalCloud(name="local", display_name="Local", order=10, is_default=True)]
