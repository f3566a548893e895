"""What stands in the way of a run on its clouds: asked before anything is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..declared import describe
from .limits import Limit, at_once

if TYPE_CHECKING:
    from ..config import Config
    from ..matrix import Matrix


def lacking(config: Config, matrix: Matrix, limits: Iterable[Limit]) -> dict[str, list[str]]:
    """By cloud of the matrix: what is missing to use it here, or has no room for the run's clusters. Asks each once."""
    clusters: dict[str, list[str]] = {}
    for target in matrix.clusters:
        clusters.setdefault(target.cloud, []).append(target.id)
    found = {}
    for name, ids in clusters.items():
        cloud = config.clouds[name]
        most = at_once(limits, ids)
        many = f"{most} clusters at a time" if most > 1 else "a cluster"
        found[name] = _asked("preflight", cloud.preflight) or [
            f"no room for {many}: {line}"
            for line in _asked("capacity", lambda: cloud.capacity(most))  # noqa: B023
        ]
    return found


def _asked(what: str, question: Callable[[], list[str]]) -> list[str]:
    try:
        return question()
    except Exception as error:
        return [f"its {what} raised {describe(error)}"]
