"""Go programs in images of their own: a module at a version, or a directory of this computer."""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from .. import paths
from ..errors import StageError
from ..lock import held
from ..model import Artifacts, BuildRequest, ErrorClass, Pin, Project, Ref
from ..stage import StageContext
from ..toolchain.gobuild import go_build
from ..toolchain.tools import tool
from . import cache, resolve
from .faults import classed
from .gomodule import prepare, unserved
from .images import File, ImageConfig, write
from .names import image_tag, pin_name

#: Folders of a rootdir that a run writes its reports to.
_WRITTEN = (("reports", "out"), ("reports", "repro"))

_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True, kw_only=True)
class GoBuild:
    """A program of a Go module at a version, as the module proxy serves it, in an image from scratch.

    It is built from a generated module that requires the wanted one and repeats its replace and exclude
    directives: ``go install`` refuses modules that have any.
    """

    module: str  #: e.g. ``github.com/coredns/coredns``
    image: str  #: repository path in the run's registry, e.g. ``coredns/coredns``
    package: str = "."  #: of the main package, relative to the module: ``./cmd/prometheus``
    #: added to ``-s -w``; ``{version}``, ``{number}`` (of the release, without the v) and ``{commit}`` are filled in
    ldflags: str = ""
    tags: str = ""  #: build tags, with commas
    arguments: Sequence[str] = ()  #: of the image's entrypoint, after the program
    user: str = ""  #: numeric, as in ``65532:65532``; empty: root
    ports: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    #: files that a release's own build generates and the module lacks, as a web interface: path and what stands for it
    generated: Mapping[str, str] = field(default_factory=dict)
    #: least versions of modules that it needs, where it does not work with those that it asks for; told with each ref
    requires: Mapping[str, str] = field(default_factory=dict)
    #: how releases are called where the module's tags are not: a regular expression of tags, and what it becomes
    release: tuple[str, str] = ("", "")

    def resolve(self, project: Project, ref: str) -> Ref:
        deadline = time.monotonic() + resolve.SERVED_TIMEOUT

        def lacks(version: str) -> str:
            return unserved(self.module, version, self.package, self.tags, deadline)

        found = resolve.go_module(self.module, project, ref, lacks, self._release_of)
        newer = ", ".join(f"{module} {version}" for module, version in self.requires.items())
        notes = [found.note, f"built with {newer}, which it does not ask for" if newer else ""]
        return replace(found, note="; ".join(note for note in notes if note))

    def fingerprint(self, project: Project, ref: Ref, arch: str) -> str:
        inputs = [self.module, ref.version, self.package, self._ldflags(ref), self.tags, self.image]
        runtime = [list(self.arguments), self.user, list(self.ports), dict(self.env)]
        added = [dict(each) for each in (self.generated, self.requires) if each]
        return cache.fingerprint("go", *inputs, *runtime, *added, arch, _compiler(), _certificates()[1])

    def build(self, request: BuildRequest) -> Artifacts:
        name = pin_name(request.project)

        def make(folder: Path) -> None:
            program = folder / "program"
            self._make_program(request, folder / "module", program)
            request.stage.progress("packaging")
            path = f"/{_program_name(self.module, self.package)}"
            config = ImageConfig(
                arch=request.arch,
                entrypoint=[path, *self.arguments],
                env=self.env,
                user=self.user,
                ports=self.ports,
                labels={
                    "org.opencontainers.image.version": request.ref.version,
                    "org.opencontainers.image.revision": request.ref.commit,
                },
            )
            write(folder / self.image, [File(path, program, 0o755), File(_CERTIFICATES, _certificates()[0])], config)
            program.unlink()

        key = self.fingerprint(request.project, request.ref, request.arch)
        pins, cached = cache.pinned(
            request.stage, request.registry, key, {name: self.image}, image_tag(request.ref.version), make
        )
        return Artifacts(request.project.name, request.ref, request.arch, pins, cached=cached)

    def _release_of(self, version: str) -> str:
        pattern, release = self.release
        found = re.fullmatch(pattern, version)
        return found.expand(release) if found else version

    def _ldflags(self, ref: Ref) -> str:
        number = self._release_of(ref.version).removeprefix("v")
        return f"-s -w {self.ldflags.format(version=ref.version, number=number, commit=ref.commit)}".strip()

    def _make_program(self, request: BuildRequest, directory: Path, program: Path) -> None:
        stage, version, arch = request.stage, request.ref.version, request.arch
        directory.mkdir()
        with classed(self.module):
            package = prepare(
                stage,
                directory,
                self.module,
                version,
                self.package,
                arch,
                tags=self.tags,
                generated=self.generated,
                requires=self.requires,
            )
            _compile(stage, directory, package, program, arch, self._ldflags(request.ref), self.tags)
        shutil.rmtree(directory)


