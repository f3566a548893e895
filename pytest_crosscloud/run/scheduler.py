"""Runs the matrix in the graph's order: over pytest-xdist's workers, and the same without them.

Every test, or batch of quick ones, is sent together with *idle* (see ``worker``), so that no worker ever holds back a
test that another could run.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from xdist.report import report_collection_diff
from xdist.scheduler import LoadScheduling

from .. import capacity
from . import policy, worker
from .graph import Graph, stages_of

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.workermanage import WorkerController

    from ..matrix import Matrix
    from .limits import Limit

#: Bytes of memory to reckon for each worker and the cluster that it waits for.
_MEMORY_PER_WORKER = 2**30

#: Seconds of quick tests to send at a time: long against a message, short against a stage that becomes ready.
_BATCH = 0.5

#: So many tests of a kind say how long the next one takes.
_FEW = 8


def order(
    items: Sequence[pytest.Item], limits: Iterable[Limit] = (), durations: Mapping[str, float] | None = None
) -> list[pytest.Item]:
    """``items`` in the order in which one process runs them."""
    tests, nodeids = [stages_of(item) for item in items], [item.nodeid for item in items]
    return [items[index] for index in policy.order(tests, limits, durations, nodeids)]


def auto_num_workers(matrix: Matrix, limits: Sequence[Limit] = ()) -> int | None:
    """As many workers as the matrix is wide (most of a stage is waiting), within the memory that is available.

    None if the user's environment says how many: pytest-xdist reads it.
    """
    if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return None
    return max(1, min(_width(matrix, limits), capacity.memory() // _MEMORY_PER_WORKER))


def _width(matrix: Matrix, limits: Sequence[Limit]) -> int:
    """How many stages can run at a time: builds and clusters, and then the cells of the clusters that may be open."""
    cells = Counter(cell.cluster.id for cell in matrix.cells)
    opened: set[str] = set()
    for cluster, _ in cells.most_common():
        if all(cluster not in limit.clusters or len(opened & limit.clusters) < limit.most for limit in limits):
            opened.add(cluster)
    return max(len(matrix.builds) + len(opened), sum(cells[cluster] for cluster in opened))


def replaces_default(config: pytest.Config) -> bool:
    """Whether nobody asked for one of pytest-xdist's own policies: ``--dist`` and ``-d`` are respected."""
    asked = config.known_args_namespace
    return asked.dist == "no" and not asked.distload


class ControllerPlugin:
    """Plugin for the controller: makes the scheduler, and tells the workers to play along.

    :param goes_on: whether the test of a node id is run again, in which a worker has just died.
    """

    def __init__(
        self,
        directory: Path,
        limits: Sequence[Limit] = (),
        durations: Mapping[str, float] | None = None,
        goes_on: Callable[[str], bool] = lambda nodeid: False,
    ) -> None:
        self._directory = directory
        self._limits = limits
        self._durations = durations or {}
        self._goes_on = goes_on
        self._scheduler: GraphScheduler | None = None

    def begun(self) -> list[str]:
        """Node ids of the tests that workers are in: of these they say nothing until they have ended."""
        return self._scheduler.begun() if self._scheduler else []

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Producer) -> GraphScheduler | None:
        if replaces_default(config):
            known = (self._directory, self._limits, self._durations, self._goes_on)
            self._scheduler = GraphScheduler(config, log, *known)
        return self._scheduler

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        worker.configure(node, self._directory, is_ours=replaces_default(node.config))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: WorkerController, error: object) -> None:
        if not error:  # a worker that has ended as it should: there is nothing left to do
            worker.dismiss(self._directory)


