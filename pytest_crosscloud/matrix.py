"""Which cells a run has: names and refs asked for → builds, clusters and cells, with their ids."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from .config import Config
from .errors import ConfigurationError
from .model import BuildTarget, Cell, Cloud, ClusterTarget, Project, Upgrade
from .suggest import among

#: The two releases of cncf.ci's table.
DEFAULT_REFS = "stable,head"

DEFAULT_KUBERNETES = "stable"

#: Characters of a ref that an id takes over; the rest becomes "-".
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_SLUG_LENGTH = 60

#: What git does not accept in a ref name (git-check-ref-format(1)), and what would be read as an option.
_NOT_A_REF = re.compile(r"^[-/]|[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|[/.]$|\.lock$")

_Spec = TypeVar("_Spec", Cloud, Project)


@dataclass(frozen=True)
class Matrix:
    """A run's cells in matrix order (project, ref, cloud, Kubernetes, arch), and the builds and clusters they need."""

    cells: tuple[Cell, ...]
    builds: tuple[BuildTarget, ...]
    clusters: tuple[ClusterTarget, ...]

    @cached_property
    def upgrades(self) -> tuple[Upgrade, ...]:
        return upgrades_of(self.cells)

    def narrow(
        self, *, over: str, projects: str | Iterable[str] | None = None, clouds: str | Iterable[str] | None = None
    ) -> list[Cell] | list[BuildTarget] | list[ClusterTarget] | list[Upgrade]:
        """The ``builds``, ``clusters``, ``cells`` or ``upgrades`` (``over``) of some projects and clouds, in order.

        What ``@pytest.mark.crosscloud`` asks for. Names outside of the matrix are no error: they are not selected.

        :param projects: a comma list or names; None is all.
        :param clouds: likewise.
        :raises ConfigurationError: ``over`` is something else.
        """
        parts = ("builds", "clusters", "cells", "upgrades")
        if over not in parts:
            raise ConfigurationError(f"over={over!r} is no part of a matrix{among(over, parts)}")
        of_projects = None if projects is None else _split(projects)
        of_clouds = None if clouds is None else _split(clouds)
        cells = [
            cell
            for cell in self.cells
            if (of_projects is None or cell.build.project in of_projects)
            and (of_clouds is None or cell.cluster.cloud in of_clouds)
        ]
        if over == "cells":
            return cells
        if over == "upgrades":
            pairs = {(cell.build.project, cell.cluster) for cell in cells}
            return [upgrade for upgrade in self.upgrades if (upgrade.before.project, upgrade.cluster) in pairs]
        if over == "builds":
            builds = {cell.build for cell in cells}
            return [build for build in self.builds if build in builds]
        clusters = {cell.cluster for cell in cells}
        return [cluster for cluster in self.clusters if cluster in clusters]


def upgrades_of(cells: Iterable[Cell]) -> tuple[Upgrade, ...]:
    """From the first ref of each project to its last one, on each cluster. None where there is but one ref."""
    pairs: dict[tuple[str, ClusterTarget], list[BuildTarget]] = {}
    for cell in cells:
        pairs.setdefault((cell.build.project, cell.cluster), []).append(cell.build)
    found = {key: builds for key, builds in pairs.items() if len(builds) > 1}
    ids = _ids([(project, cluster.id) for project, cluster in found])
    return tuple(
        Upgrade(builds[0], builds[-1], cluster, id_)
        for ((_, cluster), builds), id_ in zip(found.items(), ids, strict=True)
    )


