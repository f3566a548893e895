"""What stands in the way of a run on its clouds: asked before anything is made."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from ..declared import describe
from ..errors import CrosscloudError
from .limits import Limit, at_once

if TYPE_CHECKING:
    from ..config import Config
    from ..matrix import Matrix
    from ..model import Cloud


#: For ``--registry``: the run's own, although a cloud's nodes are elsewhere. They reach this computer all the same.
OWN_REGISTRY = "run"


def lacking(
    config: Config,
    matrix: Matrix,
    limits: Iterable[Limit],
    registry: str | None = None,
    there: Collection[str] = (),
) -> dict[str, list[str]]:
    """By cloud of the matrix: what is missing to use it here, or has no room for the run's clusters. Asks each once.

    :param registry: what ``--registry`` says, empty if nothing; None: it is not known yet.
    :param there: ids of clusters that are there already, and need no more room.
    """
    clusters: dict[str, list[str]] = {}
    for target in matrix.clusters:
        clusters.setdefault(target.cloud, []).append(target.id)
    found = {}
    for name, ids in clusters.items():
        cloud = config.clouds[name]
        most = at_once(limits, ids) - len({*there} & {*ids})
        many = f"{most} clusters at a time" if most > 1 else "a cluster"
        found[name] = [*_asked("preflight", cloud.preflight), *_unreachable(cloud, matrix, registry)] or [
            f"no room for {many}: {line}"
            for line in (_asked("capacity", lambda: cloud.capacity(most)) if most > 0 else ())  # noqa: B023
        ]
    return found


def _unreachable(cloud: Cloud, matrix: Matrix, registry: str | None) -> list[str]:
    if not cloud.is_elsewhere or registry is None or registry or not matrix.builds:
        return []
    return [
        f"{why_no_own_registry(cloud)}: give one that they can pull from without a login, --registry=HOST;"
        f" or --registry={OWN_REGISTRY}, if they do {'reach it' if cloud.provides_cluster else 'pull from it'}"
    ]


def why_no_own_registry(cloud: Cloud) -> str:
    """Why nodes of a cloud elsewhere cannot pull from the registry that a run starts."""
    if cloud.provides_cluster:
        return "its nodes do not reach this computer, where the run's registry would be"
    return "its nodes are somebody else's, and not told of the registry without TLS that a run starts on this computer"


def _asked(what: str, question: Callable[[], list[str]]) -> list[str]:
    try:
        return question()
    except CrosscloudError as error:
        return [describe(error)]
    except Exception as error:
        return [f"its {what} raised {describe(error)}"]
