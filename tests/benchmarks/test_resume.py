"""A run that is killed at half and resumed runs no finished cell again: the benchmark, with 36 cells."""

from __future__ import annotations

from pathlib import Path

from benchmarks import resume
from benchmarks.measure import Bench


def test_no_finished_cell_runs_again(tmp_path: Path) -> None:
    figures = {figure.name: figure for figure in resume.take(Bench("resume", 1, tmp_path), side=6)}
    assert figures["resume-rerun"].value == 0
    assert figures["resume-finished"].value >= 18
    assert (figures["resume-rerun"].peer or {})["pytest --lf"] >= 17
