"""Tally as a project of pytest-crosscloud: this one file, the chart and e2e/ are all that it takes."""

from __future__ import annotations

from pathlib import Path

from pytest_crosscloud import hookimpl
from pytest_crosscloud.build.go import GoProgram
from pytest_crosscloud.model import E2E, Project

_HERE = Path(__file__).resolve().parent


@hookimpl
def crosscloud_projects() -> list[Project]:
    return [
        Project(
            name="tally",
            display_name="Tally",
            sub_title="Vote counter",
            repository_url="https://github.com/tally-example/tally",
            # What lies here is built: on a pull request, its commit.
            build=GoProgram(directory=_HERE, image="tally/tally"),
            chart=str(_HERE / "chart"),
            e2e=E2E(build=GoProgram(directory=_HERE / "e2e", image="tally/e2e"), timeout=60),
        )
    ]
