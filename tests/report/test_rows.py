"""The table's rows: order, grouping, names of versions."""

from __future__ import annotations

from dataclasses import replace

from pytest_crosscloud.model import Ref
from pytest_crosscloud.report.rows import causes, rows, short_version

from .sample import CLOUDS, PROJECTS, sample


def test_a_project_has_a_row_for_each_release_in_matrix_order() -> None:
    found = rows(sample())
    assert [(row.project.name, row.ref.name) for row in found] == [
        (project, ref) for project in PROJECTS for ref in ("stable", "head")
    ]
    assert all(list(row.cells) == list(CLOUDS) for row in found)


def test_kubernetes_and_arch_are_rows_of_their_own() -> None:
    found = rows(sample(("stable", "head"), ("amd64", "arm64")))
    first = [(row.ref.name, row.kubernetes.name, row.arch) for row in found if row.project.name == "coredns"]
    assert len(first) == len(set(first)) == 8


def test_rows_of_a_project_stay_together_whatever_the_order_of_cells() -> None:
    summary = sample()
    shuffled = replace(summary, cells=summary.cells[::-1])
    assert [row.project.name for row in rows(shuffled)[::2]] == list(PROJECTS)


def test_a_commit_is_shown_by_seven_digits_and_a_tag_whole() -> None:
    assert short_version(Ref("head", "0123456789abcdef0123456789abcdef01234567")) == "0123456"
    assert short_version(Ref("stable", "v1.14.7")) == "v1.14.7"
    assert short_version(Ref("head", "")) == "head"


def test_the_cause_of_na_is_the_stage_that_failed() -> None:
    summary = sample()
    cell = next(cell for cell in summary.cells if cell.id == "prometheus-head-aws")
    assert [result.key for result in causes(summary, cell)] == ["build prometheus-head"]
