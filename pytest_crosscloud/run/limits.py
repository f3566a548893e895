"""How many clusters may be open at a time, in the run and on each cloud."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from ..model import StageName, stage_key

if TYPE_CHECKING:
    from ..config import Config
    from ..matrix import Matrix


@dataclass(frozen=True)
class Limit:
    """At most ``most`` of some clusters may be open at a time.

    For the scheduler a cluster is open from the start of the first test that touches it until its last test is over;
    for the engine from its intent until it is destroyed.
    """

    most: int
    option: str  #: what sets it, for a person: ``--max-clusters``
    clusters: frozenset[str]  #: ids of ClusterTargets

    def __str__(self) -> str:
        return f"{self.most} of {len(self.clusters)} at a time ({self.option})"


def limits_of(config: Config, matrix: Matrix, max_clusters: int | None) -> tuple[Limit, ...]:
    """The limits of a run. A cluster that is somebody else's counts for none.

    :param max_clusters: what the command line says; None: nothing.
    :raises ConfigurationError: it is less than 1.
    """
    if max_clusters is not None and max_clusters < 1:
        raise ConfigurationError(f"--max-clusters={max_clusters}: a run with clusters needs at least 1")
    own = [cluster for cluster in matrix.clusters if config.clouds[cluster.cloud].provides_cluster]
    limits = []
    if max_clusters is not None:
        limits.append(Limit(max_clusters, "--max-clusters", frozenset(target.id for target in own)))
    for cloud, most in config.max_clusters.items():
        clusters = frozenset(target.id for target in own if target.cloud == cloud)
        limits.append(Limit(most, f"clouds.{cloud}.max_clusters", clusters))
    # One that cannot be reached would only be a number to read.
    return tuple(limit for limit in limits if limit.most < len(limit.clusters))


def at_once(limits: Iterable[Limit], clusters: Collection[str]) -> int:
    """How many of these clusters may be open at a time."""
    return min([len(clusters), *(limit.most for limit in limits if limit.clusters & set(clusters))])


class Open:
    """Which clusters are open, by their Provision stages' keys."""

    def __init__(self, limits: Iterable[Limit]) -> None:
        self._limits = [
            (limit.most, frozenset(stage_key(StageName.PROVISION, id_) for id_ in limit.clusters)) for limit in limits
        ]
        self._counted = frozenset[str]().union(*(stages for _, stages in self._limits))
        self._open: set[str] = set()

    def would_open(self, touched: frozenset[str]) -> frozenset[str]:
        """Clusters that a test would open that touches these stages."""
        return touched & self._counted - self._open

    def is_full(self, new: frozenset[str]) -> bool:
        """Whether to open ``new`` would break a limit."""
        return any(len(self._open & stages) + len(new & stages) > most for most, stages in self._limits if new & stages)

    def add(self, new: frozenset[str]) -> None:
        self._open |= new

    def remove(self, stages: frozenset[str]) -> bool:
        """:returns: whether one of them was open."""
        was_open = bool(self._open & stages)
        self._open -= stages
        return was_open
