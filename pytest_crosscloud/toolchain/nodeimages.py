"""Packs the control plane's images into one archive that containerd imports."""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..build import images
from ..build.images import File, ImageConfig, Layout, Link

_BIN = "/usr/local/bin"


def write_archive(
    archive: Path, arch: str, programs: Path, pause: Path, wanted: Sequence[str], *, one_program: bool
) -> list[str]:
    """Write those of the ``wanted`` images that a node's programs make; the names of these are returned.

    kube-proxy is a service of the node, and a cluster's DNS somebody's project under test: neither is among them.

    :param one_program: all programs are one file, so all images are one image, with a name for each.
    """
    with tempfile.TemporaryDirectory(dir=archive.parent) as scratch:
        layouts = {}
        for reference in wanted:
            component = reference.rpartition(":")[0].rpartition("/")[2]
            if component == "pause":
                layouts[reference] = _pause(Path(scratch) / component, arch, pause)
            elif component in _CONTROL_PLANE and one_program:
                layouts[reference] = _all_in_one(Path(scratch) / "control-plane", arch, programs / component)
            elif component in _CONTROL_PLANE:
                file = File(f"{_BIN}/{component}", programs / component, 0o755)
                layouts[reference] = images.write(Path(scratch) / component, [file], _config(arch, component))
        _join(archive, layouts)
    return list(layouts)


_CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")


def _config(arch: str, component: str) -> ImageConfig:
    return ImageConfig(arch=arch, entrypoint=[component] if component else [], env={"PATH": _BIN})


def _pause(directory: Path, arch: str, program: Path) -> Layout:
    config = ImageConfig(arch=arch, entrypoint=["/pause"], user="65535:65535")
    return images.write(directory, [File("/pause", program, 0o755)], config)


def _all_in_one(directory: Path, arch: str, program: Path) -> Layout:
    if directory.exists():
        return Layout(directory)
    links = [File(f"{_BIN}/{component}", Link("node")) for component in _CONTROL_PLANE]
    return images.write(directory, [File(f"{_BIN}/node", program, 0o755), *links], _config(arch, ""))


def _join(archive: Path, layouts: dict[str, Layout]) -> None:
    """One OCI layout of them all, as a tar file: https://github.com/opencontainers/image-spec/blob/main/image-layout.md."""
    manifests = [
        {**layout.manifest.descriptor(), "annotations": {"io.containerd.image.name": reference}}
        for reference, layout in layouts.items()
    ]
    index = {"schemaVersion": 2, "mediaType": images.INDEX, "manifests": manifests}
    first = next(iter(layouts.values())).directory
    (first / "index.json").write_text(json.dumps(index))
    blobs = {
        blob.digest: layout.path(blob.digest)
        for layout in layouts.values()
        for blob in (layout.manifest, *layout.blobs())
    }
    with tarfile.open(archive, "w") as tar:
        tar.add(first / "oci-layout", "oci-layout")
        tar.add(first / "index.json", "index.json")
        for digest, path in sorted(blobs.items()):
            tar.add(path, f"blobs/{digest.replace(':', '/')}")