class GraphScheduler(LoadScheduling):  # type: ignore[misc]  # xdist.* is not followed
    """Sends each worker one test at a time, the best that the graph has; those that are quick in short batches."""

    collection: list[str] | None

    def __init__(
        self,
        config: pytest.Config,
        log: Producer | None,
        directory: Path,
        limits: Sequence[Limit],
        durations: Mapping[str, float],
        goes_on: Callable[[str], bool],
    ) -> None:
        super().__init__(config, log)
        self._goes_on = goes_on
        self._directory = directory
        self._limits = limits
        self._durations = durations
        self._queue = policy.Queue(())
        self._pace = _Pace()
        self._asked: set[WorkerController] = set()  # to give back tests, and has not answered yet

    @property
    def collection_is_completed(self) -> bool:
        """Whoever has collected may begin: the others join in when they have, too."""
        return bool(self.node2collection)

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        first = next(iter(self.node2collection), None)
        if first is None:
            self.node2collection[node] = list(collection)
            return
        ours = self.node2collection[first]
        if message := report_collection_diff(ours, collection, first.gateway.id, node.gateway.id):
            report = pytest.CollectReport(nodeid=node.gateway.id, outcome="failed", longrepr=message, result=[])
            self.config.hook.pytest_collectreport(report=report)
            return  # its numbers mean other tests: it gets none
        self.node2collection[node] = ours

    def begun(self) -> list[str]:
        tests = map(self._test_of, self.nodes)
        return [self.collection[index] for index in tests if self.collection and index is not None]

    @property
    def tests_finished(self) -> bool:
        return self.collection is not None and not self.has_pending

    @property
    def has_pending(self) -> bool:
        return bool(self._queue.left) or any(self._is_busy(node) for node in self.nodes)

    def schedule(self) -> None:
        if self.collection is None:
            self.collection = next(iter(self.node2collection.values()))
            graph = Graph.read(self._directory)
            tests = [graph[nodeid] for nodeid in self.collection]
            self._queue = policy.Queue(tests, self._limits, self._durations, self.collection)
        self._send()

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        self.node2pending[node].remove(item_index)
        if item_index == self._idle:
            return
        self._pace.note(self._kind(item_index), duration)
        self._queue.end(item_index)
        self._send()

    def mark_test_pending(self, item: str) -> None:
        assert self.collection is not None
        self._queue.give_back(self.collection.index(item))
        self._send()

    def remove_node(self, node: WorkerController) -> str | None:
        """Take a worker out; what it had not started goes to others.

        :returns: the test that it crashed in, if it was in one that is not to be run again.
        """
        pending = self.node2pending.pop(node)
        self._asked.discard(node)
        tests = [index for index in pending if index != self._idle]
        crashed = tests.pop(0) if pending and pending[0] != self._idle else None
        for index in reversed(tests):
            self._queue.give_back(index)
        if crashed is not None and self.collection and self._goes_on(self.collection[crashed]):
            self._queue.give_back(crashed)
            crashed = None
        if crashed is not None:
            self._queue.end(crashed)
        self._send()
        return self.collection[crashed] if self.collection and crashed is not None else None

    @property
    def _idle(self) -> int:
        return len(self.collection or ())

    def _test_of(self, node: WorkerController) -> int | None:
        """The test that a worker is in, or enters next; None: it has nothing to do."""
        # Idle is what it does before and after its tests.
        return next((index for index in self.node2pending[node][:2] if index != self._idle), None)

    def _is_busy(self, node: WorkerController) -> bool:
        return self._test_of(node) is not None

    def _send(self) -> None:
        """Give every worker that has nothing to do the best test there is."""
        for node in self.nodes:
            if node.shutting_down or node not in self.node2collection or self._is_busy(node):
                continue
            first = self._queue.take()
            if first is None:
                self._take_back()
                return
            tests = [first, *self._more(first)]
            self.node2pending[node] += [*tests, self._idle]
            node.send_runtest_some([*tests, self._idle])

    def _more(self, first: int) -> list[int]:
        """What goes along with a test: quick ones of its kind, and never more than a worker's share of all."""
        kind = self._kind(first)
        most = min(self._pace.at_a_time(kind), self._queue.left // len(self.nodes))
        return self._queue.take_more(most - 1, lambda index: self._kind(index) == kind)

    def _take_back(self) -> None:
        """Have the worker with the most to do give back half of what it has not begun: another has nothing."""
        node = max(self.nodes, key=lambda node: len(self.node2pending[node]))
        tests = [index for index in self.node2pending[node] if index != self._idle]
        # It runs the first, and knows the second.
        if (later := tests[2:]) and node not in self._asked and not node.shutting_down:
            self._asked.add(node)
            node.send_steal(later[len(later) // 2 :])

    def remove_pending_tests_from_node(self, node: WorkerController, indices: Sequence[int]) -> None:
        """A worker was asked to give back tests: these, or none if it had begun one of them."""
        self._asked.discard(node)
        for index in reversed(indices):
            self.node2pending[node].remove(index)
            self._queue.give_back(index)
        if indices:
            self._send()

    def _kind(self, index: int) -> str:
        """Tests that are likely to take equally long: those of a function, or all that have no stages."""
        assert self.collection is not None
        return "" if self._queue.is_plain(index) else self.collection[index].partition("[")[0]


class _Pace:
    """How many tests of a kind to send at a time."""

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self._mean: defaultdict[str, float] = defaultdict(float)

    def note(self, kind: str, seconds: float) -> None:
        self._count[kind] += 1
        # Of the last few: what has become slow must not stay quick for long.
        self._mean[kind] += (seconds - self._mean[kind]) / min(self._count[kind], _FEW)

    def at_a_time(self, kind: str) -> int:
        """As many as take a moment; one with stages goes alone, until a few of its kind have turned out to be quick."""
        if self._count[kind] < (_FEW if kind else 1):
            return 1 if kind else 2
        return max(1, int(_BATCH / max(self._mean[kind], 1e-4)))
