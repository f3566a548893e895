"""CoreDNS (https://coredns.io): a DNS server that answers for a cluster's Services."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_crosscloud import hookimpl
from pytest_crosscloud.build.go import GoBuild, GoProgram
from pytest_crosscloud.model import E2E, Project

if TYPE_CHECKING:
    from pytest_crosscloud.model import E2ERequest, E2EResult

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
                # What the chart's values say.
                env={
                    "HOSTS_RECORDS": "example.crosscloud.test=192.0.2.10,www.example.crosscloud.test=192.0.2.11",
                    "MANY_RECORDS": "many.example.crosscloud.test=60",
                    "STUB_ZONE": "stub.crosscloud.test",
                    "HEADLESS_PODS": "2",
                },
                timeout=180,
            ),
        )
    ]


@hookimpl
def crosscloud_e2e(request: E2ERequest) -> E2EResult | None:
    """While it is tested, a release is the DNS of its cluster, if no other is.

    Clusters are made without one, and only one Service can have the address that kubelet tells pods. So the releases
    of a cluster take turns.
    """
    if request.project.name != "coredns" or request.project.e2e is None:
        return None
    # Late: they bring the Kubernetes library, and every process loads plugins.
    from pytest_crosscloud.deploy import e2e

    from .turns import cluster_dns

    with cluster_dns(request) as environment:
        container = replace(request.project.e2e, env={**request.project.e2e.env, **environment})
        return e2e.run(replace(request, project=replace(request.project, e2e=container)))
