"""What a test of a target needs and makes."""

from __future__ import annotations

from pytest_crosscloud.model import BuildTarget, Cell, ClusterTarget
from pytest_crosscloud.run.graph import Stages
from pytest_crosscloud.run.targets import stages

BUILD = BuildTarget("demo", "stable", "amd64", "demo-stable")
OWN = BuildTarget("orchestra", "stable", "amd64", "orchestra-stable")
FOUND = ClusterTarget("there", "stable", "amd64", "there")
MADE = ClusterTarget("here", "stable", "amd64", "here", made_of="orchestra-stable")


def test_a_cell_needs_its_build_and_its_cluster() -> None:
    made = ("deploy c", "e2e c")
    assert stages(Cell(BUILD, FOUND, "c")) == Stages(("build demo-stable", "provision there"), made)
    assert stages(FOUND) == Stages((), ("provision there",))
    assert stages(BUILD) == Stages((), ("build demo-stable",))


def test_a_cluster_that_is_made_of_a_build_needs_that() -> None:
    made = ("deploy c", "e2e c")
    assert stages(MADE) == Stages(("build orchestra-stable",), ("provision here",))
    assert stages(Cell(BUILD, MADE, "c")) == Stages(
        ("build demo-stable", "build orchestra-stable", "provision here"), made
    )
    assert stages(Cell(OWN, MADE, "c")) == Stages(("build orchestra-stable", "provision here"), made)
