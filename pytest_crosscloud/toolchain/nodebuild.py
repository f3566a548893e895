"""Builds all components of a Kubernetes version into one program, from the Go module proxy alone."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import StageError
from ..model import ErrorClass
from ..stage import StageContext
from .gobuild import go, go_build
from .pins import host_arch

#: The names that the program acts by.
COMPONENTS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubeadm",
    "kubectl",
    "etcd",
)

SOURCES = Path(__file__).with_name("gosrc")

KUBERNETES = "k8s.io/kubernetes"
_VERSION_PACKAGE = "k8s.io/component-base/version"


def build(stage: StageContext, version: str, arch: str, label: str, output: Path) -> None:
    """Compile the components of Kubernetes ``version`` into ``output``.

    :raises StageError: (class configuration) the proxy serves no such version; (class product) it does not compile.
    """
    with module(stage, version, label, [SOURCES / "node" / "main.go"], output.parent) as (directory, ldflags):
        go_build(stage, directory, ".", output, arch=arch, ldflags=ldflags, label=label)


def build_pause(stage: StageContext, arch: str, output: Path) -> None:
    """Compile the pods' first process."""
    go_build(stage, SOURCES / "pause", ".", output, arch=arch, ldflags="-s -w", label="pause")


def wanted_images(stage: StageContext, version: str, arch: str, kubeadm: Path, label: str) -> list[str]:
    """The names of the images that this version's kubeadm asks for."""
    listing = ("config", "images", "list", "--kubernetes-version", version)
    if arch == host_arch():
        return stage.command([str(kubeadm), *listing]).output.split()
    # It must run here, whatever the bundle is for.
    with module(stage, version, label, [SOURCES / "node" / "main.go"]) as (directory, _):
        kubeadm = directory / "kubeadm"
        go_build(stage, directory, f"{KUBERNETES}/cmd/kubeadm", kubeadm, arch=host_arch(), label=f"{label}: kubeadm")
        return stage.command([str(kubeadm), *listing]).output.split()


def module_file(upstream: Mapping[str, Any], version: str) -> str:
    """The go.mod that the program is built with.

    Kubernetes replaces its staging modules by folders of its own repository, which a module proxy does not
    serve; each is published as a module too, at v0.Y.Z for Kubernetes v1.Y.Z. Go takes replacements from the
    main module only, so they are repeated here. The list is that version's own.

    :param upstream: its go.mod, as ``go mod edit -json`` prints it.
    """
    staging = "v0." + version.split(".", 1)[1]
    lines = ["module crosscloud/node", f"go {upstream['Go']}", f"require {KUBERNETES} {version}"]
    for required in upstream["Require"]:
        if required["Path"] == "go.etcd.io/etcd/client/v3":
            lines.append(f"require go.etcd.io/etcd/server/v3 {required['Version']}")
    for replace in upstream["Replace"] or ():
        path, new = replace["Old"]["Path"], replace["New"]
        local = new["Path"].startswith("./staging/")
        lines.append(f"replace {path} => {f'{path} {staging}' if local else '{Path} {Version}'.format(**new)}")
    return "\n".join(lines) + "\n"


@contextmanager
def module(
    stage: StageContext, version: str, label: str, sources: Iterable[Path], beside: Path | None = None
) -> Iterator[tuple[Path, str]]:
    """A module of these ``sources`` that requires Kubernetes ``version``, and the linker's flags that stamp it.

    :param beside: where its directory is made, for as long as the block; None: where temporary files go.
    :raises StageError: (class configuration) the proxy serves no such version.
    """
    with tempfile.TemporaryDirectory(dir=beside) as scratch:
        directory = Path(scratch)
        stage.progress(f"{label}: fetching its source")
        (directory / "go.mod").write_text(module_file(_upstream(stage, version, directory), version))
        for source in sources:
            shutil.copy(source, directory)
        stage.progress(f"{label}: resolving its modules")
        go(stage, directory, "mod", "tidy")
        yield directory, _ldflags(stage, directory, version)


def _upstream(stage: StageContext, version: str, directory: Path) -> dict[str, Any]:
    """Kubernetes' own go.mod."""
    try:
        downloaded = go(stage, directory, "mod", "download", "-json", f"{KUBERNETES}@{version}")
    except StageError as error:
        raise StageError(
            f"Kubernetes {version} cannot be had from the Go module proxy: {error.message.splitlines()[-1]}",
            remedy="name a released version, e.g. --kubernetes=v1.36.3; branches are not served",
            error_class=ErrorClass.CONFIGURATION,
        ) from error
    edited = go(stage, directory, "mod", "edit", "-json", json.loads(downloaded.output)["GoMod"])
    parsed: dict[str, Any] = json.loads(edited.output)
    return parsed


def _ldflags(stage: StageContext, directory: Path, version: str) -> str:
    """What ``kubectl version`` and the API's /version say. The proxy knows the time of the tag, not its commit."""
    listed = go(stage, directory, "list", "-m", "-json", KUBERNETES)
    major, minor = version.lstrip("v").split(".")[:2]
    values = {
        "gitVersion": version,
        "gitMajor": major,
        "gitMinor": minor,
        "gitCommit": "",
        "gitTreeState": "archive",
        "buildDate": json.loads(listed.output)["Time"],
    }
    stamps = " ".join(f"-X {_VERSION_PACKAGE}.{name}={value}" for name, value in values.items())
    return f"-s -w {stamps}"
