"""Dockerfiles of git repositories: a real build with buildah, and the other engines' part by stand-ins."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud.build import dockerfile
from pytest_crosscloud.build.distribution import Repository
from pytest_crosscloud.build.dockerfile import DockerfileBuild
from pytest_crosscloud.errors import DeadlineExceeded, StageError
from pytest_crosscloud.model import Artifacts, BuildRequest, Project, Ref
from pytest_crosscloud.stage import StageContext

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")

FILES = {
    "image.dockerfile": "FROM scratch AS one\nARG WHO\nLABEL who=$WHO\nCOPY hello /hello\nFROM scratch\nCOPY none /\n",
    "hello": "hello\n",
}


@pytest.fixture
def build(commit: Callable[[Mapping[str, str]], str], tmp_path: Path) -> DockerfileBuild:
    commit(FILES)
    return DockerfileBuild(
        repository=f"file://{tmp_path / 'git'}",
        image="sample/dockerfile",
        dockerfile="image.dockerfile",
        target="one",
        arguments={"WHO": "test"},
    )


@pytest.fixture
def run(stage: StageContext, registry_host: str) -> Callable[[DockerfileBuild], Artifacts]:
    def run(build: DockerfileBuild) -> Artifacts:
        project = Project(name="sample", build=build, chart="")
        return build.build(BuildRequest(project, build.resolve(project, "head"), "amd64", registry_host, stage))

    return run


@pytest.mark.root  # rootless, buildah needs subordinate ids that not every host gives
@pytest.mark.skipif(not shutil.which("buildah"), reason="buildah is not installed")
def test_buildah_builds_the_target_of_a_commit(
    build: DockerfileBuild,
    run: Callable[[DockerfileBuild], Artifacts],
    registry_host: str,
    progress: list[str],
    cache_directory: Path,
) -> None:
    artifacts = run(build)
    (pin,) = artifacts.pins
    repository = Repository(registry_host, "sample/dockerfile")
    assert repository.digest(pin.tag) == pin.digest
    assert len(repository.manifest(pin.digest)["layers"]) == 1
    assert [line for line in progress if line.startswith("step ")][-1] == "step 4 of 4: COPY hello /hello"
    assert run(build) == replace(artifacts, cached=True)
    shown = subprocess.run(["buildah", "images", "--format", "{{.Name}}"], capture_output=True, text=True, check=True)
    assert "crosscloud-test" not in shown.stdout, "it is in the storage of all"
    assert not [path for path in cache_directory.rglob("storage") if path.is_dir()]


@pytest.mark.root
@pytest.mark.skipif(not shutil.which("buildah"), reason="buildah is not installed")
def test_a_dockerfile_that_does_not_build_is_the_products_fault(
    build: DockerfileBuild, run: Callable[[DockerfileBuild], Artifacts]
) -> None:
    with pytest.raises(StageError, match="none") as caught:
        run(replace(build, target=""))
    assert caught.value.error_class == "product"


#: A container engine that writes down what it was asked, and gives out an image as podman and docker do.
ENGINE = """#!{python}
import pathlib, sys, tarfile
from pytest_crosscloud.build.images import File, ImageConfig, write

if sys.argv[1] == "--root":  # --root X --runroot Y: where this build's storage is
    assert sys.argv[3] == "--runroot"
    del sys.argv[1:5]
with open("{calls}", "a") as calls:
    print(*sys.argv[1:], file=calls)

def layout(directory):
    write(directory, [File("/a", b"a")], ImageConfig("amd64", ["/a"]))

if sys.argv[1] == "build":
    print("{step}")
    {hang}
elif sys.argv[1] == "push":
    layout(pathlib.Path(sys.argv[3].removeprefix("oci:")))
