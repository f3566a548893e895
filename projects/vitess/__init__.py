"""Vitess (https://vitess.io): one MySQL database whose rows lie in several. Its image is its own CI's."""

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
            name="vitess",
            display_name="Vitess",
            sub_title="Database Clustering",
            order=70,
            project_url="https://vitess.io",
            repository_url="https://github.com/vitessio/vitess",
            cncf_relation="Graduated",
            stable_ref="v24.0.4-mysql84",
            release_tags=r"v(\d+)\.(\d+)\.(\d+)-mysql84",
            # vtgate, tablets and topology in one process, over a mysqld for each shard: for tests, by Vitess itself.
            build=UpstreamBuild(images={"VITESS": "docker.io/vitess/vttestserver"}, head="mysql84"),
            chart="vitess",
            # Two at a time would be two databases, so the old one ends before the new one starts: 30 s for the one,
            # and for the other, which makes its databases first, the 300 s of the chart's probe.
            upgrade_gap=330,
            e2e=E2E(
                build=GoProgram(directory=_HERE / "e2e", image="vitess/e2e"),
                # What the chart's values ask for.
                env={"KEYSPACE": "commerce", "SHARDS": "-80,80-"},
                timeout=300,
            ),
        )
    ]
