"""What the user configured: cross-cloud.yml over each project's cncfci.yml over what plugins declare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from .declared import Problem
from .errors import ConfigurationError
from .marked_yaml import Document, Fault
from .model import BuildTarget, Cell, Cloud, ClusterTarget, Project, Ref, StageName, Upgrade
from .plugins import Plugins
from .suggest import among
from .toolchain import pins

FILE_NAME = "cross-cloud.yml"
PROJECT_FILE_NAME = "cncfci.yml"

#: Seconds, where the files say nothing. A project's deploy takes its own ``timeout``.
DEFAULT_TIMEOUTS = {StageName.BUILD: 3600.0, StageName.PROVISION: 1200.0, StageName.E2E: 900.0}

#: Seconds of the stage e2e that the container of a project with a long ``E2E.timeout`` does not get: for its image, its
#: start and what it leaves.
_AROUND_E2E = 60.0

_Spec = TypeVar("_Spec", Cloud, Project)


@dataclass(frozen=True)
class Retries:
    """How often a stage is tried as long as its failures are of class infrastructure."""

    attempts: int = 3  #: the first included
    backoff: float = 10.0  #: seconds before the second attempt, doubled before each further one


@dataclass(frozen=True)
class Config:
    """Clouds and projects after precedence, in their order, those that are not active among them."""

    plugins: Plugins
    path: Path | None  #: the cross-cloud.yml, if there is one
    clouds: Mapping[str, Cloud]
    projects: Mapping[str, Project]
    kubernetes: Mapping[str, str]  #: what ``stable`` and other names of Kubernetes versions mean
    cncf_relations: tuple[str, ...]  #: in the order of the table's groups
    deactivated: Mapping[tuple[str, str], str]  #: where ``("cloud" | "project", name)`` was made inactive
    timeouts: Mapping[StageName, float]  #: seconds; what the files say, and defaults
    provision_timeouts: Mapping[str, float]  #: seconds, by cloud
    deploy_timeouts: Mapping[str, float]  #: seconds, by project
    retries: Retries
    max_clusters: Mapping[str, int]  #: how many clusters of a run there may be at a time, by cloud
    leases: str  #: where clusters have their leases, as run/leases.py opens it; empty: in the store
    state: str  #: where Terraform keeps the states of clusters, ``s3://bucket/prefix``; empty: beside each cluster
    problems: tuple[Problem, ...]  #: the plugins', and those of the files that stop nothing

    def timeout(self, stage: str, target: BuildTarget | ClusterTarget | Cell | Upgrade) -> float:
        """Seconds that a stage of a target may take."""
        if isinstance(target, Upgrade):  # three deploys, and an e2e after each
            cell = Cell(target.before, target.cluster, target.id)
            return 3 * (self.timeout(StageName.DEPLOY, cell) + self.timeout(StageName.E2E, cell))
        stage = StageName(stage)
        if isinstance(target, Cell):
            project = self.projects[target.build.project]
            if stage == StageName.DEPLOY:
                return self.deploy_timeouts.get(project.name) or self.timeouts.get(stage) or project.timeout
            if stage == StageName.E2E and stage not in self.timeouts:
                return max(DEFAULT_TIMEOUTS[stage], project.e2e.timeout + _AROUND_E2E if project.e2e else 0)
        if stage == StageName.PROVISION and isinstance(target, ClusterTarget):
            return self.provision_timeouts.get(target.cloud, self.timeouts[stage])
        return self.timeouts[stage]

    def variables(self, cloud: str) -> Mapping[str, Any]:
        """A cloud's variables: the plugin's under the user's. ``workers`` is one: nodes beside the control plane."""
        return self.clouds[cloud].variables

    def resolve_kubernetes(self, name: str) -> Ref:
        """What a name of a Kubernetes version means: what the files say, else what ``toolchain.kubernetes`` finds.

        :raises StageError: (class configuration) no such version; (class infrastructure) nobody can be asked.
        """
        from .toolchain import kubernetes  # late: only a run that provisions needs the toolchain

        return kubernetes.resolve_kubernetes(name, self.kubernetes)


def load(path: Path | None, plugins: Plugins, rootdir: Path) -> Config:
    """Read ``path`` (None: the rootdir's cross-cloud.yml, if it has one) and each project's cncfci.yml.

    :raises ConfigurationError: a file is wrong; the message has a line for each fault.
    """
    if path is None and (rootdir / FILE_NAME).is_file():
        path = rootdir / FILE_NAME
    return _Reader(plugins).config(path)