elif sys.argv[1] == "save":
    directory = pathlib.Path(sys.argv[3] + ".layout")
    layout(directory)
    {spoil}
    with tarfile.open(sys.argv[3], "w") as tar:
        tar.add(directory, ".")
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make an engine the only one on PATH; the file that is returned gets its command lines."""

    def install(name: str, step: str = "", spoil: str = "pass", hang: str = "pass") -> Path:
        monkeypatch.setattr(dockerfile, "ENGINES", (name,))
        (tmp_path / "bin").mkdir()
        program = tmp_path / "bin" / name
        calls = tmp_path / "calls"
        program.write_text(ENGINE.format(python=sys.executable, calls=calls, step=step, spoil=spoil, hang=hang))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        return calls

    return install


@pytest.mark.parametrize(
    ("name", "step"),
    [("podman", "STEP 2/3: COPY hello /hello"), ("docker", "#7 [one 2/3] COPY hello /hello")],
)
def test_other_engines_are_asked_for_the_same(
    build: DockerfileBuild,
    run: Callable[[DockerfileBuild], Artifacts],
    engine: Callable[..., Path],
    progress: list[str],
    registry_host: str,
    name: str,
    step: str,
) -> None:
    calls = engine(name, step)
    (pin,) = run(build).pins
    assert Repository(registry_host, "sample/dockerfile").digest(pin.digest) == pin.digest
    built, kept, removed = calls.read_text().splitlines()
    assert built.startswith("build --tag localhost/crosscloud-test:")
    assert " --platform linux/amd64 " in built
    assert " --target one --build-arg WHO=test " in built
    assert kept.split()[0] == ("push" if name == "podman" else "save")
    assert removed.split()[0] == "rmi"
    assert "step 2 of 3: COPY hello /hello" in progress


@pytest.mark.parametrize("name", ["podman", "docker"])
def test_a_build_that_is_too_late_is_cleaned_up_and_says_so(
    build: DockerfileBuild,
    run: Callable[[DockerfileBuild], Artifacts],
    engine: Callable[..., Path],
    stage: StageContext,
    progress: list[str],
    name: str,
) -> None:
    calls = engine(name, hang="import time; time.sleep(600)")
    stage.on_progress = lambda text: setattr(
        stage, "deadline", time.monotonic() + 1.5 if text.startswith("building") else stage.deadline
    )
    with pytest.raises(DeadlineExceeded, match=f"while building with {name}"):
        run(build)
    assert [line.split()[0] for line in calls.read_text().splitlines()] == ["build", "rmi"]


def test_a_docker_that_saves_no_layout_is_too_old(
    build: DockerfileBuild, run: Callable[[DockerfileBuild], Artifacts], engine: Callable[..., Path]
) -> None:
    engine("docker", spoil='(directory / "oci-layout").unlink()')
    with pytest.raises(StageError, match="this docker is too old") as caught:
        run(build)
    assert "version 25" in caught.value.remedy


def test_without_an_engine_the_package_is_named(
    build: DockerfileBuild, run: Callable[[DockerfileBuild], Artifacts], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dockerfile, "ENGINES", ("no-such-engine",))
    with pytest.raises(StageError, match="none of buildah, podman and docker is installed") as caught:
        run(build)
    assert "apt-get install buildah" in caught.value.remedy
    assert caught.value.error_class == "configuration"


CHANGES: list[dict[str, Any]] = [
    {"repository": "file:///other"},
    {"image": "other"},
    {"dockerfile": "Dockerfile"},
    {"context": "sub"},
    {"target": ""},
    {"arguments": {}},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_each_field_changes_the_fingerprint(build: DockerfileBuild, change: dict[str, Any]) -> None:
    project = Project(name="sample", build=build, chart="")
    ref = Ref("head", "main", "c0ffee")
    same = build.fingerprint(project, ref, "amd64")
    assert replace(build, **change).fingerprint(project, ref, "amd64") != same
    assert build.fingerprint(project, replace(ref, commit="decaf"), "amd64") != same
    assert build.fingerprint(project, ref, "arm64") != same


def test_every_field_is_in_the_list_above() -> None:
    assert {name for change in CHANGES for name in change} == set(DockerfileBuild.__dataclass_fields__)
