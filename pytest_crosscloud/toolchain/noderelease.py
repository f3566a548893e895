"""Downloads the official binaries of a Kubernetes version, where their checksums are pinned."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path

from ..errors import StageError
from ..stage import StageContext
from . import download as downloads
from .download import Unavailable
from .pins import load

_SERVER = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubeadm", "kubectl")


def download(stage: StageContext, version: str, arch: str, label: str, programs: Path) -> None:
    """Put the official binaries of Kubernetes and of its etcd into the directory ``programs``.

    :raises Unavailable: their checksums are not pinned, or they cannot be reached.
    :raises StageError: what came is not what was pinned.
    """
    release = load()["kubernetes_release"]
    pin = release["versions"].get(version, {})
    if arch not in pin.get("server", {}) or arch not in pin.get("etcd", {}):
        raise Unavailable(f"no checksums of the official binaries for {version} {arch} are pinned")
    server = release["server_url"].format(version=version, arch=arch)
    etcd = release["etcd_url"].format(version=pin["etcd_version"], arch=arch)
    with tempfile.TemporaryDirectory(dir=programs.parent) as scratch:
        archive = Path(scratch) / "archive.tar.gz"
        downloads.fetch(stage, etcd, pin["etcd"][arch], archive, f"{label}: etcd")
        _extract(archive, {f"etcd-{pin['etcd_version']}-linux-{arch}/etcd"}, programs)
        downloads.fetch(stage, server, pin["server"][arch], archive, label)
        stage.progress(f"{label}: unpacking")
        _extract(archive, {f"kubernetes/server/bin/{name}" for name in _SERVER}, programs)


def _extract(archive: Path, members: set[str], programs: Path) -> None:
    missing = set(members)
    with tarfile.open(archive) as tar:
        for entry in tar:
            content = tar.extractfile(entry) if entry.name in members else None
            if content:
                program = programs / Path(entry.name).name
                with program.open("wb") as file:
                    while chunk := content.read(1 << 20):
                        file.write(chunk)
                program.chmod(0o755)
                missing.remove(entry.name)
    if missing:
        raise StageError(
            f"{archive.name} has no {', '.join(sorted(missing))}", remedy="the pins do not fit the archive"
        )
