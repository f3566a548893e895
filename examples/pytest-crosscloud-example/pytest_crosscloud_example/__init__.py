"""A third party's plugin: a cloud called lab and a project called httpbin."""

from __future__ import annotations

from pathlib import Path

from pytest_crosscloud import hookimpl
from pytest_crosscloud.build.go import GoBuild
from pytest_crosscloud.model import Cloud, Credential, Project

from .lab import VARIABLE, LabCloud


@hookimpl
def crosscloud_clouds() -> list[Cloud]:
    return [
        LabCloud(
            name="lab",
            display_name="Lab",
            credentials=(Credential(VARIABLE, "path of the lab cluster's kubeconfig"),),
            provides_cluster=False,
            is_elsewhere=True,  # nobody has told its nodes of the registry that a run starts here
        )
    ]


@hookimpl
def crosscloud_projects() -> list[Project]:
    return [
        Project(
            name="httpbin",
            display_name="go-httpbin",
            sub_title="HTTP request echo",
            repository_url="https://github.com/mccutchen/go-httpbin",
            build=GoBuild(
                module="github.com/mccutchen/go-httpbin/v2",
                package="./cmd/go-httpbin",
                image="mccutchen/go-httpbin",
                user="65532:65532",
                ports=("8080/tcp",),
            ),
            chart=str(Path(__file__).parent / "chart"),
        )
    ]
