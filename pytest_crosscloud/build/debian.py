"""Files of Debian's packages for images: chosen and checked by this host's apt, and unpacked without dpkg.

apt is asked as for a computer on which nothing is installed, so what this host has does not matter, and is not
changed. No package's script runs: there are no users, no alternatives and no caches in an image but those that its
strategy adds.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from ..errors import StageError
from ..model import Artifacts, BuildRequest, ErrorClass, Project, Ref
from ..stage import StageContext
from ..toolchain.pins import host_arch
from . import cache, resolve
from .gomodule import fetch
from .images import File, ImageConfig, write
from .names import image_tag, pin_name

#: Seconds that apt gets to think.
_THINKING = 60.0

#: As for an empty computer; and without apt's cache of its lists, which root would write anew for every other arch.
_EMPTY = (
    "Dir::State::status=/dev/null",
    "Dir::State::extended_states=/dev/null",
    "Dir::Cache::pkgcache=",
    "Dir::Cache::srcpkgcache=",
    "APT::Install-Recommends=false",
    "APT::Sandbox::User=root",
)

#: ``Inst libc6 (2.36-9+deb12u13 Debian:12.12/oldstable [amd64]) […]``
_CHOSEN = re.compile(r"^Inst (\S+) \((\S+) .*?\[(\S+)\]\)", re.MULTILINE)
_UNKNOWN = re.compile(r"Unable to locate package (\S+)|Package '?(\S+?)'? has no installation candidate")

#: Since Debian 12 these are links to the folders of the same name below /usr, also for packages that do not know it.
_MERGED = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")

#: What no program reads. Copyrights stay.
_DOCUMENTATION = ("usr/share/doc/*", "usr/share/man/*", "usr/share/info/*", "usr/share/lintian/*", "usr/share/locale/*")
_COPYRIGHT = "usr/share/doc/*/copyright"


@dataclass(frozen=True)
class Package:
    """A package at the version that apt chose."""

    name: str
    version: str
    arch: str  #: ``all`` too

    def __str__(self) -> str:
        return f"{self.name}:{self.arch}={self.version}"


@dataclass(frozen=True, kw_only=True)
class DebianBuild:
    """Programs as Debian packages them, in an image. ``stable`` and ``head`` are what this host's apt would install."""

    packages: Sequence[str]  #: the first one's version is the image's
    image: str  #: repository path in the run's registry
    entrypoint: Sequence[str]
    without: Sequence[str] = ()  #: of their dependencies, those that are not needed: names, or patterns as of files
    files: Sequence[File] = ()  #: beside the packages' own, with content of bytes
    #: a Go module whose files come along, at the version that is built: a part that ``follows`` has its project's
    module: str = ""
    module_files: Mapping[str, str] = field(default_factory=dict, hash=False)  #: folder in the image, by folder there
    env: Mapping[str, str] = field(default_factory=dict, hash=False)
    user: str = ""  #: numeric; empty: root
    ports: Sequence[str] = ()

    def resolve(self, project: Project, ref: str) -> Ref:
        found = {each.name: each.version for each in choose(self.packages, host_arch(), self.without)}
        version = found[self.packages[0]]
        if ref not in (resolve.STABLE, resolve.HEAD, version):
            raise resolve.no_such_ref(project, ref, [version], f"apt here has {self.packages[0]} {version}")
        return Ref(ref, version, note=f"Debian's package {self.packages[0]}")

    def fingerprint(self, project: Project, ref: Ref, arch: str) -> str:
        runtime = [list(self.entrypoint), dict(self.env), self.user, list(self.ports)]
        files = [[file.path, repr(file.content), file.mode] for file in self.files]
        files += [[self.module, ref.version, dict(self.module_files)]] if self.module else []
        return cache.fingerprint("debian", self.image, describe(self.packages, arch, self.without), files, *runtime)

    def build(self, request: BuildRequest) -> Artifacts:
        stage = request.stage

        def make(folder: Path) -> None:
            layer = folder / "packages.tar"
            chosen = write_layer(stage, self.packages, request.arch, layer, self.without)
            config = ImageConfig(
                arch=request.arch,
                entrypoint=self.entrypoint,
                env=self.env,
                user=self.user,
                ports=self.ports,
                labels={"debian.packages": " ".join(map(str, chosen))},
            )
            files = [*self.files, *self._module_files(request)]
            write(folder / self.image, files, config, below=[layer])

        key = self.fingerprint(request.project, request.ref, request.arch)
        images, tag = {pin_name(request.project): self.image}, image_tag(request.ref.version)
        pins, cached = cache.pinned(stage, request.registry, key, images, tag, make)
        return Artifacts(request.project.name, request.ref, request.arch, pins, cached=cached)

    def _module_files(self, request: BuildRequest) -> Iterator[File]:
        if not self.module:
            return
        source = fetch(request.stage, self.module, request.ref.version)
        for name, target in self.module_files.items():
            found = sorted(path for path in (source / name).rglob("*") if path.is_file())
            if not found:
                raise StageError(f"{self.module} {request.ref.version} has no files in {name}")
            yield from (File(str(PurePosixPath(target, path.relative_to(source / name))), path) for path in found)


def describe(packages: Sequence[str], arch: str, without: Sequence[str] = ()) -> list[str]:
    """The exact packages, for a fingerprint. Their names alone where apt cannot tell: the build will say why."""
    try:
        return [str(package) for package in choose(packages, arch, without)]
    except StageError:
        return ["unknown", arch, *packages, *without]


