"""Prometheus (https://prometheus.io), with the Alertmanager that it tells and the node_exporter that it scrapes."""

from __future__ import annotations

from pathlib import Path

from pytest_crosscloud import hookimpl
from pytest_crosscloud.build.go import GoBuild, GoProgram
from pytest_crosscloud.build.gotests import GoTests
from pytest_crosscloud.build.parts import Part, Parts
from pytest_crosscloud.model import E2E, Project

_HERE = Path(__file__).resolve().parent

# Where all three keep what they say of themselves as *_build_info.
_VERSION = (
    "-X github.com/prometheus/common/version.Version={number} -X github.com/prometheus/common/version.Revision={commit}"
)
# Go wants /v3 in the path of a module that has v3.13.5: this one has it as v0.313.5.
_RELEASE = (r"v0\.(\d)0?(\d+)\.(.+)", r"v\1.\2.\3")

_NOBODY = "65534:65534"

# Alertmanager's web interface is made by npm when it is released, and embedded: the module has it only up to v0.28.
_NO_INTERFACE = {"ui/app/dist/index.html": "<p>This Alertmanager was built without its web interface.</p>\n"}


@hookimpl
def crosscloud_projects() -> list[Project]:
    return [
        Project(
            name="prometheus",
            display_name="Prometheus",
            sub_title="Monitoring",
            order=30,
            project_url="https://prometheus.io",
            repository_url="https://github.com/prometheus/prometheus",
            cncf_relation="Graduated",
            stable_ref="v0.313.5",  # its release 3.13.5
            head_ref="main",
            arch=("amd64", "arm64"),
            build=Parts(
                parts={
                    "prometheus": Part(
                        build=GoBuild(
                            module="github.com/prometheus/prometheus",
                            package="./cmd/prometheus",
                            image="prometheus/prometheus",
                            ldflags=_VERSION,
                            release=_RELEASE,
                            user=_NOBODY,
                            ports=("9090/tcp",),
                        )
                    ),
                    "alertmanager": Part(
                        build=GoBuild(
                            module="github.com/prometheus/alertmanager",
                            package="./cmd/alertmanager",
                            image="prometheus/alertmanager",
                            ldflags=_VERSION,
                            generated=_NO_INTERFACE,
                            user=_NOBODY,
                            ports=("9093/tcp",),
                        ),
                        repository_url="https://github.com/prometheus/alertmanager",
                        stable_ref="v0.34.2",
                        head_ref="main",
                    ),
                    "node-exporter": Part(
                        build=GoBuild(
                            module="github.com/prometheus/node_exporter",
                            image="prometheus/node-exporter",
                            ldflags=_VERSION,
                            user=_NOBODY,
                            ports=("9100/tcp",),
                        ),
                        repository_url="https://github.com/prometheus/node_exporter",
                        stable_ref="v1.12.1",
                        head_ref="master",
                    ),
                    # Ours: data that outlives a pod, on clusters that have nobody to provision volumes.
                    "keeper": Part(
                        build=GoProgram(directory=_HERE / "keeper", image="prometheus/keeper"),
                        follows=True,
                    ),
                }
            ),
            chart="prometheus",
            e2e=E2E(
                build=GoTests(
                    program=GoProgram(directory=_HERE / "e2e", image="prometheus/e2e"),
                    module="github.com/prometheus/prometheus",
                    package="./promql",
                ),
                timeout=300,
            ),
            # A TSDB has one writer: the new Prometheus starts when the old one has ended, and replays its log. By the
            # chart it has 15 s for the one, and 60 s for the other.
            upgrade_gap=75,
        )
    ]
