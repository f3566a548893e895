"""A worker of pytest-xdist in a run of ours: what it does between two tests, and what it tells the controller.

A worker starts a test only when it knows the next one. So every test is sent together with *idle*, an item of ours at
the end of each worker's collection: the worker starts the test at once, then enters idle and stays there until it is
sent what really comes next.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock, Timeout

from . import wire
from .graph import Graph

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

#: Keys in ``workerinput``: the run's directory, where workers write the graph; whether our scheduler sends the tests.
_DIRECTORY, _IS_OURS = "crosscloud_directory", "crosscloud_scheduler"

#: A file in the run's directory that says that the tests are over.
_OVER = "tests-over"

#: Seconds between two looks whether a place is free.
_INTERVAL = 0.05

#: Seconds that a worker that has collected keeps its place without a test.
_PATIENCE = 5.0

#: Seconds, and of its tests' time the part in which a process must have a processor, or queue for one, to compute.
_LOOK, _COMPUTES = 0.1, 0.25


def configure(node: WorkerController, directory: Path, *, is_ours: bool) -> None:
    """On the controller: tell a worker that is about to start, and prepare to hear from it."""
    node.workerinput[_DIRECTORY] = str(directory)
    node.workerinput[_IS_OURS] = is_ours
    wire.receive(node)


def dismiss(directory: Path) -> None:
    """On the controller: workers that have not collected yet need not, for the tests are over."""
    (directory / _OVER).touch()


def is_sent_in_order(config: pytest.Config) -> bool:
    """Whether this is a worker whose tests come one by one, so that it need not put them into an order."""
    return bool(getattr(config, "workerinput", {}).get(_IS_OURS))


def plugin(config: pytest.Config) -> WorkerPlugin | None:
    """The plugin for this process, if it is a worker of a controller that has ours."""
    workerinput = getattr(config, "workerinput", {})
    return (
        WorkerPlugin(Path(workerinput[_DIRECTORY]), is_ours=workerinput[_IS_OURS])
        if _DIRECTORY in workerinput
        else None
    )


class Idle(pytest.Item):
    """What a worker does between two tests. Never set up or run; reported only if a fixture's teardown fails in it."""

    def runtest(self) -> None:
        raise AssertionError("idle is never run")


class WorkerPlugin:
    """Plugin for a worker: writes the graph, and appends idle where nobody counts it."""

    def __init__(self, directory: Path, *, is_ours: bool) -> None:
        self._directory = directory
        self._is_ours = is_ours
        self._turn = _Turn(directory)

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        config = session.config
        (interactor,) = (plugin for plugin in config.pluginmanager.get_plugins() if hasattr(plugin, "sendevent"))
        interactor.sendevent = wire.Sender(interactor.sendevent, eager=config.get_verbosity() > 0)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> bool | None:
        """Collect, but no more workers at a time than there are processors: the first ones begin the sooner."""
        if self._is_ours and not self._turn.wait():
            return True  # nothing is left to collect for
        # What is made now stays until the end: nobody need look for garbage in it, neither now nor later.
        gc.disable()
        return None

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_finish(self, session: pytest.Session) -> Generator[None]:
        Graph.of(session.items).write(self._directory)
        yield  # pytest-xdist reports the collection to the controller in here
        self._turn.end_when_idle()
        gc.freeze()
        gc.enable()
        if session.items and self._is_ours:
            session.items.append(Idle.from_parent(session, name="between-tests"))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        if isinstance(nextitem, Idle):
            # The test that will really come next may share its fixtures: they stay until idle knows it.
            nextitem.parent = item.parent
        if not isinstance(item, Idle):
            self._turn.enter(is_test=True)
            return None
        setup = item.session._setupstate
        call = pytest.CallInfo.from_call(lambda: setup.teardown_exact(nextitem), "teardown", reraise=KeyboardInterrupt)
        if call.excinfo:
            item.ihook.pytest_runtest_logreport(report=pytest.TestReport.from_item_and_call(item, call))
        return True

    def pytest_runtest_logfinish(self) -> None:
        # Not when idle begins: before that, pytest-xdist waits until it knows what comes after idle.
        self._turn.enter(is_test=False)


class _Turn:
    """One of as many places as there are processors: for those who collect, or run tests that do nothing but compute.

    More workers than that would collect for nothing: they could only slow down those who have the processors.
    """

    def __init__(self, directory: Path) -> None:
        self._places = [
            FileLock(directory / f"collecting-{n}", thread_local=False) for n in range(len(os.sched_getaffinity(0)))
        ]
        self._over = directory / _OVER
        self._begun = threading.Event()
        self._since = 0.0  # when the test began that runs; 0: none does
        self._tested = 0.0  # seconds of the tests before

    def wait(self) -> bool:
        """:returns: whether there was a place before all was over."""
        while not self._over.exists():
            for place in self._places:
                with suppress(Timeout):
                    place.acquire(blocking=False)
                    return True
            time.sleep(_INTERVAL)
        return False

    def end_when_idle(self) -> None:
        """Give the place to another worker as soon as this one waits for something."""
        threading.Thread(target=self._watch, name="crosscloud-turn", daemon=True).start()

    def enter(self, *, is_test: bool) -> None:
        """A test begins, or the time between two."""
        now = time.monotonic()
        if self._since:
            self._tested += now - self._since
        self._since = now if is_test else 0.0
        if is_test:
            self._begun.set()

    def _watch(self) -> None:
        # Between two tests a worker waits for the controller: others would do no better.
        waits = not self._begun.wait(_PATIENCE)
        while not waits:
            tested, computed = self._in_tests(), _computed()
            time.sleep(_LOOK)
            tested, computed = self._in_tests() - tested, _computed() - computed
            waits = tested >= _LOOK / 2 and computed < _COMPUTES * tested
        for place in self._places:
            place.release()

    def _in_tests(self) -> float:
        """Seconds."""
        since = self._since
        return self._tested + (time.monotonic() - since if since else 0.0)


def _computed() -> float:
    """Seconds for which the main thread, which runs the tests, has had a processor or queued for one."""
    try:
        running, queueing, _ = map(int, Path("/proc/self/schedstat").read_text().split())
    except (OSError, ValueError):  # a kernel that does not count
        return time.process_time()
    return (running + queueing) / 1e9