def select(
    config: Config,
    *,
    clouds: str | None = None,
    projects: str | None = None,
    refs: str | None = None,
    kubernetes: str | None = None,
    arch: str | None = None,
) -> Matrix:
    """The matrix of what was asked for. Each argument is a comma list, or None if the option was not given.

    Without ``clouds``: all active ones; but just the default one (``Cloud.is_default``) if projects are named, since
    whoever tries a project does not mean to pay for a cluster on every cloud. Without ``projects``: all active ones.
    Without ``refs``: stable and head. Without ``arch``: the first that each cloud lists. A cloud or project that lacks
    an arch has no cell there. A project that is Kubernetes has cells on clusters of its own ref alone: a version is
    tested on that version.

    :raises ConfigurationError: a name that nobody declares, that is not active, or a selection without a cell.
    """
    if clouds is None and projects is not None:
        clouds = _default_cloud(config)
    errors: list[str] = []
    chosen_clouds = _chosen("cloud", clouds, config.clouds, config, errors)
    chosen_projects = _chosen("project", projects, config.projects, config, errors)
    ref_names = _refs("--refs", DEFAULT_REFS if refs is None else refs, errors)
    kubernetes_names = _refs("--kubernetes", DEFAULT_KUBERNETES if kubernetes is None else kubernetes, errors)
    arch_names = _archs(arch, config, errors)
    alone = [
        _no_cluster_of_its_own(project, ref_names, kubernetes_names)
        for project in chosen_projects
        if project.is_kubernetes and not set(ref_names) & set(kubernetes_names)
    ]
    if chosen_clouds and not any(cloud.provides_cluster for cloud in chosen_clouds):
        alone += [_no_cluster_of_ours(project, chosen_clouds) for project in chosen_projects if project.is_kubernetes]
    if projects is not None or len(alone) == len(chosen_projects):
        errors += alone
    if errors:
        raise _wrong(errors, config)

    cluster_keys = [
        (cloud.name, version, name)
        for cloud in chosen_clouds
        for version in kubernetes_names
        for name in arch_names or cloud.arch[:1]
        if name in cloud.arch
        and any(_has_cell(project, ref, cloud, version, name) for project in chosen_projects for ref in ref_names)
    ]
    archs = list(dict.fromkeys(name for _, _, name in cluster_keys))
    build_keys = [
        (project.name, ref, name)
        for project in chosen_projects
        for ref in ref_names
        for name in archs
        if any(
            arch == name and _has_cell(project, ref, config.clouds[cloud], version, arch)
            for cloud, version, arch in cluster_keys
        )
    ]
    if not build_keys:
        raise ConfigurationError(_no_cell(chosen_clouds, chosen_projects, arch_names), remedy="choose with --arch")
    many_versions, many_archs = len(kubernetes_names) > 1, len(archs) > 1
    builds = {key: BuildTarget(*key, id_) for key, id_ in zip(build_keys, _ids(build_keys, many_archs), strict=True)}
    kubernetes_builds = {
        (ref, arch): build.id for (name, ref, arch), build in builds.items() if config.projects[name].is_kubernetes
    }
    clusters = [
        ClusterTarget(
            *key, id_, made_of=kubernetes_builds.get(key[1:], "") if config.clouds[key[0]].takes_node_bundle else ""
        )
        for key, id_ in zip(cluster_keys, _ids(cluster_keys, many_versions, many_archs), strict=True)
    ]
    pairs = [
        (builds[project.name, ref, cluster.arch], cluster)
        for project in chosen_projects
        for ref in ref_names
        for cluster in clusters
        if _has_cell(project, ref, config.clouds[cluster.cloud], cluster.kubernetes, cluster.arch)
    ]
    cell_keys = [(build.project, build.ref, to.cloud, to.kubernetes, to.arch) for build, to in pairs]
    cell_ids = _ids(cell_keys, many_versions, many_archs)
    cells = tuple(Cell(build, cluster, id_) for (build, cluster), id_ in zip(pairs, cell_ids, strict=True))
    return Matrix(cells, tuple(builds.values()), tuple(clusters))


def _has_cell(project: Project, ref: str, cloud: Cloud, kubernetes: str, arch: str) -> bool:
    # Which version somebody else's cluster has, nobody here decides.
    is_its_own = cloud.provides_cluster and ref == kubernetes
    return arch in project.arch and (is_its_own or not project.is_kubernetes)


def chosen_clouds(config: Config, names: str | None) -> list[Cloud]:
    """The clouds of a comma list, in the configuration's order; None: all active ones.

    :raises ConfigurationError: a name that nobody declares, or that is not active.
    """
    errors: list[str] = []
    clouds = _chosen("cloud", names, config.clouds, config, errors)
    if errors:
        raise _wrong(errors, config)
    return clouds


def _wrong(errors: list[str], config: Config) -> ConfigurationError:
    # A plugin that is broken may be why a name is unknown.
    broken = [f"broken plugin: {problem}" for problem in config.plugins.problems]
    return ConfigurationError("\n".join([*errors, *broken]), remedy="crosscloud list shows what there is")


# -- what was asked for -------------------------------------------------------------------------------------


