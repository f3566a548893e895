"""``--rollback``: a run that builds nothing. It installs and tests what an earlier green cell had, by digest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .. import matrix as matrices
from ..build import cache
from ..errors import ConfigurationError, CrosscloudError, StageError
from ..model import (
    Artifacts,
    BuildRequest,
    Cell,
    ErrorClass,
    Pin,
    Project,
    Ref,
    StageName,
    Status,
    stage_key,
)
from ..suggest import among
from .plan import Plan, summarize
from .store import RunRecord, Store

if TYPE_CHECKING:
    from ..config import Config
    from ..matrix import Matrix
    from .summary import RunSummary

#: What asks for the newest run with a green cell.
LAST_SUCCESS = "last-success"

#: The ref of such a run's build, in its ids.
REF = "rollback"

#: Cells that are named where none is green.
_SHOWN = 5


@dataclass(frozen=True)
class Green:
    """A green cell of a run, and what it had deployed."""

    run: str
    cell: Cell
    artifacts: Artifacts
    kubernetes: Ref

    @property
    def name(self) -> str:
        """What ``--rollback`` takes: this cell, whatever becomes green meanwhile."""
        return f"{self.run}:{self.cell.id}"

    @property
    def ref(self) -> Ref:
        """What the run shows."""
        was = self.artifacts.ref
        return replace(was, name=REF, note=f"rollback to {was.version} (run {self.run}, {self.cell.id})")


def find(store: Store, wanted: str, project: str, cloud: str, *, ref: str = "", kubernetes: str = "") -> Green:
    """The green cell of a project on a cloud to go back to.

    Of several in one run the first in matrix order: stable before head.

    :param wanted: ``last-success``, a run's id or its beginning, or ``RUN:CELL``.
    :param ref: as that run was asked for it, or its version; empty: any.
    :param kubernetes: likewise.
    :raises ConfigurationError: there is none; the message says what there is.
    """
    run, _, cell_id = wanted.partition(":")
    runs = [found for found in reversed(store.runs()) if run == LAST_SUCCESS or found.id.startswith(run)]
    if run != LAST_SUCCESS and not runs:
        raise ConfigurationError(f"there is no run {run!r}", remedy="crosscloud report --list shows the runs")
    if run != LAST_SUCCESS and len(runs) > 1 and run not in {found.id for found in runs}:
        raise ConfigurationError(f"{run!r} is the beginning of {', '.join(found.id for found in runs)}")
    seen: list[str] = []
    names: dict[str, dict[str, None]] = {"project": {}, "cloud": {}}
    for record in runs:
        if (summary := _summary(store, record)) is None:
            continue
        names["project"].update(dict.fromkeys(cell.build.project for cell in summary.cells))
        names["cloud"].update(dict.fromkeys(cell.cluster.cloud for cell in summary.cells))
        for cell in _cells(summary, project, cloud, ref, kubernetes):
            if cell_id and cell.id != cell_id:
                continue
            status = summary.cell_status(cell)
            build = summary.results.get(stage_key(StageName.BUILD, cell.build.id))
            if status == Status.SUCCESS and build:
                kubernetes_ref = summary.kubernetes[cell.cluster.kubernetes]
                return Green(record.id, cell, Artifacts.from_json(build.data), kubernetes_ref)
            seen.append(f"run {record.id}, {cell.id}: {status}")
    for kind, name in (("project", project), ("cloud", cloud)):
        if names[kind] and name not in names[kind]:
            raise ConfigurationError(
                f"no run had a {kind} {name!r}{among(name, names[kind])}",
                remedy="crosscloud report --list shows the runs",
            )
    what = f"{project} {ref}".strip() + f" on {cloud}" + (f" with Kubernetes {kubernetes}" if kubernetes else "")
    there = seen[:_SHOWN] + ([f"and {len(seen) - _SHOWN} more"] if len(seen) > _SHOWN else [])
    where = "" if run == LAST_SUCCESS else f" in run {runs[0].id}"
    raise ConfigurationError(
        f"no cell of {what} was green{where}; there is: {'; '.join(there) or 'none of it at all'}",
        remedy="crosscloud report --list shows the runs",
    )


def _summary(store: Store, record: RunRecord) -> RunSummary | None:
    """None: an earlier version recorded it, in another form."""
    try:
        return summarize(store, record, Plan.from_json(store.plan(record.id)))
    except (CrosscloudError, LookupError, TypeError):
        return None


def _cells(summary: RunSummary, project: str, cloud: str, ref: str, kubernetes: str) -> Iterator[Cell]:
    for cell in summary.cells:
        if cell.build.project == project and cell.cluster.cloud == cloud:
            refs = {cell.build.ref, summary.refs[cell.build.id].version, ""}
            versions = {cell.cluster.kubernetes, summary.kubernetes[cell.cluster.kubernetes].version, ""}
            if ref in refs and kubernetes in versions:
                yield cell


def prepare(green: Green, config: Config, kubernetes: str | None) -> tuple[Config, Matrix]:
    """The configuration in which the project's Build takes the cell's images, and the cell on its cloud.

    Chart, values and timeouts are the project's of today: a run records pins, not charts.
    """
    project = config.projects[green.cell.build.project]
    pins, tests = green.artifacts.pins, green.artifacts.e2e
    e2e = replace(project.e2e, build=Pinned(green, (tests,))) if project.e2e and tests else None
    project = replace(project, build=Pinned(green, pins), e2e=e2e)
    version = green.kubernetes.version
    # It was there for that run: nobody need be asked whether there is such a version.
    known = {version: version, **config.kubernetes}
    config = replace(config, projects={**config.projects, project.name: project}, kubernetes=known)
    matrix = matrices.select(
        config,
        clouds=green.cell.cluster.cloud,
        projects=project.name,
        refs=REF,
        kubernetes=kubernetes or version,
        arch=green.cell.build.arch,
    )
    return config, matrix


@dataclass(frozen=True)
class Pinned:
    """A build strategy that builds nothing: images of an earlier run, where this one's nodes can pull them from."""

    green: Green
    pins: Sequence[Pin]

    def resolve(self, project: Project, ref: str) -> Ref:
        return self.green.ref

    def fingerprint(self, project: Project, ref: Ref, arch: str) -> str:
        return cache.fingerprint("pinned", [pin.digest for pin in self.pins])

    def build(self, request: BuildRequest) -> Artifacts:
        pins = tuple(self._found(pin, request) for pin in self.pins)
        return Artifacts(request.project.name, request.ref, request.arch, pins, cached=True)

    def _found(self, pin: Pin, request: BuildRequest) -> Pin:
        """:raises StageError: (class configuration) the image is gone."""
        from ..build.distribution import Repository, is_inside

        then = Repository.parse(pin.image)
        # A run's own registry ended with the run, and left its images to the next one's.
        repository = Repository.at(request.registry, then.name) if is_inside(then.host) else then
        request.stage.progress(f"looking for {repository}@{pin.digest}")
        if not repository.has(pin.digest, request.stage, arch=request.arch):
            version = self.green.artifacts.ref.version
            raise StageError(
                f"the image {pin.reference} of run {self.green.run} is gone: {repository.host} does not have all of it",
                remedy=f"build that version again: pytest --clouds={self.green.cell.cluster.cloud} "
                f"--projects={self.green.cell.build.project} --refs={version}",
                error_class=ErrorClass.CONFIGURATION,
            )
        request.stage.write(f"{repository}@{pin.digest}: there")
        return replace(pin, image=str(repository))
