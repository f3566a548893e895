"""The node bundle: all programs of a Kubernetes version and the images of its control plane, built or downloaded."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from .. import paths
from ..model import Ref
from ..stage import StageContext
from . import nodebuild, noderelease
from .cached import made
from .download import Unavailable
from .nodeimages import write_archive
from .pins import load

#: Raised when what a bundle holds changes although its sources do not.
_FORMAT = 1

_MANIFEST = "bundle.json"


@dataclass(frozen=True)
class NodeBundle:
    """A directory of the cache with everything that a node of one Kubernetes version runs."""

    directory: Path
    version: str  #: ``v1.36.3``
    arch: str
    fingerprint: str  #: of its inputs: two bundles with the same one are the same
    sha256: str  #: of ``binary``
    origin: str  #: ``built`` from source, or ``release``: the official binaries
    image_names: tuple[str, ...]  #: as kubeadm asks for them, ``registry.k8s.io/kube-apiserver:v1.36.3``

    @property
    def binary(self) -> Path:
        """The program that is any component, by the name that it is called by."""
        return self.directory / "node"

    @property
    def programs(self) -> Path:
        """A directory with one program for each component, by its name."""
        return self.directory / "bin"

    @property
    def images(self) -> Path:
        """The control plane's images, etcd's and pause, for ``ctr --namespace k8s.io images import``."""
        return self.directory / "images.tar"


def node_bundle(kubernetes: Ref, arch: str, stage: StageContext) -> NodeBundle:
    """The bundle of a Kubernetes version, made once and kept in the cache.

    Official binaries are taken where their checksums are pinned and they can be reached; else it is built.

    :raises StageError: (class configuration) there is no such version; (class infrastructure) it could not be made.
    """
    key = fingerprint(kubernetes, arch)
    label = f"node {kubernetes.version}"
    directory = made(stage, "node", key, label, lambda into: _make(stage, kubernetes.version, arch, label, into))
    return _read(directory, key)


def cached_bundle(kubernetes: Ref, arch: str) -> NodeBundle | None:
    """The bundle if it is there already."""
    key = fingerprint(kubernetes, arch)
    directory = paths.cache("node", key)
    return _read(directory, key) if directory.is_dir() else None


def fingerprint(kubernetes: Ref, arch: str) -> str:
    """Of all that a bundle is made from: the version, and what the sources of its programs are here."""
    inputs = [_FORMAT, kubernetes.version, arch, _sources(), load()["kubernetes_release"]]
    return f"{kubernetes.version}-{arch}-{hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:12]}"


@functools.cache
def _sources() -> str:
    files = sorted(path for path in nodebuild.SOURCES.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _read(directory: Path, key: str) -> NodeBundle:
    manifest = json.loads((directory / _MANIFEST).read_text())
    return NodeBundle(
        directory=directory, fingerprint=key, **{**manifest, "image_names": tuple(manifest["image_names"])}
    )


def _make(stage: StageContext, version: str, arch: str, label: str, directory: Path) -> None:
    programs = directory / "bin"
    programs.mkdir()
    try:
        noderelease.download(stage, version, arch, label, programs)
        origin = "release"
        (directory / "node").write_text(_DISPATCH)
        (directory / "node").chmod(0o755)
    except Unavailable as error:
        stage.write(f"{label}: {error}")
        origin = "built"
        nodebuild.build(stage, version, arch, label, directory / "node")
        for name in nodebuild.COMPONENTS:
            os.link(directory / "node", programs / name)
    stage.progress(f"{label}: packing the control plane's images")
    pause = directory / "pause"
    nodebuild.build_pause(stage, arch, pause)
    wanted = nodebuild.wanted_images(stage, version, arch, programs / "kubeadm", label)
    names = write_archive(directory / "images.tar", arch, programs, pause, wanted, one_program=origin == "built")
    with (directory / "node").open("rb") as node:
        digest = hashlib.file_digest(node, "sha256").hexdigest()
    manifest = {"version": version, "arch": arch, "origin": origin, "sha256": digest, "image_names": names}
    (directory / _MANIFEST).write_text(json.dumps(manifest))


#: What ``binary`` is where the components are programs of their own.
_DISPATCH = '#!/bin/sh\nexec "$(dirname "$(readlink -f "$0")")/bin/$(basename "$0")" "$@"\n'
