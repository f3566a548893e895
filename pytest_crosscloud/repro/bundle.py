"""The file of a bundle: a reproducible tar.gz, written whole or not at all, and read as what anybody may have made.

Its content is documented in docs/results.md; ``bundle.schema.json`` is the schema of its bundle.json.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NoReturn

from filelock import FileLock

from .. import paths
from ..errors import ConfigurationError
from ..model import Pin, Ref

#: Raised when a reader of before would repeat something else than what failed.
VERSION = 1

#: Name of a bundle in its cell's folder, and of what it is about within it.
FILE = "bundle.tar.gz"
DOCUMENT = "bundle.json"

SCHEMA = Path(__file__).with_name("bundle.schema.json")

#: Bytes that a bundle may have unpacked: images, and all the rest.
IMAGES_LIMIT = 1 << 30
FILES_LIMIT = 64 << 20

#: Keys of bundle.json that a repetition reads beside those of its own properties.
_READ = ("run", "project", "cell", "chart", "deploy_timeout", "e2e", "failure", "redacted", "left_out", "files")

#: Seconds since its last use that a bundle stays unpacked: longer than any run.
_KEPT = 2 * 86400.0

#: Files and folders that a bundle may have.
_MEMBERS = 20_000

#: Of gzip: a third of the time of its default for a program, and a tenth more bytes.
_LEVEL = 3


def write(directory: Path, target: Path) -> None:
    """Pack what lies below ``directory`` into ``target``; the same files give the same bytes.

    It has its name only when all of it is on the disk; until then it lies in the folder above its own.
    """
    files = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != DOCUMENT)
    descriptor, name = tempfile.mkstemp(prefix=".bundle.", dir=target.parent.parent)
    try:
        os.fchmod(descriptor, 0o644)  # mkstemp gives 0600; a report is for everybody who may enter the folder
        with os.fdopen(descriptor, "wb") as file:
            with (
                gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as stream,
                tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
            ):
                for path in (
                    directory / DOCUMENT,
                    *files,
                ):  # what it is about comes first: a reader need not unpack all
                    entry = tarfile.TarInfo(path.relative_to(directory).as_posix())
                    with path.open("rb") as content:
                        entry.size = os.fstat(content.fileno()).st_size
                        tar.addfile(entry, content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class BundledPin:
    """An image of a bundle: ``layout`` is its OCI layout within it; empty: it is to be had from its registry alone."""

    pin: Pin
    purpose: str  #: ``project`` or ``e2e``
    layout: str


@dataclass(frozen=True)
class Bundle:
    """What a bundle says, as far as a repetition reads it."""

    path: Path
    document: Mapping[str, Any]

    @property
    def ref(self) -> Ref:
        return Ref.from_json(self.document["cell"]["ref"])

    @property
    def pins(self) -> list[BundledPin]:
        return [
            BundledPin(
                Pin(**{key: pin[key] for key in ("name", "image", "tag", "digest")}), pin["purpose"], pin["layout"]
            )
            for pin in self.document["pins"]
        ]

    def __getitem__(self, key: str) -> Any:
        return self.document[key]


def read(path: Path) -> Bundle:
    """What the bundle at ``path`` says, without unpacking it.

    :raises ConfigurationError: there is none, it is damaged, or a newer version has written it.
    """
    with _opened(path) as tar:
        first = tar.next()
        content = tar.extractfile(first) if first and first.name == DOCUMENT and first.isfile() else None
        if first is None or content is None or first.size > FILES_LIMIT:
            raise ConfigurationError(
                f"{path} is no bundle of a failed cell", remedy=f"it does not begin with {DOCUMENT}"
            )
        document = json.loads(content.read())
    version = document.get("version") if isinstance(document, dict) else None
    if not isinstance(version, int):
        _damaged(path, f"{DOCUMENT} has no version")
    if version > VERSION:
        raise ConfigurationError(
            f"{path} was written by a newer pytest-crosscloud ({document.get('crosscloud')}): "
            f"bundles of version {version}, and this one reads {VERSION}",
            remedy="upgrade pytest-crosscloud",
        )
    bundle = Bundle(path, document)
    try:
        _ = bundle.ref, bundle.pins, [bundle[key] for key in _READ]
    except (LookupError, TypeError, ValueError) as error:
        _damaged(path, f"{DOCUMENT}: {type(error).__name__}: {error}")
    return bundle


def unpack(bundle: Bundle) -> Path:
    """The folder of the cache that a bundle's files lie in, every one as it was written.

    :raises ConfigurationError: it is damaged, or has what a bundle has not.
    """
    with bundle.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    target = paths.cache("bundles", digest)
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.exists():
            partial = target.with_name(f"{digest}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            try:
                _extract(bundle, partial)
                partial.rename(target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        os.utime(target)
    for other in target.parent.iterdir():
        with suppress(FileNotFoundError):  # another process has just done it
            if other.is_dir() and other.stat().st_mtime < time.time() - _KEPT:
                shutil.rmtree(other, ignore_errors=True)
    return target


def _extract(bundle: Bundle, directory: Path) -> None:
    expected: dict[str, str] = dict(bundle["files"])
    left = IMAGES_LIMIT + 2 * FILES_LIMIT
    with _opened(bundle.path, whole=True) as tar:
        for number, member in enumerate(tar):
            left -= member.size
            if left < 0 or number > _MEMBERS:
                _damaged(bundle.path, "it is larger than a bundle can be")
            if not member.isreg():
                _damaged(bundle.path, f"{member.name} is no file")
            if member.name == DOCUMENT:
                continue
            if member.name not in expected:
                _damaged(bundle.path, f"{DOCUMENT} knows no {member.name}, or it is there twice")
            tar.extract(member, directory, filter="data")
            if sha256(directory / PurePosixPath(member.name)) != expected.pop(member.name):
                _damaged(bundle.path, f"{member.name} is not what it was")
    if expected:
        _damaged(bundle.path, f"{next(iter(expected))} is missing")


def sha256(path: Path) -> str:
    """``sha256:…`` of a file, as the files of a bundle are listed."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


@contextmanager
def _opened(path: Path, *, whole: bool = False) -> Iterator[tarfile.TarFile]:
    """Read a bundle from its beginning on; the ``whole`` of it to its checksum.

    :raises ConfigurationError: it is not there, or what is read of it is damaged.
    """
    try:
        file: BinaryIO = path.open("rb")
    except OSError as error:
        raise ConfigurationError(
            f"bundle {path} cannot be read: {error.strerror}",
            remedy=f"a failed cell has one: reports/out/cells/CELL/{FILE}",
        ) from None
    with file, gzip.GzipFile(fileobj=file) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                yield tar
            while whole and stream.read(1 << 20):
                pass
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
            _damaged(path, f"{type(error).__name__}: {error}")
        except OSError as error:
            raise ConfigurationError(f"bundle {path} cannot be unpacked: {error}") from error


def _damaged(path: Path, why: str) -> NoReturn:
    raise ConfigurationError(f"bundle {path} is damaged: {why}", remedy="copy it again from where it was written")
