"""The workload of the scheduler's measures: 12 clusters and 80 cells whose durations differ, the same every time."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

#: As many as the workload needs to be of some interest, and a person's computer has.
WORKERS = 4

#: Seconds that the whole takes if no worker ever waits.
LOWER_BOUND = 8.9

_CLOUDS = {f"sim{number:02}": "arm64" if number % 3 == 2 else "amd64" for number in range(12)}

#: The last one has no arm64, so 4 of the clouds have a cell less.
_PROJECTS = {f"p{number}": ("amd64", "arm64") if number < 6 else ("amd64",) for number in range(7)}

#: Seconds, the least and the most, before all is scaled to the lower bound.
_PROVISION, _CELL = (0.6, 1.8), (0.08, 0.45)

#: Of a cell's time, what is its deploy.
_DEPLOY = 0.4


@dataclass(frozen=True)
class Workload:
    """Seconds: of each cloud's one cluster, and of each cell, by project and cloud."""

    clusters: Mapping[str, float]
    cells: Mapping[tuple[str, str], float]

    @cached_property
    def lower_bound(self) -> float:
        """No scheduler can do it faster with ``WORKERS``: all of the work, or the longest chain, whichever is more."""
        work = sum(self.clusters.values()) + sum(self.cells.values())
        chains = (self.clusters[cloud] + seconds for (_, cloud), seconds in self.cells.items())
        return max(work / WORKERS, *chains)

    @property
    def clouds(self) -> dict[str, dict[str, list[str]]]:
        """As a rootdir's table declares them."""
        return {name: {"arch": [arch]} for name, arch in _CLOUDS.items()}

    @property
    def projects(self) -> dict[str, dict[str, list[str]]]:
        """As a rootdir's table declares them."""
        return {name: {"arch": list(arch)} for name, arch in _PROJECTS.items()}

    @property
    def stages(self) -> dict[str, float]:
        """Seconds of each Deploy and e2e; a Build takes none, for the peers have none."""
        seconds = {}
        for (project, cloud), taken in self.cells.items():
            cell = f"{project}-stable-{cloud}-{_CLOUDS[cloud]}"
            seconds[f"deploy {cell}"] = taken * _DEPLOY
            seconds[f"e2e {cell}"] = taken * (1 - _DEPLOY)
        return seconds


def workload(seed: int = 0) -> Workload:
    """The one of this seed, scaled to ``LOWER_BOUND``."""
    source = random.Random(seed)  # noqa: S311
    clusters = {cloud: source.uniform(*_PROVISION) for cloud in _CLOUDS}
    cells = {
        (project, cloud): source.uniform(*_CELL)
        for cloud, arch in _CLOUDS.items()
        for project, archs in _PROJECTS.items()
        if arch in archs
    }
    scale = LOWER_BOUND / Workload(clusters, cells).lower_bound
    return Workload(
        {cloud: seconds * scale for cloud, seconds in clusters.items()},
        {cell: seconds * scale for cell, seconds in cells.items()},
    )
