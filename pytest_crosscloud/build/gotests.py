"""An e2e container that brings the project's own tests of the version under test."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from ..model import Artifacts, BuildRequest, ErrorClass, Project, Ref
from ..stage import StageContext
from ..toolchain.gobuild import go
from . import cache
from .faults import classed
from .go import GoProgram, one_at_a_time
from .gomodule import prepare
from .names import image_tag, pin_name

#: The flags of programs, so that what was compiled for them is not compiled again; vetting takes longer than compiling.
_AS_PROGRAMS = ("-vet=off", "-trimpath", "-ldflags=-s -w", "-gcflags=all=-dwarf=false", "-tags=")


@dataclass(frozen=True, kw_only=True)
class GoTests:
    """A Go program of this computer, and beside it the tests of a package of a Go module, at the ref that is tested.

    The tests are compiled as ``go test -c`` does, into ``/own.test``, without the files of the module: the program runs
    those that need none. What they need of the module they must embed.
    """

    program: GoProgram
    module: str  #: e.g. ``github.com/prometheus/prometheus``
    package: str  #: relative to the module: ``./promql``

    def resolve(self, project: Project, ref: str) -> Ref:
        return project.build.resolve(project, ref)

    def fingerprint(self, project: Project, ref: Ref, arch: str) -> str:
        own = self.program.fingerprint(project, ref, arch)
        return cache.fingerprint("go tests", own, self.module, self.package, ref.version)

    def build(self, request: BuildRequest) -> Artifacts:
        """:raises StageError: one of the two does not compile, or cannot be fetched."""
        stage, ref, arch = request.stage, request.ref, request.arch

        def make(folder: Path) -> None:
            tests, module = folder / "own.test", folder / "module"
            module.mkdir()
            with classed(self.module):
                package = prepare(stage, module, self.module, ref.version, self.package, arch, tests=True)
                self._compile_tests(stage, module, package, tests, arch)
            self.program.write(stage, folder, arch, beside={"/own.test": tests})
            tests.unlink()
            shutil.rmtree(module)

        key = self.fingerprint(request.project, ref, arch)
        names = {pin_name(request.project): self.program.image}
        pins, cached = cache.pinned(stage, request.registry, key, names, image_tag(ref.version), make)
        return Artifacts(request.project.name, ref, arch, pins, cached=cached)

    def _compile_tests(self, stage: StageContext, directory: Path, package: str, output: Path, arch: str) -> None:
        env = {"CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": arch}
        with one_at_a_time(stage):
            stage.progress(f"compiling the tests of {package}")
            command = ["test", "-c", *_AS_PROGRAMS, "-o", str(output), package]
            go(stage, directory, *command, env=env, error_class=ErrorClass.PRODUCT)
