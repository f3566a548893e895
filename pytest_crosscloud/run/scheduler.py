"""Runs the matrix in the graph's order: over pytest-xdist's workers, and the same without them.

A worker of pytest-xdist starts a test only when it knows the next one. So every test is sent together with
*idle*, an item of ours at the end of each worker's collection: the worker starts the test at once, then enters
idle and stays there until it is sent what really comes next. No worker ever holds back a test that another could run.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadScheduling

from . import policy
from .graph import Graph, stages_of

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.workermanage import WorkerController

    from ..matrix import Matrix

#: Keys in ``workerinput``: the run's directory, where workers write the graph; whether they are sent idle.
_GRAPH, _IDLE = "crosscloud_graph", "crosscloud_idle"

#: Bytes of memory to reckon for each worker and the cluster that it waits for.
_MEMORY_PER_WORKER = 2**30

#: Seconds of plain tests to send at a time: long against a message, short against a stage that becomes ready.
_BATCH = 0.5


def order(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """``items`` in the order in which one process runs them."""
    return [items[index] for index in policy.order([stages_of(item) for item in items])]


def auto_num_workers(matrix: Matrix) -> int | None:
    """As many workers as the matrix is wide (most of a stage is waiting), within the memory that is available.

    None if the user's environment says how many: pytest-xdist reads it.
    """
    if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return None
    width = max(len(matrix.builds) + len(matrix.clusters), len(matrix.cells))
    return max(1, min(width, _available_memory() // _MEMORY_PER_WORKER))


def replaces_default(config: pytest.Config) -> bool:
    """Whether nobody asked for one of pytest-xdist's own policies: ``--dist`` and ``-d`` are respected."""
    asked = config.known_args_namespace
    return asked.dist == "no" and not asked.distload


class ControllerPlugin:
    """Plugin for the controller: makes the scheduler, and tells the workers to play along."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Producer) -> GraphScheduler | None:
        return GraphScheduler(config, log, self._directory) if replaces_default(config) else None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        node.workerinput[_GRAPH] = str(self._directory)
        node.workerinput[_IDLE] = replaces_default(node.config)


def worker_plugin(config: pytest.Config) -> WorkerPlugin | None:
    """The plugin for this process, if it is a worker of a controller that has ours."""
    workerinput = getattr(config, "workerinput", {})
    return WorkerPlugin(Path(workerinput[_GRAPH]), idle=workerinput[_IDLE]) if _GRAPH in workerinput else None


class Idle(pytest.Item):
    """What a worker does between two tests. Never set up or run; reported only if a fixture's teardown fails in it."""

    def runtest(self) -> None:
        raise AssertionError("idle is never run")


class WorkerPlugin:
    """Plugin for a worker: writes the graph, and appends idle where nobody counts it."""

    def __init__(self, directory: Path, *, idle: bool) -> None:
        self._directory = directory
        self._idle = idle

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_finish(self, session: pytest.Session) -> Generator[None]:
        Graph.of(session.items).write(self._directory)
        yield  # pytest-xdist reports the collection to the controller in here
        if session.items and self._idle:
            session.items.append(Idle.from_parent(session, name="between-tests"))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        if isinstance(nextitem, Idle):
            # The test that will really come next may share its fixtures: they stay until idle knows it.
            nextitem.parent = item.parent
        if not isinstance(item, Idle):
            return None
        setup = item.session._setupstate
        call = pytest.CallInfo.from_call(lambda: setup.teardown_exact(nextitem), "teardown", reraise=KeyboardInterrupt)
        if call.excinfo:
            item.ihook.pytest_runtest_logreport(report=pytest.TestReport.from_item_and_call(item, call))
        return True


class GraphScheduler(LoadScheduling):  # type: ignore[misc]  # xdist.* is not followed
    """Sends each worker one test at a time, the best that the graph has; plain tests in short batches."""

    collection: list[str] | None

    def __init__(self, config: pytest.Config, log: Producer | None, directory: Path) -> None:
        super().__init__(config, log)
        self._directory = directory
        self._queue = policy.Queue(())
        self._plain_seconds = 0.0
        self._plain_count = 0

    @property
    def tests_finished(self) -> bool:
        if not self.collection_is_completed:
            return False
        return not self._queue.left and not any(self._tests_of(node) for node in self.nodes)

    @property
    def has_pending(self) -> bool:
        return bool(self._queue.left) or any(self._tests_of(node) for node in self.nodes)

    def schedule(self) -> None:
        assert self.collection_is_completed
        if self.collection is None:
            if not self._check_nodes_have_same_collection():
                self.log("**Different tests collected, aborting run**")
                return
            self.collection = next(iter(self.node2collection.values()))
            graph = Graph.read(self._directory)
            self._queue = policy.Queue([graph[nodeid] for nodeid in self.collection])
        self._send()

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        self.node2pending[node].remove(item_index)
        if item_index == self._idle:
            return
        if self._queue.is_plain(item_index):
            self._plain_seconds += duration
            self._plain_count += 1
        self._queue.end(item_index)
        self._send()

    def mark_test_pending(self, item: str) -> None:
        assert self.collection is not None
        self._queue.give_back(self.collection.index(item))
        self._send()

    def remove_node(self, node: WorkerController) -> str | None:
        """Take a worker out; what it had not started goes to others.

        :returns: the test that it crashed in, if it was in one.
        """
        pending = self.node2pending.pop(node)
        tests = [index for index in pending if index != self._idle]
        crashed = tests.pop(0) if pending and pending[0] != self._idle else None
        for index in reversed(tests):
            self._queue.give_back(index)
        if crashed is not None:
            self._queue.end(crashed)
        self._send()
        return self.collection[crashed] if self.collection and crashed is not None else None

    @property
    def _idle(self) -> int:
        return len(self.collection or ())

    def _tests_of(self, node: WorkerController) -> list[int]:
        return [index for index in self.node2pending[node] if index != self._idle]

    def _send(self) -> None:
        """Give every worker that has nothing to do the best test there is."""
        for node in self.nodes:
            if node.shutting_down or node not in self.node2collection or self._tests_of(node):
                continue
            first = self._queue.take()
            if first is None:
                return
            tests = [first, *(self._queue.take_plain(self._batch() - 1) if self._queue.is_plain(first) else ())]
            self.node2pending[node] += [*tests, self._idle]
            node.send_runtest_some([*tests, self._idle])

    def _batch(self) -> int:
        """How many plain tests to send at a time: half a second of them, and never more than a worker's share."""
        if not self._plain_count:
            return 2
        mean = max(self._plain_seconds / self._plain_count, 1e-4)
        return max(1, min(int(_BATCH / mean), self._queue.left // max(1, len(self.nodes))))


def _available_memory() -> int:
    """Bytes that new processes may take, as the kernel reckons."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