@dataclass(frozen=True, kw_only=True)
class GoProgram:
    """A Go program in a directory, with a go.mod and go.sum of its own, in an image from scratch.

    An e2e container, or a project whose plugin lies in its own repository: then the checkout is what is tested.
    """

    directory: Path
    image: str  #: repository path in the run's registry, e.g. ``coredns/e2e``

    def resolve(self, project: Project, ref: str) -> Ref:
        """The source is what lies in the directory, whatever the ref: a commit, where git sees no change since."""
        if commit := resolve.checked_out(self.directory):
            return Ref(ref, commit[:12], commit, resolve.page(project.repository_url, commit), note="the checkout")
        return Ref(ref, self._version(), note="no commit: the source as it lies here")

    def fingerprint(self, project: Project, ref: Ref, arch: str) -> str:
        return self._fingerprint(arch)

    def build(self, request: BuildRequest) -> Artifacts:
        pin, cached = self.publish(request.stage, request.registry, request.arch, pin_name(request.project))
        return Artifacts(request.project.name, request.ref, request.arch, (pin,), cached=cached)

    def publish(self, stage: StageContext, registry: str, arch: str, name: str) -> tuple[Pin, bool]:
        """Build and push outside of a project's Build; the pin is called ``name``. True: it was built before.

        :raises StageError: it does not compile, or cannot be pushed.
        """

        def make(folder: Path) -> None:
            self.write(stage, folder, arch)

        pins, cached = cache.pinned(
            stage, registry, self._fingerprint(arch), {name: self.image}, image_tag(self._version()), make
        )
        return pins[0], cached

    def write(self, stage: StageContext, folder: Path, arch: str, beside: Mapping[str, Path] | None = None) -> None:
        """Build the image's layout in ``folder``, with other programs beside this one."""
        program = folder / "program"
        with classed(str(self.directory)):
            # Not in turn with modules' builds: it has little in common with them, and takes seconds, not minutes.
            go_build(stage, self.directory, ".", program, arch=arch, ldflags="-s -w")
        files = [File("/program", program, 0o755), File(_CERTIFICATES, _certificates()[0])]
        files += [File(path, source, 0o755) for path, source in (beside or {}).items()]
        write(folder / self.image, files, ImageConfig(arch=arch, entrypoint=["/program"]))
        program.unlink()

    def _fingerprint(self, arch: str) -> str:
        return cache.fingerprint(
            "go program", self.image, _source_hash(self.directory), arch, _compiler(), _certificates()[1]
        )

    def _version(self) -> str:
        return f"src-{_source_hash(self.directory)[:12]}"


def _compile(
    stage: StageContext, directory: Path, package: str, program: Path, arch: str, ldflags: str, tags: str = ""
) -> None:
    with one_at_a_time(stage):
        go_build(stage, directory, package, program, arch=arch, ldflags=ldflags, tags=tags)


@contextmanager
def one_at_a_time(stage: StageContext) -> Iterator[None]:
    """Hold the lock of Go builds, over all runs of this user.

    Two builds share most of their packages through Go's build cache, and one of them keeps every core busy: side by
    side they would compile the same packages twice.
    """
    path = paths.cache("builds", "go.lock")
    with held(path, stage, "another Go build"):
        yield


def _program_name(module: str, package: str) -> str:
    """What `go install` would call it: the last element of the path that is not a major version (v2)."""
    parts = PurePosixPath(module, package).parts
    return parts[-2] if re.fullmatch(r"v\d+", parts[-1]) and len(parts) > 1 else parts[-1]


@functools.cache
def _compiler() -> str:
    """The compiler and its settings, as far as they change what it makes."""
    settings = ["GOVERSION", "GOFLAGS", "GOAMD64", "GOARM64", "GOEXPERIMENT"]
    return subprocess.run(
        [str(tool("go")), "env", *settings], cwd="/", capture_output=True, text=True, check=True, timeout=60
    ).stdout


@functools.cache
def _certificates() -> tuple[bytes, str]:
    """The CA certificates that go into images, and their hash. Mozilla's, so that every host makes the same image."""
    import certifi

    content = Path(certifi.where()).read_bytes()
    return content, hashlib.sha256(content).hexdigest()


def _source_hash(directory: Path) -> str:
    """A hash of every file of a program's directory, by name and content; what a run writes there is no source.

    :raises StageError: (class configuration) there is no Go module.
    """
    if not (directory / "go.mod").is_file():
        raise StageError(f"no go.mod in {directory}", error_class=ErrorClass.CONFIGURATION)
    total = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory)
        written = name.parts[:2] in _WRITTEN or "__pycache__" in name.parts
        if path.is_file() and not written and not any(part.startswith(".") for part in name.parts):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            total.update(f"{digest}  {name.as_posix()}\n".encode())
    return total.hexdigest()
