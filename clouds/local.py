"""The local cloud: machines made of this computer's namespaces. The default; needs Linux and root, nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_crosscloud import hookimpl, paths
from pytest_crosscloud.provision.terraform import TerraformCloud

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_crosscloud.model import Cloud, ProvisionRequest
    from pytest_crosscloud.stage import StageContext
    from pytest_crosscloud.toolchain.node import NodeBundle


#: Imports the archive $2 into the containerd store of the disk $1, with a containerd that serves nothing else.
_IMPORT = """
mkdir -p "$1/var/lib/containerd"
mount -t tmpfs tmpfs /run
mkdir /run/containerd
containerd --root "$1/var/lib/containerd" &
until ctr version > /dev/null 2>&1; do kill -0 $!; sleep 0.1; done
ctr --namespace k8s.io images import "$2"
kill $!
wait $! || true
"""


@dataclass(frozen=True, kw_only=True)
class LocalCloud(TerraformCloud):
    """terraform/local, with the node bundle and the prepared disk as files of this computer."""

    def preflight(self) -> list[str]:
        from pytest_crosscloud import machine

        return machine.preflight()

    def module_variables(self, request: ProvisionRequest) -> dict[str, Any]:
        from pytest_crosscloud import machine
        from pytest_crosscloud.toolchain.node import node_bundle

        bundle = node_bundle(request.kubernetes, request.arch, request.stage)
        return {
            "run": request.stage.run,
            "python": sys.executable,
            "cidr": machine.allocate_network(request.name, request.stage.run),
            "bundle": {
                "binary_url": bundle.binary.as_uri(),
                "images_url": bundle.images.as_uri(),
                "pause_image": next(name for name in bundle.image_names if "/pause:" in name),
            },
            "disk": str(prepared_disk(bundle, request.stage)),
            **super().module_variables(request),
        }

    def destroy(self, request: ProvisionRequest) -> None:
        from pytest_crosscloud import machine

        super().destroy(request)
        # terraform frees the range of a network that it made; here one that it never heard of.
        machine.free_network(request.name)

    def console_texts(self, request: ProvisionRequest) -> dict[str, str]:
        from pytest_crosscloud import machine

        names = [found.name for found in machine.machines(request.stage.run) if found.network == request.name]
        return {name: _console(name) for name in names}

    def owned(self, run: str) -> list[str]:
        from pytest_crosscloud import machine

        return machine.leftovers(run)


def prepared_disk(bundle: NodeBundle, stage: StageContext) -> Path:
    """A disk whose containerd store holds the bundle's images, made once per bundle: machines clone it."""
    from filelock import FileLock

    target = paths.cache("disks", bundle.fingerprint)
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.exists():
            stage.progress("importing the node images, once")
            partial = target.with_name(f"{target.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            # In namespaces of its own: whatever ends this, no containerd and no mount of it stays.
            isolated = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
            stage.command([*isolated, "sh", "-euc", _IMPORT, "import", str(partial), str(bundle.images)])
            partial.rename(target)
    return target


def _console(name: str) -> str:
    argv = [sys.executable, "-m", "pytest_crosscloud.machine", "console", name]
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False).stdout


@hookimpl
def crosscloud_clouds() -> list[Cloud]:
    return [LocalCloud(name="local", display_name="Local", order=10)]
