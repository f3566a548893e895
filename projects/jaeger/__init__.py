"""Jaeger (https://www.jaegertracing.io): the all-in-one program, which keeps traces in memory."""

from __future__ import annotations

from pathlib import Path

from pytest_crosscloud import hookimpl
from pytest_crosscloud.build.go import GoBuild, GoProgram
from pytest_crosscloud.model import E2E, Project

_HERE = Path(__file__).resolve().parent


@hookimpl
def crosscloud_projects() -> list[Project]:
    return [
        Project(
            name="jaeger",
            display_name="Jaeger",
            sub_title="Distributed Tracing",
            order=80,
            project_url="https://www.jaegertracing.io",
            repository_url="https://github.com/jaegertracing/jaeger",
            cncf_relation="Graduated",
            stable_ref="v1.76.0",
            # The last release of v1. Its branch main has had v2 alone since, which is another program.
            head_ref="v1.76.0",
            arch=("amd64", "arm64"),
            build=GoBuild(
                module="github.com/jaegertracing/jaeger",
                package="./cmd/all-in-one",
                image="jaegertracing/all-in-one",
                ldflags="-X github.com/jaegertracing/jaeger/internal/version.latestVersion={version}"
                " -X github.com/jaegertracing/jaeger/internal/version.commitSHA={commit}",
                user="65534:65534",
                ports=("4317/tcp", "4318/tcp", "14268/tcp", "14269/tcp", "16686/tcp"),
            ),
            chart="jaeger",
            e2e=E2E(
                build=GoProgram(directory=_HERE / "e2e", image="jaegertracing/e2e"),
                # What the chart's values say of sampling: for one service, and for all others (*).
                env={"SAMPLING": "crosscloud-rare=0.25,*=0.5"},
                timeout=180,
            ),
        )
    ]
