"""The pipeline's graph: which stages each test of a run needs and makes.

A test *needs* stages: they must have ended before it is worth a worker. It *makes* stages: they have ended when it
has. Items exist on workers only; so workers write the graph to a file of the run, and the controller reads it.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import pytest

from ..model import StageName, stage_key

_FILE = "graph.json"


@dataclass(frozen=True)
class Stages:
    """A test's place in the graph, as keys of stages (``build coredns-head``). Without any it is a *plain* test."""

    needs: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()

    @property
    def touched(self) -> frozenset[str]:
        return frozenset(self.needs + self.makes)


#: Where the plugin puts each item's place in the graph, once it is collected.
STAGES = pytest.StashKey[Stages]()


def stages_of(item: pytest.Item) -> Stages:
    return item.stash.get(STAGES, Stages())


class Graph:
    """The stages of all tests, by node id; plain tests are left out."""

    def __init__(self, stages: Mapping[str, Stages]) -> None:
        self._stages = stages
        self._finished: set[str] = set()
        self._uses = Counter(stage for test in stages.values() for stage in test.touched)

    @classmethod
    def of(cls, items: Iterable[pytest.Item]) -> Self:
        return cls({item.nodeid: stages_of(item) for item in items if stages_of(item).touched})

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read what a worker wrote."""
        data = json.loads((directory / _FILE).read_text())
        return cls({nodeid: Stages(tuple(test["needs"]), tuple(test["makes"])) for nodeid, test in data.items()})

    def write(self, directory: Path) -> None:
        """Write it into the run's directory, unless another worker has: each would write the same."""
        if (directory / _FILE).exists():
            return
        temporary = directory / f"{_FILE}.{os.getpid()}"
        temporary.write_text(json.dumps({nodeid: asdict(test) for nodeid, test in self._stages.items()}))
        temporary.replace(directory / _FILE)

    def __getitem__(self, nodeid: str) -> Stages:
        return self._stages.get(nodeid, Stages())

    def finish(self, nodeid: str) -> list[str]:
        """A test is over: ids of the cluster targets that no test will use any more."""
        if nodeid in self._finished:
            return []
        self._finished.add(nodeid)
        touched = self[nodeid].touched
        self._uses.subtract(touched)
        prefix = stage_key(StageName.PROVISION, "")
        return sorted(stage[len(prefix) :] for stage in touched if stage.startswith(prefix) and not self._uses[stage])
