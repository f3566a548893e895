"""CoreDNS (https://coredns.io): a DNS server that answers for a cluster's Services."""

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
            name="coredns",
            display_name="CoreDNS",
            sub_title="Service Discovery",
            order=20,
            project_url="https://coredns.io",
            repository_url="https://github.com/coredns/coredns",
            cncf_relation="Graduated",
            stable_ref="v1.14.7",
            head_ref="master",
            arch=("amd64", "arm64"),
            build=GoBuild(
                module="github.com/coredns/coredns",
                image="coredns/coredns",
                ldflags="-X github.com/coredns/coredns/coremain.GitCommit={commit}",
                ports=("53/udp", "53/tcp", "9153/tcp"),
            ),
            chart="coredns",
            e2e=E2E(
                build=GoProgram(directory=_HERE / "e2e", image="coredns/e2e"),
                # What the chart's values put into the hosts zone.
                env={"HOSTS_RECORDS": "example.crosscloud.test=192.0.2.10,www.example.crosscloud.test=192.0.2.11"},
                timeout=180,
            ),
        )
    ]
