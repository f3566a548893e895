"""All of one run as data: what the terminal, results.json, Allure and the page are made from."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ..model import UPGRADE, Cell, Project, Ref, StageName, StageResult, Status, TestResult, stage_key


@dataclass(frozen=True)
class ProjectInfo:
    """What reports show of a project, after configuration."""

    name: str
    display_name: str
    sub_title: str = ""
    project_url: str = ""
    repository_url: str = ""
    logo_url: str = ""
    cncf_relation: str = ""

    @classmethod
    def of(cls, project: Project) -> ProjectInfo:
        return cls(
            name=project.name,
            display_name=project.title,
            sub_title=project.sub_title,
            project_url=project.project_url,
            repository_url=project.repository_url,
            logo_url=project.logo_url,
            cncf_relation=project.cncf_relation,
        )


@dataclass(frozen=True)
class CloudInfo:
    """What reports show of a cloud, after configuration."""

    name: str
    display_name: str
    arch: str = "amd64"  #: what it takes without ``--arch``


def assigned(variables: Mapping[str, str]) -> str:
    """What a shell is told before a command, so that it has those variables that have a value."""
    return "".join(f"{name}={shlex.quote(value)} " for name, value in variables.items() if value)


def alike(kubernetes: Mapping[str, Ref]) -> Iterator[str]:
    """What to say of names of ``--kubernetes`` that mean one version today: a line for each such version."""
    names: dict[str, list[str]] = {}
    for name, ref in kubernetes.items():
        names.setdefault(ref.version, []).append(name)
    for version, same in names.items():
        if len(same) > 1:
            yield (
                f"kubernetes {', '.join(same[:-1])} and {same[-1]} are the same version, {version}: what runs on "
                "one runs on its like again. Give the names other versions under kubernetes: in cross-cloud.yml; "
                "stable: auto is the newest release of the minor before the newest"
            )


@dataclass(frozen=True)
class RunSummary:
    """One run. ``projects``, ``clouds`` and ``cells`` are in matrix order."""

    id: str
    started: float  #: seconds since the epoch
    finished: float | None  #: None while it runs; of a killed one, its last sign of life
    command: str  #: the command line that started it
    options: tuple[str, ...] = field(default=(), kw_only=True)  #: what a repetition needs too: ``--registry=…``
    #: by project, the variables of ``Project.chosen_by`` as the run found them; empty: not set
    chosen: Mapping[str, Mapping[str, str]] = field(default_factory=dict, kw_only=True)
    bundles: Mapping[str, str] = field(default_factory=dict, kw_only=True)  #: of failed cells, by id: as one types it
    projects: tuple[ProjectInfo, ...]
    clouds: tuple[CloudInfo, ...]
    cells: tuple[Cell, ...]
    refs: Mapping[str, Ref] = field(default_factory=dict)  #: of projects, by BuildTarget id
    kubernetes: Mapping[str, Ref] = field(default_factory=dict)  #: by the name asked for
    results: Mapping[str, StageResult] = field(default_factory=dict)  #: by stage key
    tests: tuple[TestResult, ...] = ()
    resumes: str = ""  #: id of the run that this one went on with
    killed: bool = False  #: its pytest was killed; what it had not done by then is cancelled

    def stages(self, cell: Cell) -> Mapping[StageName, StageResult]:
        """The four stages of a cell. One that was never reached is ``n/a``; ``cancelled`` if the run was."""
        if cell.id not in self._stages:  # every report asks, many times
            self._stages[cell.id] = self._stages_of(cell)
        return self._stages[cell.id]

    @cached_property
    def _stages(self) -> dict[str, Mapping[StageName, StageResult]]:
        return {}

    @cached_property
    def _unreached(self) -> Status:
        was_cancelled = self.killed or any(result.status == Status.CANCELLED for result in self.results.values())
        return Status.CANCELLED if was_cancelled else Status.NA

    def _stages_of(self, cell: Cell) -> Mapping[StageName, StageResult]:
        targets = {
            StageName.BUILD: cell.build.id,
            StageName.PROVISION: cell.cluster.id,
            StageName.DEPLOY: cell.id,
            StageName.E2E: cell.id,
        }
        return {
            stage: self.results.get(stage_key(stage, target)) or StageResult(stage, target, self._unreached)
            for stage, target in targets.items()
        }

    @cached_property
    def upgrades(self) -> Mapping[str, tuple[StageResult, Cell]]:
        """By target id: what became of each upgrade that began, and the cell that it ends as."""
        ends = {f"{cell.build.project}-{cell.cluster.id}": cell for cell in reversed(self.cells)}
        return {
            result.target: (result, ends[result.target])
            for result in self.results.values()
            if result.stage == UPGRADE and result.target in ends
        }

    def repeat(self, cell: Cell) -> str:
        """The command that runs this one cell again: from what failed, if it left a bundle."""
        if cell.id in self.bundles and self.cell_status(cell) in (Status.FAILED, Status.NA):
            return shlex.join(["crosscloud", "repro", self.bundles[cell.id]])
        arguments = [f"--clouds={cell.cluster.cloud}", f"--projects={cell.build.project}", f"--refs={cell.build.ref}"]
        if cell.cluster.kubernetes != "stable":
            arguments.append(f"--kubernetes={cell.cluster.kubernetes}")
        if cell.build.arch != next((cloud.arch for cloud in self.clouds if cloud.name == cell.cluster.cloud), ""):
            arguments.append(f"--arch={cell.build.arch}")
        chosen = assigned(self.chosen.get(cell.build.project, {}))
        return chosen + shlex.join(["pytest", *arguments, *self.options])

    def is_flaky(self, cell: Cell) -> bool:
        """Whether the cell is a success that it was not at first: a failed e2e passed when it was run again."""
        e2e = self.results.get(stage_key(StageName.E2E, cell.id))
        return e2e is not None and e2e.flaky and self.cell_status(cell) == Status.SUCCESS

    def is_out_of_reach(self, cell: Cell) -> bool:
        """Whether the cell never ran for want of what is not to be had from here, such as its project's registry."""
        return any(stage.is_out_of_reach for stage in self.stages(cell).values())

    def cell_status(self, cell: Cell) -> Status:
        """The cell's badge, by the rules of cncf.ci: what comes upstream decides first.

        A failed build or provision makes the deployment n/a; any failed stage makes it failed; else any
        cancelled makes it cancelled; else any running, running; success only if every stage succeeded.
        """
        stages = self.stages(cell)
        upstream = {stages[StageName.BUILD].status, stages[StageName.PROVISION].status}
        own = [stages[StageName.DEPLOY].status, stages[StageName.E2E].status]
        if upstream & {Status.FAILED, Status.NA}:
            return Status.NA
        for status in (Status.FAILED, Status.CANCELLED, Status.RUNNING):
            if status in own or status in upstream:
                return status
        if all(status == Status.SUCCESS for status in own):
            return Status.SUCCESS
        return Status.RUNNING if self.finished is None and Status.SUCCESS in own else Status.NA
