"""Linkerd (https://linkerd.io): a service mesh. Here is its destination controller, as its own CI made it."""

from __future__ import annotations

from pathlib import Path

from pytest_crosscloud import hookimpl
from pytest_crosscloud.build.go import GoProgram
from pytest_crosscloud.build.upstream import UpstreamBuild
from pytest_crosscloud.model import E2E, Project

_HERE = Path(__file__).resolve().parent


@hookimpl
def crosscloud_projects() -> list[Project]:
    return [
        Project(
            name="linkerd",
            display_name="Linkerd",
            sub_title="Service Mesh",
            order=50,
            project_url="https://linkerd.io",
            repository_url="https://github.com/linkerd/linkerd2",
            cncf_relation="Graduated",
            # Since 2.15 the project publishes edge releases alone, edge-YEAR.MONTH.NUMBER, and calls none stable.
            stable_ref="edge-26.9.3",
            release_tags=r"edge-(\d+)\.(\d+)\.(\d+)",
            arch=("amd64", "arm64"),
            build=UpstreamBuild(images={"LINKERD": "cr.l5d.io/linkerd/controller"}, head=""),
            chart="linkerd",
            e2e=E2E(build=GoProgram(directory=_HERE / "e2e", image="linkerd/e2e"), timeout=180),
        )
    ]
