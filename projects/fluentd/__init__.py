"""Fluentd (https://www.fluentd.org): collects records, and passes them on. Its image is its own CI's."""

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
            name="fluentd",
            display_name="Fluentd",
            sub_title="Logging",
            order=60,
            project_url="https://www.fluentd.org",
            repository_url="https://github.com/fluent/fluentd",
            cncf_relation="Graduated",
            # A release's tag has the image's own revision at its end, which counts on for the same Fluentd.
            stable_ref="v1.19.3-debian-2.4",
            release_tags=r"v(\d+)\.(\d+)\.(\d+)-debian-(\d+)\.(\d+)",
            arch=("amd64", "arm64"),
            build=UpstreamBuild(images={"FLUENTD": "docker.io/fluent/fluentd"}, head="edge-debian"),
            chart="fluentd",
            e2e=E2E(build=GoProgram(directory=_HERE / "e2e", image="fluentd/e2e"), timeout=240),
        )
    ]
