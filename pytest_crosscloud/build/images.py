"""Images made without a container engine, kept as OCI image layouts.

A layout is a directory that buildah, skopeo and this package read and write alike
(https://github.com/opencontainers/image-spec/blob/main/image-layout.md).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
# Not compressed: the bytes that gzip makes depend on the zlib of the day, and the digest would with them.
_LAYER = "application/vnd.oci.image.layer.v1.tar"

_EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class Link:
    """A symbolic link to ``target``."""

    target: str


@dataclass(frozen=True)
class File:
    """One file of an image, owned by root. ``content`` is its bytes, a file to copy, or a link."""

    path: str  #: absolute, in the image
    content: bytes | Path | Link
    mode: int = 0o644


@dataclass(frozen=True)
class Blob:
    """A descriptor: what a manifest says about one of its blobs."""

    media_type: str
    digest: str
    size: int

    @classmethod
    def of(cls, descriptor: Mapping[str, Any]) -> Blob:
        return cls(descriptor["mediaType"], descriptor["digest"], descriptor["size"])

    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True)
class Layout:
    """One image on disk, in an OCI image layout."""

    directory: Path

    @property
    def manifest(self) -> Blob:
        """The descriptor of the image's manifest. Its digest is the image's."""
        index = json.loads((self.directory / "index.json").read_text())
        return Blob.of(index["manifests"][0])

    def blobs(self) -> Iterator[Blob]:
        """Config and layers: what a registry must have before it takes the manifest."""
        manifest = json.loads(self.path(self.manifest.digest).read_bytes())
        yield Blob.of(manifest["config"])
        yield from map(Blob.of, manifest["layers"])

    def path(self, digest: str) -> Path:
        """The file of a blob."""
        return self.directory.joinpath("blobs", *digest.split(":", 1))

    def write_index(self, manifest: Blob) -> None:
        """Make it the layout of the image with this manifest; its blobs are there."""
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest.descriptor()]}
        (self.directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (self.directory / "index.json").write_text(json.dumps(index))

    def intact(self) -> bool:
        """Whether every blob is there in full: a copy that lost a file must be made again."""
        try:
            return all(self.path(blob.digest).stat().st_size == blob.size for blob in (self.manifest, *self.blobs()))
        except (OSError, ValueError, LookupError):
            return False


@dataclass(frozen=True)
class ImageConfig:
    """How a container of the image starts. ``user`` empty means root; ``ports`` as in ``53/udp``."""

    arch: str
    entrypoint: Sequence[str]
    command: Sequence[str] = ()  #: arguments of the entrypoint, unless a pod says others
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    ports: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


def write(directory: Path, files: Sequence[File], config: ImageConfig, below: Sequence[Path] = ()) -> Layout:
    """Write an image with these files in a layer; the same inputs give the same digest, on any machine.

    :param below: layers that come first: tar archives, not compressed, which are moved into the image.
    """
    layout = Layout(directory)
    layers = [_take_layer(layout, archive) for archive in below]
    if files or not layers:
        layers.append(_write_layer(layout, files))
    runtime: dict[str, Any] = {"Entrypoint": list(config.entrypoint), "WorkingDir": "/"}
    if config.command:
        runtime["Cmd"] = list(config.command)
    if config.env:
        runtime["Env"] = [f"{name}={value}" for name, value in sorted(config.env.items())]
    if config.user:
        runtime["User"] = config.user
    if config.ports:
        runtime["ExposedPorts"] = {port: {} for port in config.ports}
    if config.labels:
        runtime["Labels"] = dict(config.labels)
    description = {
        "created": _EPOCH,
        "architecture": config.arch,
        "os": "linux",
        "config": runtime,
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        "history": [{"created": _EPOCH, "created_by": "pytest-crosscloud"} for _ in layers],
    }
    config_blob = _write_json(layout, _CONFIG, description)
    manifest = _write_json(
        layout,
        MANIFEST,
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config_blob.descriptor(),
            "layers": [layer.descriptor() for layer in layers],
        },
    )
    layout.write_index(manifest)
    return layout


def _write_json(layout: Layout, media_type: str, value: Mapping[str, Any]) -> Blob:
    text = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    digest = f"sha256:{hashlib.sha256(text).hexdigest()}"
    path = layout.path(digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    return Blob(media_type, digest, len(text))


def _write_layer(layout: Layout, files: Sequence[File]) -> Blob:
    partial = layout.path("sha256:layer.partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar:
        for directory in _parents(files):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for file in sorted(files, key=lambda file: file.path):
            entry = tarfile.TarInfo(file.path.lstrip("/"))
            entry.mode = file.mode
            if isinstance(file.content, Link):
                entry.type, entry.linkname = tarfile.SYMTYPE, file.content.target
                tar.addfile(entry)
            elif isinstance(file.content, bytes):
                entry.size = len(file.content)
                tar.addfile(entry, io.BytesIO(file.content))
            else:
                with file.content.open("rb") as content:
                    entry.size = os.fstat(content.fileno()).st_size
                    tar.addfile(entry, content)
    return _take_layer(layout, partial)


def _take_layer(layout: Layout, archive: Path) -> Blob:
    """Move a tar archive to where the layout has its blobs."""
    with archive.open("rb") as written:
        digest = f"sha256:{hashlib.file_digest(written, 'sha256').hexdigest()}"
    size = archive.stat().st_size
    target = layout.path(digest)
    target.parent.mkdir(parents=True, exist_ok=True)
    archive.rename(target)
    return Blob(_LAYER, digest, size)


def _parents(files: Sequence[File]) -> list[str]:
    """Every directory above the files, outermost first."""
    parents = {str(parent) for file in files for parent in PurePosixPath(file.path.lstrip("/")).parents}
    return sorted(parents - {"."})