class _Reader:
    def __init__(self, plugins: Plugins) -> None:
        self.plugins = plugins
        self.faults: list[str] = []
        self.problems: list[Problem] = list(plugins.problems)
        self.deactivated = {
            (kind, name): plugins.files[kind, name]
            for kind, specs in (("cloud", plugins.clouds), ("project", plugins.projects))
            for name, spec in specs.items()
            if not spec.active
        }

    def config(self, path: Path | None) -> Config:
        document, file = self._cross_cloud(path)
        clouds = self._merge("cloud", self.plugins.clouds, document, file.clouds if file else {})
        projects = self._merge("project", self._with_cncfci(document, file), document, file.projects if file else {})
        kubernetes = {**pins.load()["kubernetes"], **_stable(projects), **(file.kubernetes if file else {})}
        projects = {name: _with_stable(project, kubernetes) for name, project in projects.items()}
        if self.faults:
            raise ConfigurationError("\n".join(self.faults))
        given = {StageName(name): value for name, value in file.timeouts if value} if file else {}
        if limit := given.get(StageName.E2E):
            # What a project declares is a default: only the user knows how slow his clouds are.
            projects = {name: _with_e2e_timeout(project, limit) for name, project in projects.items()}
        defaults = {name: value for name, value in DEFAULT_TIMEOUTS.items() if name != StageName.E2E}
        return Config(
            plugins=self.plugins,
            path=path,
            clouds=clouds,
            projects=projects,
            kubernetes=kubernetes,
            cncf_relations=tuple(file.cncf_relations) if file else (),
            deactivated=self.deactivated,
            timeouts=defaults | given,
            # What a plugin says of its cloud is a default, too.
            provision_timeouts=({} if StageName.PROVISION in given else _own_timeouts(self.plugins.clouds))
            | _own_timeouts(file.clouds if file else {}),
            deploy_timeouts=_own_timeouts(file.projects if file else {}),
            retries=Retries(**file.retries.model_dump(exclude_none=True)) if file else Retries(),
            max_clusters={name: section.max_clusters for name, section in file.clouds.items() if section.max_clusters}
            if file
            else {},
            leases=(file.leases if file else None) or "",
            state=(file.state if file else None) or "",
            problems=tuple(self.problems),
        )

    # -- files ----------------------------------------------------------------------------------------------

    def _cross_cloud(self, path: Path | None) -> tuple[Document | None, Any]:
        if path is None:
            return None, None
        from . import schema

        document = self._read(path)
        return (document, self._validate(document, schema.CrossCloudFile)) if document else (None, None)

    def _read(self, path: Path) -> Document | None:
        try:
            return Document(path)
        except ConfigurationError as error:
            self.faults.append(error.message)
            return None

    def _validate(self, document: Document, kind: Any) -> Any:
        from . import schema

        value, faults = schema.read(document, kind)
        self._fault(document, *faults)
        return value

    def _fault(self, document: Document, *faults: Fault) -> None:
        self.faults += [f"{document.path}:{fault.line}:{fault.column}: {fault.message}" for fault in sorted(faults)]

    # -- precedence -----------------------------------------------------------------------------------------

    def _with_cncfci(self, document: Document | None, file: Any) -> dict[str, Project]:
        """The plugins' projects under their cncfci.yml."""
        projects = {}
        for name, project in self.plugins.projects.items():
            section = file.projects.get(name) if file else None
            repository = section.configuration_repo if section else None
            path = self._cncfci(name, document, repository)
            projects[name] = self._apply_cncfci(path, project) if path else project
        return projects

    def _cncfci(self, name: str, document: Document | None, repository: str | None) -> Path | None:
        """A project's cncfci.yml: at its configuration_repo if that is a path, or in its plugin's folder."""
        if repository and "://" not in repository:
            assert document
            folder = document.path.parent / Path(repository).expanduser()
            if (folder / PROJECT_FILE_NAME).is_file():
                return folder / PROJECT_FILE_NAME
            message = f"{folder} has no {PROJECT_FILE_NAME}"
            self._fault(document, document.fault(("projects", name, "configuration_repo"), message))
            return None
        plugin = Path(self.plugins.files["project", name])
        folder = plugin.parent if plugin.name == "__init__.py" else plugin.parent / name
        return folder / PROJECT_FILE_NAME if (folder / PROJECT_FILE_NAME).is_file() else None

    def _apply_cncfci(self, path: Path, project: Project) -> Project:
        from . import schema

        document = self._read(path)
        file = self._validate(document, schema.CncfciFile) if document else None
        return _apply(project, file.project) if file else project

    def _merge(
        self, kind: str, specs: Mapping[str, _Spec], document: Document | None, sections: Mapping[str, Any]
    ) -> dict[str, _Spec]:
        """What is declared under what cross-cloud.yml says, sorted by order."""
        merged = dict(specs)
        for name, section in sections.items():
            assert document
            at: tuple[str, str] = (f"{kind}s", name)
            if name not in merged:
                fault = document.fault(at, "", key=True)
                reason = f"no plugin declares a {kind} {name!r}{among(name, specs)}"
                self.problems.append(Problem(str(document.path), reason, fault.line))
                continue
            merged[name] = _apply(merged[name], section)
            if section.active is False:
                self.deactivated[kind, name] = document.place((*at, "active"))
            elif section.active:
                self.deactivated.pop((kind, name), None)
        return dict(sorted(merged.items(), key=lambda item: (item[1].order, item[0])))


def _own_timeouts(sections: Mapping[str, Any]) -> dict[str, float]:
    return {name: section.timeout for name, section in sections.items() if section.timeout}


def _stable(projects: Mapping[str, Project]) -> dict[str, str]:
    """What the project that is Kubernetes says of ``stable``: clusters have the same."""
    stable = [project.stable_ref for project in projects.values() if project.is_kubernetes and project.stable_ref]
    return {"stable": stable[0]} if stable else {}


def _with_stable(project: Project, kubernetes: Mapping[str, str]) -> Project:
    return replace(project, stable_ref=kubernetes["stable"]) if project.is_kubernetes else project


def _with_e2e_timeout(project: Project, seconds: float) -> Project:
    return replace(project, e2e=replace(project.e2e, timeout=seconds)) if project.e2e else project


def _apply(spec: _Spec, section: Any) -> _Spec:
    """``spec`` with what a section of a file sets."""
    known = {field.name for field in fields(Cloud if isinstance(spec, Cloud) else Project)}
    values = {name: value for name, value in section if name in known and value is not None}
    if "arch" in values:
        values["arch"] = tuple(dict.fromkeys(values["arch"]))
    if isinstance(spec, Cloud):
        workers = {} if section.workers is None else {"workers": section.workers}
        values["variables"] = {**spec.variables, **section.variables, **workers}
    return replace(spec, **values)
