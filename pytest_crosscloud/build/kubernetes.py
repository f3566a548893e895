"""Kubernetes itself: the node bundle that clusters are made from, and the images of its control plane."""

from __future__ import annotations

import json
import os
import re
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..model import AUTO, Artifacts, BuildRequest, Pin, Project, Ref
from ..toolchain import node
from ..toolchain.kubernetes import STABLE, resolve_kubernetes
from . import cache
from .images import Blob, Layout


@dataclass(frozen=True, kw_only=True)
class KubernetesBuild:
    """The node bundle of a version (``toolchain/node.py``), made once: nodes of clusters have it from the cache.

    The images of it go to the run's registry too, and are the pins: KUBE_APISERVER, KUBE_CONTROLLER_MANAGER,
    KUBE_SCHEDULER, ETCD and PAUSE, each with the tag that kubeadm asks for.
    """

    folder: str = "kubernetes"  #: of the images' repositories in the run's registry

    def resolve(self, project: Project, ref: str) -> Ref:
        """As ``--kubernetes`` resolves it with no other names configured; a run asks its configuration."""
        return resolve_kubernetes(ref, {STABLE: project.stable_ref or AUTO})

    def fingerprint(self, project: Project, ref: Ref, arch: str) -> str:
        return cache.fingerprint("kubernetes", self.folder, node.fingerprint(ref, arch))

    def build(self, request: BuildRequest) -> Artifacts:
        stage, ref, arch = request.stage, request.ref, request.arch
        was_there = node.cached_bundle(ref, arch) is not None
        bundle = node.node_bundle(ref, arch, stage)
        repositories = {name: f"{self.folder}/{_component(name)}" for name in bundle.image_names}
        key = self.fingerprint(request.project, ref, arch)

        def make(folder: Path) -> None:
            stage.progress("unpacking the control plane's images")
            _unpack(bundle.images, folder, repositories)

        made: list[Pin] = []
        for name, repository in repositories.items():
            image = {_pin_name(name): repository}
            pushed, kept = cache.pinned(stage, request.registry, key, image, name.rpartition(":")[2], make)
            made += pushed
            was_there = was_there and kept if len(made) == 1 else was_there
        return Artifacts(request.project.name, ref, arch, tuple(made), cached=was_there)


def _component(image: str) -> str:
    """``registry.k8s.io/kube-apiserver:v1.36.3`` is of kube-apiserver."""
    return image.rpartition(":")[0].rpartition("/")[2]


def _pin_name(image: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", _component(image).upper())


def _unpack(archive: Path, folder: Path, repositories: Mapping[str, str]) -> None:
    """Make a layout for each image of an archive of several; those that are one content share it on disk."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch, tarfile.open(archive) as tar:
        tar.extractall(scratch, filter="data")
        packed = Layout(Path(scratch))
        for entry in json.loads((packed.directory / "index.json").read_text())["manifests"]:
            layout = Layout(folder / repositories[entry["annotations"]["io.containerd.image.name"]])
            manifest = Blob.of(entry)
            layout.path(manifest.digest).parent.mkdir(parents=True)
            os.link(packed.path(manifest.digest), layout.path(manifest.digest))
            layout.write_index(manifest)
            for blob in layout.blobs():
                if not layout.path(blob.digest).exists():
                    os.link(packed.path(blob.digest), layout.path(blob.digest))