def _split(names: str | Iterable[str]) -> list[str]:
    parts = names.split(",") if isinstance(names, str) else names
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _names(option: str, text: str, errors: list[str]) -> list[str]:
    names = _split(text)
    if not names:
        errors.append(f"{option} names nothing")
    return names


def _chosen(kind: str, text: str | None, known: Mapping[str, _Spec], config: Config, errors: list[str]) -> list[_Spec]:
    """The clouds or projects of a comma list, in the configuration's order; what is wrong goes to ``errors``."""
    if text is None:
        active = [spec for spec in known.values() if spec.active]
        if not active:
            errors.append(f"there is no active {kind}")
        return active
    names = _names(f"--{kind}s", text, errors)
    for name in names:
        if name not in known:
            errors.append(f"unknown {kind} {name!r}{among(name, known)}")
            reason = f"no plugin declares a {kind} {name!r}"
            errors += [f"  {problem}" for problem in config.problems if problem.reason.startswith(reason)]
        elif not known[name].active:
            errors.append(
                f"{kind} {name!r} is not active; remove it from --{kind}s,"
                f" or set {kind}s.{name}.active to true: {config.deactivated[kind, name]} says it is not"
            )
    return [spec for name, spec in known.items() if name in names]


def _default_cloud(config: Config) -> str:
    for name, cloud in config.clouds.items():
        if cloud.is_default:
            return name
    raise ConfigurationError("no cloud is the default", remedy="name some with --clouds; crosscloud list shows them")


def _refs(option: str, text: str, errors: list[str]) -> list[str]:
    names = _names(option, text, errors)
    errors += [f"{option}: {name!r} is not a tag, branch or commit" for name in names if _NOT_A_REF.search(name)]
    return names


def _archs(text: str | None, config: Config, errors: list[str]) -> list[str]:
    if text is None:
        return []
    names = _names("--arch", text, errors)
    of_clouds = (arch for cloud in config.clouds.values() for arch in cloud.arch)
    of_projects = (arch for project in config.projects.values() for arch in project.arch)
    known = list(dict.fromkeys((*of_clouds, *of_projects)))
    errors += [f"unknown arch {name!r}{among(name, known)}" for name in names if name not in known]
    return names


def _no_cluster_of_its_own(project: Project, refs: Iterable[str], kubernetes: Iterable[str]) -> str:
    return (
        f"project {project.name} has no cell: it is tested on clusters of its own ref, and"
        f" --refs={','.join(refs)} has none of --kubernetes={','.join(kubernetes)}"
    )


def _no_cluster_of_ours(project: Project, clouds: Iterable[Cloud]) -> str:
    names = ", ".join(cloud.name for cloud in clouds)
    return f"project {project.name} has no cell on {names}: a version is tested on clusters that the run makes of it"


def _no_cell(clouds: Iterable[Cloud], projects: Iterable[Project], archs: Iterable[str]) -> str:
    asked = f" with --arch={','.join(archs)}" if archs else ""
    has = [f"cloud {cloud.name} has {'/'.join(cloud.arch)}" for cloud in clouds]
    has += [f"project {project.name} has {'/'.join(project.arch)}" for project in projects]
    return f"no project has an arch of a cloud{asked}: {', '.join(has)}"


# -- ids ----------------------------------------------------------------------------------------------------


def _ids(keys: Sequence[tuple[str, ...]], *shown: bool) -> list[str]:
    """A unique, file-name safe id for each key: its parts joined with "-", the last ones only where ``shown``.

    Keys whose parts would make the same id (a-b + c, a + b-c, feature/x and feature-x) get a hash of the key.
    """
    hidden = {len(keys[0]) - len(shown) + number for number, show in enumerate(shown) if not show} if keys else set()
    slugs = {part: _slug(part) for part in {part for key in keys for part in key}}
    plain = ["-".join(slugs[part] for number, part in enumerate(key) if number not in hidden) for key in keys]
    taken = Counter(plain)
    if len(taken) == len(keys):
        return plain
    return [id_ if taken[id_] == 1 else f"{id_}-{_digest(*key)}" for id_, key in zip(plain, keys, strict=True)]


def _slug(part: str) -> str:
    slug = _UNSAFE.sub("-", part).strip("-.")
    if slug and len(slug) <= _SLUG_LENGTH:
        return slug
    return f"{slug[:_SLUG_LENGTH]}-{_digest(part)}".lstrip("-")


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:10]
