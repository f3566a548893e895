"""Every bundled project keeps the contract that third parties' projects keep, by the same tests."""

from __future__ import annotations

from pathlib import Path

from pytest_crosscloud import plugins
from pytest_crosscloud.testing import ProjectContract

for _name, _project in plugins.load(Path(__file__).parent).projects.items():
    _class = f"Test{_name.title().replace('-', '')}"
    globals()[_class] = type(_class, (ProjectContract,), {"project": _project, "__module__": __name__})


def test_there_are_projects() -> None:
    assert "TestCoredns" in globals(), "else this file tests nothing"
