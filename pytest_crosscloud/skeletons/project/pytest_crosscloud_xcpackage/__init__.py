"""The project xctitle: what is built, how it is installed, and how it is tested."""

from __future__ import annotations

from pathlib import Path

from pytest_crosscloud import hookimpl
from pytest_crosscloud.build.go import GoBuild, GoProgram
from pytest_crosscloud.model import E2E, Project

_HERE = Path(__file__).parent


@hookimpl
def crosscloud_projects() -> list[Project]:
    return [
        Project(
            name="xcname",
            display_name="xctitle",
            sub_title="What it is for",
            # TODO: yours. This one works, to try it out. build.dockerfile builds what has a Dockerfile, build.upstream
            # takes the images that the project's own CI has pushed.
            repository_url="https://github.com/mccutchen/go-httpbin",
            build=GoBuild(
                module="github.com/mccutchen/go-httpbin/v2",
                package="./cmd/go-httpbin",
                image="xcname/xcname",
                user="65532:65532",
                ports=("8080/tcp",),
            ),
            chart=str(_HERE / "chart"),
            e2e=E2E(build=GoProgram(directory=_HERE / "e2e", image="xcname/e2e")),
        )
    ]
