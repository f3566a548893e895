"""A rootdir whose plugin declares many clouds and projects, and whose stages nobody runs."""

from __future__ import annotations

from pathlib import Path

_PLUGIN = """
from dataclasses import dataclass

from pytest_crosscloud import hookimpl
from pytest_crosscloud.model import Artifacts, Cloud, Project, Ref

@dataclass(frozen=True)
class Build:
    def resolve(self, project, ref):
        return Ref(ref, "v1.0.0")

    def fingerprint(self, project, ref, arch):
        return project.name

    def build(self, request):
        return Artifacts(request.project.name, request.ref, request.arch, ())

@hookimpl
def crosscloud_clouds():
    return [Cloud(name=f"c{{number}}") for number in range({clouds})]

@hookimpl
def crosscloud_projects():
    return [Project(name=f"p{{number}}", build=Build(), chart="none") for number in range({projects})]
"""


def write(directory: Path, *, clouds: int, projects: int) -> None:
    """Declare the clouds c0, c1, … and the projects p0, p1, …"""
    (directory / "clouds").mkdir(parents=True)
    (directory / "clouds" / "wide.py").write_text(_PLUGIN.format(clouds=clouds, projects=projects))
    (directory / "pytest.ini").write_text("[pytest]\n")


def names(letter: str, count: int) -> str:
    """As ``--clouds`` and ``--projects`` take them."""
    return ",".join(f"{letter}{number}" for number in range(count))
