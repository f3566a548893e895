"""The rows of the cncf.ci table, for the page and for the terminal: a project's release with its cell on each cloud."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..model import Cell, Ref, StageName, StageResult, Status
from ..run.summary import ProjectInfo, RunSummary

#: Shown in place of a success that only another run of the e2e brought.
FLAKY = "flaky"


@dataclass(frozen=True)
class Row:
    """One row. A project has one for each ref, Kubernetes ref and arch."""

    project: ProjectInfo
    ref: Ref
    kubernetes: Ref
    arch: str
    build: StageResult
    cells: Mapping[str, Cell]  #: by cloud; a cloud outside the matrix has none

    @property
    def release(self) -> str:
        """The version as the table shows it: a commit by its first seven digits."""
        return short_version(self.ref)


def rows(summary: RunSummary) -> list[Row]:
    """All rows, in matrix order, those of a project together."""
    grouped: dict[tuple[str, str, str, str], dict[str, Cell]] = {}
    for cell in summary.cells:
        key = (cell.build.project, cell.build.ref, cell.cluster.kubernetes, cell.build.arch)
        grouped.setdefault(key, {})[cell.cluster.cloud] = cell
    projects = {project.name: project for project in summary.projects}
    order = {name: position for position, name in enumerate(projects)}
    return [
        Row(
            project=projects[name],
            ref=summary.refs.get(first.build.id) or Ref(ref, ""),
            kubernetes=summary.kubernetes.get(kubernetes) or Ref(kubernetes, ""),
            arch=arch,
            build=summary.stages(first)[StageName.BUILD],
            cells=cells,
        )
        for (name, ref, kubernetes, arch), cells in sorted(grouped.items(), key=lambda item: order[item[0][0]])
        for first in [next(iter(cells.values()))]
    ]


def short_version(ref: Ref) -> str:
    version = ref.version or ref.name
    return version[:7] if re.fullmatch(r"[0-9a-f]{40}", version) else version


def badge(summary: RunSummary, cell: Cell) -> str:
    """The cell's status in the table."""
    return FLAKY if summary.is_flaky(cell) else summary.cell_status(cell)


def causes(summary: RunSummary, cell: Cell) -> list[StageResult]:
    """The stages of the cell that failed by themselves: those that a reader has to look at."""
    return [result for result in summary.stages(cell).values() if result.status == Status.FAILED]


def wanting(summary: RunSummary, cell: Cell) -> list[StageResult]:
    """The stages of the cell that are n/a by themselves: what they would take over is out of reach."""
    return [result for result in summary.stages(cell).values() if result.is_out_of_reach]