def choose(packages: Sequence[str], arch: str, without: Sequence[str] = ()) -> tuple[Package, ...]:
    """These packages and all that they depend on, at the versions that apt would install, by name.

    :raises StageError: (class configuration) there is no apt, or no such package; (infrastructure) apt knows none at
        all, because it was never asked to update its lists, or not for this arch.
    """
    return _choose(tuple(packages), arch, tuple(without))


@functools.cache
def _choose(packages: tuple[str, ...], arch: str, without: tuple[str, ...]) -> tuple[Package, ...]:
    done = _apt("apt-get", arch, "install", "--simulate", *packages)
    if done.returncode != 0:
        raise _refused(done.stderr.strip(), packages, arch)
    found = sorted(_CHOSEN.findall(done.stdout))
    return tuple(Package(*each) for each in found if not any(fnmatch(each[0], pattern) for pattern in without))


def write_layer(
    stage: StageContext, packages: Sequence[str], arch: str, target: Path, without: Sequence[str] = ()
) -> tuple[Package, ...]:
    """Fetch packages and write their files as one tar archive, the same bytes for the same versions.

    :return: what is in it.
    :raises StageError: as ``choose``; or one of them cannot be fetched (class infrastructure).
    """
    chosen = choose(packages, arch, without)
    folder = target.with_suffix(".packages")
    folder.mkdir()
    stage.progress(f"fetching {len(chosen)} Debian packages: {', '.join(packages)}")
    command = ["apt-get", *_options(arch), "download", *map(str, chosen)]
    done = stage.command(command, cwd=folder, env={"LC_ALL": "C"}, check=False)
    if done.code != 0:
        raise StageError(
            f"apt cannot fetch Debian's packages: {done.tail}",
            remedy="its lists may be older than what is served: apt-get update, as root",
        )
    stage.progress("unpacking")
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as layer:
        _unpack(stage, sorted(folder.glob("*.deb")), layer)
    shutil.rmtree(folder)
    return chosen


def _unpack(stage: StageContext, packages: Sequence[Path], layer: tarfile.TarFile) -> None:
    for name in _MERGED:
        link = tarfile.TarInfo(name)
        link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
        layer.addfile(link)
    written: set[str] = set()
    for package in packages:
        stage.remaining()
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as unpacking:
            try:
                assert unpacking.stdout
                with tarfile.open(fileobj=unpacking.stdout, mode="r|") as files:
                    for entry in files:
                        _copy(files, entry, layer, written)
                # A pipe that breaks off between two files looks like an end; and nobody may be left writing into it.
                while unpacking.stdout.read(1 << 20):
                    stage.remaining()
            except tarfile.TarError as error:
                raise StageError(f"{package.name} cannot be unpacked: {error}") from error
        if unpacking.returncode != 0:
            raise StageError(f"{package.name} cannot be unpacked: dpkg-deb ended with exit code {unpacking.returncode}")


def _copy(files: tarfile.TarFile, entry: tarfile.TarInfo, layer: tarfile.TarFile, written: set[str]) -> None:
    """Copy an entry, without its times, unless it is documentation or a folder that is there already."""
    path = _path(entry.name)
    if not path or path in written or (not entry.isdir() and _is_documentation(path)):
        return
    written.add(path)
    copied = tarfile.TarInfo(path)
    copied.type, copied.mode, copied.uid, copied.gid = entry.type, entry.mode, entry.uid, entry.gid
    copied.size = entry.size
    copied.linkname = _path(entry.linkname) if entry.islnk() else entry.linkname
    layer.addfile(copied, files.extractfile(entry) if entry.isreg() else None)


def _path(name: str) -> str:
    """Where a file of a package lies in an image: ``./lib/x`` is ``usr/lib/x``."""
    path = PurePosixPath(name)
    parts = path.parts[1:] if path.is_absolute() else path.parts
    return "/".join(("usr", *parts) if parts and parts[0] in _MERGED else parts)


def _is_documentation(path: str) -> bool:
    return any(fnmatch(path, pattern) for pattern in _DOCUMENTATION) and not fnmatch(path, _COPYRIGHT)


def _refused(errors: str, packages: Sequence[str], arch: str) -> StageError:
    """Why apt chose nothing, and whose fault that is."""
    if _apt("apt-cache", arch, "show", "base-files").returncode != 0:
        return StageError(
            f"apt knows no packages for {arch} here",
            remedy=f"as root: apt-get update; before it, for a foreign arch, dpkg --add-architecture {arch}",
        )
    if found := _UNKNOWN.search(errors):
        return StageError(
            f"Debian has no package {found[1] or found[2]}, as far as apt knows here",
            remedy="see its name, or let apt know newer ones: apt-get update, as root",
            error_class=ErrorClass.CONFIGURATION,
        )
    return StageError(f"apt cannot choose among Debian's packages for {', '.join(packages)}: {errors}")


def _options(arch: str) -> list[str]:
    settings = (*_EMPTY, f"APT::Architecture={arch}")
    return [word for setting in settings for word in ("-o", setting)]


def _apt(program: str, arch: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask apt without changing anything.

    :raises StageError: it is not here, or does not answer.
    """
    command = [program, *_options(arch), *arguments]
    try:
        return subprocess.run(
            command, env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True, timeout=_THINKING, check=False
        )
    except FileNotFoundError:
        raise StageError(
            f"images of Debian's packages need {program}, and this system has none",
            remedy="build on Debian or Ubuntu",
            error_class=ErrorClass.CONFIGURATION,
        ) from None
    except subprocess.TimeoutExpired:
        raise StageError(f"{program} did not answer within {_THINKING:.0f} s") from None
