"""ONAP's Service Orchestrator (https://docs.onap.org): takes orders for network services, and has them carried out.

Four of its images, taken over from ONAP's own registry, and the database that they share.
"""

from __future__ import annotations

from pathlib import Path

from pytest_crosscloud import hookimpl
from pytest_crosscloud.build.go import GoProgram
from pytest_crosscloud.build.parts import Part, Parts
from pytest_crosscloud.build.upstream import UpstreamBuild
from pytest_crosscloud.model import E2E, Project

_HERE = Path(__file__).resolve().parent
_REGISTRY = "nexus3.onap.org:10001/onap/so"


def _part(name: str) -> Part:
    """One of SO's own programs: all of them are released together."""
    image = {name.upper().replace("-", "_"): f"{_REGISTRY}/{name}"}
    return Part(build=UpstreamBuild(images=image), follows=name != "api-handler-infra", stable_ref="1.17.0")


@hookimpl
def crosscloud_projects() -> list[Project]:
    return [
        Project(
            name="onap-so",
            display_name="ONAP SO",
            sub_title="Service Orchestration",
            order=90,
            project_url="https://docs.onap.org/projects/onap-so",
            repository_url="https://github.com/onap/so",
            cncf_relation="Linux Foundation",
            stable_ref="1.17.0",
            build=Parts(
                parts={
                    **{
                        name: _part(name)
                        for name in ("api-handler-infra", "bpmn-infra", "catalog-db-adapter", "request-db-adapter")
                    },
                    "mariadb": Part(
                        build=UpstreamBuild(images={"MARIADB": "docker.io/library/mariadb"}, head="11.4"),
                        repository_url="https://github.com/MariaDB/server",
                        stable_ref="11.4",
                        # SO was made for this one: the newest MariaDB of all is never what stable means.
                        release_tags=r"(11)\.(4)(?:\.(\d+))?",
                    ),
                }
            ),
            chart="onap-so",
            timeout=1800,
            e2e=E2E(
                build=GoProgram(directory=_HERE / "e2e", image="onap-so/e2e"),
                # The user of the chart's configuration.
                env={"SO_USER": "InfraPortalClient", "SO_PASSWORD": "password1$"},
                timeout=600,
            ),
        )
    ]
