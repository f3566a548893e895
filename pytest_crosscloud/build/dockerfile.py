"""A project's own Dockerfile, built at a commit of its git repository by whichever container engine is here."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import StageError
from ..model import Artifacts, BuildRequest, ErrorClass, Project, Ref
from ..stage import StageContext
from . import cache, resolve
from .faults import classed
from .names import image_tag, pin_name

#: In the order of preference: the first two need no daemon.
ENGINES = ("buildah", "podman", "docker")

#: Seconds to remove what a build left, beyond the stage's own.
_CLEANING = 30.0

#: How the engines announce a step: ``[1/2] STEP 3/7: RUN make`` and ``#9 [build 3/7] RUN make``.
_STEP = re.compile(r"(?:\[\d+/\d+\] )?(?:STEP |#\d+ \[(?:\S+ )?)(\d+)/(\d+)[:\]] (.*)")


@dataclass(frozen=True, kw_only=True)
class DockerfileBuild:
    """An image from a Dockerfile in a git repository.

    Base images are those of the first build of a commit: it is not built again when they change.
    """

    repository: str  #: what git clones
    image: str  #: repository path in the run's registry
    dockerfile: str = "Dockerfile"  #: relative to the repository
    context: str = "."  #: relative to the repository
    target: str = ""  #: stage of the Dockerfile; empty: the last
    arguments: Mapping[str, str] = field(default_factory=dict)  #: ``--build-arg``

    def resolve(self, project: Project, ref: str) -> Ref:
        return resolve.git(self.repository, project, ref)

    def fingerprint(self, project: Project, ref: Ref, arch: str) -> str:
        inputs = [self.repository, ref.commit, self.dockerfile, self.context, self.target, dict(self.arguments)]
        return cache.fingerprint("dockerfile", self.image, *inputs, arch)

    def build(self, request: BuildRequest) -> Artifacts:
        def make(folder: Path) -> None:
            engine = _engine()
            source = folder / "source"
            with classed(self.repository):
                self._fetch(request.stage, request.ref, source)
                with _storage(request.stage, engine, folder / "storage") as command:
                    self._build(request, command, source, folder / self.image)
            shutil.rmtree(source)

        project, ref = request.project, request.ref
        key = self.fingerprint(project, ref, request.arch)
        images = {pin_name(project): self.image}
        pins, cached = cache.pinned(request.stage, request.registry, key, images, image_tag(ref.version), make)
        return Artifacts(project.name, ref, request.arch, pins, cached=cached)

    def _fetch(self, stage: StageContext, ref: Ref, source: Path) -> None:
        """Check out one commit, without the history before it."""
        stage.progress(f"fetching {self.repository} {ref.version}")
        env = {"GIT_TERMINAL_PROMPT": "0"}
        stage.command(["git", "init", "--quiet", str(source)], env=env)
        for step in (
            ["fetch", "--quiet", "--depth", "1", self.repository, ref.commit],
            ["checkout", "--quiet", "FETCH_HEAD"],
            ["submodule", "update", "--quiet", "--init", "--recursive", "--depth", "1"],
        ):
            stage.command(["git", *step], cwd=source, env=env)

    def _build(self, request: BuildRequest, engine: list[str], source: Path, layout: Path) -> None:
        stage = request.stage
        name = f"localhost/crosscloud-{request.stage.run}:{cache.fingerprint(self.image, request.ref.commit)[:12]}"
        command = [*engine, "build", "--tag", name, "--platform", f"linux/{request.arch}"]
        command += ["--file", str(source / self.dockerfile)]
        command += ["--target", self.target] if self.target else []
        command += [word for item in self.arguments.items() for word in ("--build-arg", "=".join(item))]
        # Without namespaces of its own a build runs in containers too, where CI often is. Attestations would
        # make docker save an index of two images.
        env = {
            "BUILDAH_ISOLATION": os.environ.get("BUILDAH_ISOLATION", "chroot"),
            "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
        }

        def step(line: str) -> None:
            if found := _STEP.match(line):
                stage.progress(f"step {found[1]} of {found[2]}: {found[3]}")

        stage.progress(f"building with {engine[0]}")
        try:
            stage.command([*command, str(source / self.context)], env=env, on_line=step, error_class=ErrorClass.PRODUCT)
            stage.progress("packaging")
            layout.parent.mkdir(parents=True, exist_ok=True)
            if engine[0] == "docker":
                _docker_layout(stage, name, layout)
            else:
                stage.command([*engine, "push", name, f"oci:{layout}"])
        finally:
            if engine[0] == "docker":
                _clean(stage, [*engine, "rmi", name])


@contextmanager
def _storage(stage: StageContext, engine: str, directory: Path) -> Iterator[list[str]]:
    """The engine's command, with images and containers in ``directory``, where it can be told where to keep them.

    There they are of this build alone, and go with it; what a killed build left goes with the folder around it.
    Docker's are its daemon's.
    """
    if engine == "docker":
        yield [engine]
        return
    command = [engine, "--root", str(directory / "root"), "--runroot", str(directory / "run")]
    try:
        yield command
    finally:
        # The engine knows what is mounted in there, and whose the files are.
        _clean(stage, [*command, "rmi", "--all", "--force"])
        shutil.rmtree(directory, ignore_errors=True)


def _clean(stage: StageContext, command: list[str]) -> None:
    """Remove what a build left. The stage's own time may be over, and a failure here must not hide what came before."""
    with suppress(StageError):
        replace(stage, deadline=time.monotonic() + _CLEANING).command(command, check=False)


def _engine() -> str:
    for engine in ENGINES:
        if shutil.which(engine):
            return engine
    raise StageError(
        "none of buildah, podman and docker is installed",
        remedy="apt-get install buildah",
        error_class=ErrorClass.CONFIGURATION,
    )


def _docker_layout(stage: StageContext, name: str, layout: Path) -> None:
    """What docker saves is an OCI layout in a tar file, since version 25."""
    archive = layout.with_suffix(".tar")
    stage.command(["docker", "save", "--output", str(archive), name])
    with tarfile.open(archive) as tar:
        tar.extractall(layout, filter="data")
    archive.unlink()
    if not (layout / "oci-layout").exists():
        raise StageError("this docker is too old", remedy="version 25 or newer, or buildah: apt-get install buildah")
