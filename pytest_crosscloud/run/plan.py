"""What a run is to do, as data: with its results, all that reports need when its plugins are gone."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ..model import BuildTarget, Cell, ClusterTarget, Ref, StageResult, Status
from ..repro import bundle
from .store import RunRecord, Store
from .summary import CloudInfo, ProjectInfo, RunSummary

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..config import Config
    from ..matrix import Matrix

_T = TypeVar("_T")


@dataclass(frozen=True)
class Plan:
    """The matrix of a run, and what its names mean, in matrix order."""

    projects: tuple[ProjectInfo, ...] = ()
    clouds: tuple[CloudInfo, ...] = ()
    cells: tuple[Cell, ...] = ()
    #: by project, the variables of ``Project.chosen_by`` as the run found them; empty: not set
    chosen: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Config, matrix: Matrix) -> Self:
        return cls(
            projects=tuple(
                ProjectInfo.of(project)
                for project in _named(config.projects, [cell.build.project for cell in matrix.cells])
            ),
            clouds=tuple(
                CloudInfo(cloud.name, cloud.title, cloud.arch[0])
                for cloud in _named(config.clouds, [cell.cluster.cloud for cell in matrix.cells])
            ),
            cells=matrix.cells,
            chosen={
                project.name: {name: os.environ.get(name, "") for name in project.chosen_by}
                for project in _named(config.projects, [cell.build.project for cell in matrix.cells])
                if project.chosen_by
            },
        )

    @property
    def variables(self) -> dict[str, str]:
        """What chose the tests, of all projects."""
        return {name: value for chosen in self.chosen.values() for name, value in chosen.items()}

    def to_json(self) -> dict[str, Any]:
        """Builds and clusters once each, however many cells they have."""
        builds = {cell.build.id: cell.build for cell in self.cells}
        clusters = {cell.cluster.id: cell.cluster for cell in self.cells}
        return {
            "projects": [asdict(project) for project in self.projects],
            "clouds": [asdict(cloud) for cloud in self.clouds],
            "builds": [asdict(build) for build in builds.values()],
            "clusters": [asdict(cluster) for cluster in clusters.values()],
            "chosen": self.chosen,
            "cells": [(cell.build.id, cell.cluster.id, cell.id) for cell in self.cells],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        builds = {build["id"]: BuildTarget(**build) for build in data["builds"]}
        clusters = {cluster["id"]: ClusterTarget(**cluster) for cluster in data["clusters"]}
        return cls(
            projects=tuple(ProjectInfo(**project) for project in data["projects"]),
            clouds=tuple(CloudInfo(**cloud) for cloud in data["clouds"]),
            cells=tuple(Cell(builds[build], clusters[cluster], id_) for build, cluster, id_ in data["cells"]),
            chosen=data.get("chosen", {}),  # runs are older than it
        )


def summarize(store: Store, run: RunRecord, plan: Plan | None = None, *, killed: bool = False) -> RunSummary:
    """All that is known of a run now.

    :param plan: the run's own, where it is at hand.
    :param killed: its pytest is gone, and did not end it: what it left undone is cancelled.
    """
    record = run.record
    plan = plan or Plan.from_json(store.plan(run.id))
    summary = RunSummary(
        id=run.id,
        started=run.started,
        finished=run.finished,
        command=str(record["command"]),
        options=tuple(record["settings"]["repeat"]),
        chosen=plan.chosen,
        bundles=_bundles(Path(record["settings"]["out"]), Path(record["settings"]["rootdir"])),
        projects=plan.projects,
        clouds=plan.clouds,
        cells=plan.cells,
        refs={name: Ref.from_json(ref) for name, ref in record["refs"].items()},
        kubernetes={name: Ref.from_json(ref) for name, ref in record["kubernetes"].items()},
        results=store.results(run.id),
        tests=tuple(store.tests(run.id)),
        resumes=record["settings"].get("resumes", ""),
    )
    return _cut_off(summary) if killed else summary


def _cut_off(summary: RunSummary) -> RunSummary:
    """The same, for a run that nobody goes on with: it ended with its last sign of life."""
    results = summary.results.values()
    ended = [
        summary.started,
        *((result.started or 0) + result.seconds for result in results),
        *(test.ended for test in summary.tests),
    ]
    finished = min(max(ended), time.time())
    return replace(
        summary,
        killed=True,
        finished=finished,
        results={result.key: _ended(result, finished) for result in results},
    )


def _ended(result: StageResult, finished: float) -> StageResult:
    if result.status != Status.RUNNING:
        return result
    return replace(result, status=Status.CANCELLED, seconds=max(0.0, finished - (result.started or finished)))


def _bundles(out: Path, rootdir: Path) -> dict[str, str]:
    """The bundles of failed cells, by cell id: from the rootdir, where somebody would type it."""
    found = {path.parent.name: path for path in out.glob(f"cells/*/{bundle.FILE}")}
    return {
        cell: str(path.relative_to(rootdir) if path.is_relative_to(rootdir) else path) for cell, path in found.items()
    }


def _named(known: Mapping[str, _T], names: Iterable[str]) -> list[_T]:
    return [known[name] for name in dict.fromkeys(names)]
