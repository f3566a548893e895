"""Tally keeps the contract that every project keeps. Needs no cluster."""

from pathlib import Path

from pytest_crosscloud import plugins
from pytest_crosscloud.testing import ProjectContract

_ROOT = Path(__file__).parents[1]


class TestTally(ProjectContract):
    project = plugins.load(_ROOT, [_ROOT / "conftest.py"]).projects["tally"]
