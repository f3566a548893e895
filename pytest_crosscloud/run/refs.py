"""What every ref of a matrix is today; found out once, when the run starts, and recorded with it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ..config import Config
from ..errors import ConfigurationError, StageError
from ..matrix import Matrix
from ..model import BuildTarget, ErrorClass, Ref

#: Refs that are asked for side by side: most of it is waiting for an answer.
WORKERS = 16

#: Refs whose failure is the project's, not the command line's: nobody typed a version.
_MOVING = ("stable", "head")


@dataclass(frozen=True)
class Refs:
    """Resolved refs of the builds, by target id, and why others could not be."""

    refs: Mapping[str, Ref]
    errors: Mapping[str, StageError] = field(default_factory=dict)


def resolve(config: Config, matrix: Matrix, known: Mapping[str, Ref], kubernetes: Mapping[str, Ref]) -> Refs:
    """Ask each project's build strategy.

    :param known: by target id, those that need not be asked for.
    :param kubernetes: the clusters' versions, by name: what a ref of Kubernetes itself means, too.
    :raises ConfigurationError: a ref that was typed does not exist.
    """
    same = {build.id: kubernetes[build.ref] for build in matrix.builds if config.projects[build.project].is_kubernetes}
    known = {**known, **same}
    with ThreadPoolExecutor(WORKERS) as pool:
        answers = list(pool.map(lambda build: known.get(build.id) or _ask(config, build), matrix.builds))
    refs: dict[str, Ref] = {}
    errors: dict[str, StageError] = {}
    wrong: list[str] = []
    for build, answer in zip(matrix.builds, answers, strict=True):
        if isinstance(answer, Ref):
            refs[build.id] = answer
            continue
        refs[build.id] = Ref(build.ref, _configured(config, build))
        errors[build.id] = answer
        if answer.error_class == ErrorClass.CONFIGURATION and build.ref not in _MOVING:
            wrong.append(str(answer))
    if wrong:
        raise ConfigurationError("\n".join(dict.fromkeys(wrong)))
    return Refs(refs, errors)


def resolve_kubernetes(config: Config, matrix: Matrix, known: Mapping[str, Ref]) -> dict[str, Ref]:
    """The Kubernetes versions of the clusters, by the name asked for.

    :param known: those that need not be asked for.
    :raises ConfigurationError: there is no such version, or it cannot be found out.
    """
    try:
        return {
            name: known.get(name) or config.resolve_kubernetes(name)
            for name in {c.kubernetes: None for c in matrix.clusters}
        }
    except StageError as error:
        raise ConfigurationError(error.message, remedy=error.remedy) from None


def _configured(config: Config, build: BuildTarget) -> str:
    """What a ref is called as long as nobody has said what it is."""
    return (build.ref == "stable" and config.projects[build.project].stable_ref) or build.ref


def _ask(config: Config, build: BuildTarget) -> Ref | StageError:
    project = config.projects[build.project]
    try:
        return project.build.resolve(project, build.ref)
    except StageError as error:
        return error
    except Exception as error:  # a defect of a plugin is its project's failed build
        return StageError(f"{build.project}: resolving {build.ref!r} raised {type(error).__name__}: {error}")
