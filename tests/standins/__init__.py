"""Small images that stand in for those which only their projects' own registries have, in one that can be reached.

A project with such images is another project, by name and by title, so that no report shows it as the real one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pytest_crosscloud.build.distribution import Repository
from pytest_crosscloud.build.images import File, ImageConfig, write
from pytest_crosscloud.build.parts import Parts
from pytest_crosscloud.build.upstream import UpstreamBuild
from pytest_crosscloud.model import BuildStrategy, Project
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.toolchain.gobuild import go_build

_HERE = Path(__file__).parent


def stand_in(project: Project, registry: str) -> Project:
    """The project as far as all but its images goes, which are those of another registry under the same paths."""
    return replace(
        project,
        name=f"{project.name}-stand-in",
        display_name=f"{project.title} (stand-in)",
        sub_title="not the project",
        project_url="",
        repository_url="",
        build=_of(project.build, registry),
    )


def out_of_reach(project: Project) -> Project:
    """The project with its images at a host that never is (RFC 6761), so that it is out of reach from everywhere."""
    return replace(project, name=f"{project.name}-out-of-reach", build=_of(project.build, "registry.invalid"))


def publish(project: Project, registry: str, stage: StageContext, *, fault: str = "") -> Project:
    """Build the stand-in's program, and push it as each image that the project takes over, by its stable tags.

    :param fault: what its own tests call what is wrong with it; such an image gets a tag of its own.
    :returns: the project, with ``stable`` as that image.
    """
    program = stage.directory / f"{project.name}-program"
    stage.directory.mkdir(parents=True, exist_ok=True)
    go_build(stage, _HERE / project.name, ".", program, arch="amd64", ldflags="-s -w")
    found = stand_in(project, registry)
    faulty = "-".join(["faulty", *fault.lower().split()]) if fault else ""
    if isinstance(found.build, Parts):
        tags = {name: part.stable_ref for name, part in found.build.parts.items()}
        builds = {name: part.build for name, part in found.build.parts.items()}
    else:
        tags, builds = {"": project.stable_ref}, {"": found.build}
    config = ImageConfig("amd64", ["/program"], env={"STANDIN_FAULT": fault} if fault else {})
    image = write(stage.directory / f"{project.name}-{faulty or 'image'}", [File("/program", program, 0o755)], config)
    for name, build in builds.items():
        assert isinstance(build, UpstreamBuild)
        for repository in build.images.values():
            Repository.at(registry, repository.removeprefix(f"{registry}/")).push(image, faulty or tags[name], stage)
    return replace(found, stable_ref=faulty) if faulty else found


def _of(build: BuildStrategy, registry: str) -> BuildStrategy:
    match build:
        case UpstreamBuild(images=images):
            names = {name: Repository.parse(image).name for name, image in images.items()}
            return replace(build, images={name: f"{registry}/{path}" for name, path in names.items()})
        case Parts(parts=parts):
            return Parts(parts={name: replace(part, build=_of(part.build, registry)) for name, part in parts.items()})
    raise TypeError(f"{build} takes nothing over")
