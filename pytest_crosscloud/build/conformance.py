"""The e2e container of Kubernetes: the conformance suite of the tested version, and the images that its specs run."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import StageError
from ..model import Artifacts, BuildRequest, ErrorClass, Pin, Project, Ref
from ..stage import StageContext
from ..toolchain import conformance
from ..toolchain.conformance import PORTER, Suite
from ..toolchain.gobuild import go_build
from ..toolchain.pins import host_arch
from . import cache
from .go import GoProgram
from .images import File, ImageConfig, Link, write
from .names import image_tag, pin_name

_BIN = "/usr/local/bin"
_SEARCHED = {"PATH": f"{_BIN}:/bin"}

#: Where the public images of specs are; of others nobody here has the source.
_PUBLIC = "registry.k8s.io/"

#: Users and groups that specs ask for by name.
_PASSWD = b"root:x:0:0:root:/:/bin/sh\nuser-defined-in-image:x:1000:1000::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"
_GROUP = b"root:x:0:\ngroup-defined-in-image:x:50000:user-defined-in-image\nnogroup:x:65534:\n"


@dataclass(frozen=True, kw_only=True)
class ConformanceBuild:
    """``e2e.test`` of a Kubernetes version with a runner of ours, in one image: the first pin.

    Beside it, agnhost and pause, made from that version's source, and this computer's busybox go to the run's registry,
    under the names and tags that the suite asks for. A spec that wants another image cannot run.
    """

    runner: GoProgram  #: starts the suite, and leaves its report
    folder: str = "kubernetes/conformance"  #: of the specs' images in the run's registry

    def resolve(self, project: Project, ref: str) -> Ref:
        return project.build.resolve(project, ref)

    def fingerprint(self, project: Project, ref: Ref, arch: str) -> str:
        runner = self.runner.fingerprint(project, ref, arch)
        return cache.fingerprint("conformance", self.runner.image, runner, conformance.fingerprint(ref, arch))

    def build(self, request: BuildRequest) -> Artifacts:
        project, ref, arch, stage = request.project, request.ref, request.arch, request.stage
        if arch != host_arch():
            raise StageError(
                f"the images of conformance specs can be made for {host_arch()} alone: busybox is this computer's",
                error_class=ErrorClass.CONFIGURATION,
            )
        was_there = conformance.is_kept(ref, arch)
        suite = conformance.conformance_suite(ref, arch, stage)
        key = self.fingerprint(project, ref, arch)
        container, kept = cache.pinned(
            stage,
            request.registry,
            key,
            {pin_name(project): self.runner.image},
            image_tag(ref.version),
            lambda folder: self._write_container(folder / self.runner.image, suite, arch, stage),
        )
        pins = [*container]
        for name in suite.image_names:
            pins += self._specs_image(name, suite, request)
        return Artifacts(project.name, ref, arch, tuple(pins), cached=was_there and kept)

    def _write_container(self, directory: Path, suite: Suite, arch: str, stage: StageContext) -> None:
        stage.progress("packaging the conformance suite")
        directory.mkdir(parents=True)
        runner = directory / "runner"
        go_build(stage, self.runner.directory, ".", runner, arch=arch, ldflags="-s -w")
        programs = [File(f"{_BIN}/{name}", suite.program(name), 0o755) for name in ("e2e.test", "ginkgo", "kubectl")]
        write(directory, [File("/runner", runner, 0o755), *programs], ImageConfig(arch=arch, entrypoint=["/runner"]))
        runner.unlink()

    def _specs_image(self, image: str, suite: Suite, request: BuildRequest) -> tuple[Pin, ...]:
        """Make and push one image that specs run; nothing if it is none that can be made here."""
        name, _, tag = image.rpartition(":")
        component = name.rpartition("/")[2]
        if component not in _IMAGES or not name.startswith(_PUBLIC):
            return ()
        stage, arch, path = request.stage, request.arch, f"{self.folder}/{component}"
        files, config = _IMAGES[component](suite, arch, stage)
        contents = [hashlib.sha256(_bytes(file)).hexdigest() for file in files]
        key = cache.fingerprint("conformance image", path, [file.path for file in files], contents, repr(config))

        def make(folder: Path) -> None:
            stage.progress(f"packaging {component}")
            write(folder / path, files, config)

        return cache.pinned(stage, request.registry, key, {f"CONFORMANCE_{component.upper()}": path}, tag, make)[0]


def _agnhost(suite: Suite, arch: str, stage: StageContext) -> tuple[list[File], ImageConfig]:
    """Elsewhere its base is Alpine Linux with some programs: here busybox, curl and a netcat have their places."""
    files = [
        # Not busybox's shell, which takes its own netcat before any other.
        *(file for file in _busybox(stage) if file.path != "/bin/sh"),
        *_with_libraries(_here("dash"), "/bin/sh", stage),
        *_with_libraries(_here("curl"), f"{_BIN}/curl", stage),
        File(f"{_BIN}/nc", suite.program("nc"), 0o755),
        File("/agnhost", suite.program("agnhost"), 0o755),
        File("/agnhost-2", Link("agnhost")),
        *(File(f"/{name}", suite.directory / name) for name in PORTER),
        File("/uploads/.here", b""),
    ]
    unique = {file.path: file for file in files}  # programs share libraries
    return list(unique.values()), ImageConfig(arch=arch, entrypoint=["/agnhost"], command=["pause"], env=_SEARCHED)


def _shell(suite: Suite, arch: str, stage: StageContext) -> tuple[list[File], ImageConfig]:
    return _busybox(stage), ImageConfig(arch=arch, entrypoint=[], command=["sh"], env=_SEARCHED)


def _pause(suite: Suite, arch: str, stage: StageContext) -> tuple[list[File], ImageConfig]:
    program = File("/pause", suite.program("pause"), 0o755)
    return [program], ImageConfig(arch=arch, entrypoint=["/pause"], user="65535:65535")


#: The images of specs that can be made here, by their names.
_IMAGES: dict[str, Callable[[Suite, str, StageContext], tuple[list[File], ImageConfig]]] = {
    "agnhost": _agnhost,
    "busybox": _shell,
    "pause": _pause,
}


def _busybox(stage: StageContext) -> list[File]:
    program = _here("busybox")
    applets = stage.command([str(program), "--list"]).output.split()
    return [
        *_with_libraries(program, "/bin/busybox", stage),
        *(File(f"/bin/{applet}", Link("busybox")) for applet in applets if applet != "busybox"),
        File("/etc/passwd", _PASSWD),
        File("/etc/group", _GROUP),
        File("/tmp/.here", b""),  # noqa: S108 - of the image
    ]


def _here(program: str) -> Path:
    """:raises StageError: this computer does not have it."""
    found = shutil.which(program)
    if found is None:
        raise StageError(
            f"{program} is not installed", remedy="crosscloud setup gets it", error_class=ErrorClass.CONFIGURATION
        )
    return Path(found)


def _with_libraries(program: Path, path: str, stage: StageContext) -> list[File]:
    """A program of this computer as ``path``, with the libraries that it loads where they are here."""
    listed = stage.command(["ldd", str(program)], check=False)  # fails for one that loads none
    libraries = dict.fromkeys(re.findall(r"(/\S+) \(0x", listed.output)) if listed.code == 0 else {}
    return [File(path, program, 0o755), *(File(library, Path(library), 0o755) for library in libraries)]


def _bytes(file: File) -> bytes:
    if isinstance(file.content, Path):
        return file.content.read_bytes()
    return file.content if isinstance(file.content, bytes) else file.content.target.encode()
