"""The controller of a run: makes it, shows it, gives clusters back when their last test is done, and ends it.

These are the hooks of the pytest process that the user started. With xdist it runs no tests itself.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .. import report
from ..errors import ConfigurationError, CrosscloudError, StageError
from ..model import Failure, Ref, StageName, StageResult, Status
from ..plugin import terminal_fd
from ..report import terminal
from ..report.terminal import Live
from ..stage import RUN_VARIABLE
from . import context, reaper, scheduler
from .graph import Graph
from .session import WORKER_INPUT
from .store import Resource, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from .context import Run
    from .session import Session

#: Seconds between two looks at the store.
_INTERVAL = 0.2


class Controller:
    """pytest hooks of the controller."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._run: Run | None = None
        self._reaper: reaper.Reaper | None = None
        self._watcher: Watcher | None = None
        self._graph: Graph | None = None
        self._problems: list[str] = []  # make the run fail
        self._notes: list[str] = []

    # -- start ------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        if session.config.option.collectonly:
            return
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _exit)
        try:
            self._start(session.config)
        except ConfigurationError as error:
            raise pytest.UsageError(str(error)) from None

    def _start(self, config: pytest.Config) -> None:
        this = self._session
        for cloud in {cell.cluster.cloud for cell in this.matrix.cells}:
            if missing := this.config.clouds[cloud].preflight():
                raise ConfigurationError(f"cloud {cloud} cannot be used here:\n  " + "\n  ".join(missing))
        out = Path(this.settings.out)
        _clear(out)
        store = open_store()
        refs, failed = _resolve(this)
        kubernetes = {
            name: _resolve_kubernetes(this, name)
            for name in dict.fromkeys(cluster.kubernetes for cluster in this.matrix.clusters)
        }
        run_id = context.create(store, this.settings, refs, kubernetes)
        # Workers inherit it, and so do their children: the reaper finds all of them by it.
        os.environ[RUN_VARIABLE] = run_id
        self._run = run = this.open(run_id)
        self._reaper = reaper.start(store, run_id)
        self._start_registry(run)
        for result in failed:
            store.record(run_id, result)
        config.pluginmanager.register(scheduler.ControllerPlugin(run.directory), "crosscloud-scheduler")
        self._watcher = Watcher(run, config)
        self._watcher.start()

    def _start_registry(self, run: Run) -> None:
        if run.settings.registry or not self._session.matrix.builds:
            return
        from ..build import registry

        def intend(spec: dict[str, Any]) -> None:
            run.store.put_resource(Resource(run.id, "registry", "registry", "live", spec))

        host = registry.start(run.id, run.directory, intend).host
        run.set_registry(host)

    def pytest_configure_node(self, node: Any) -> None:
        """xdist: tell a worker which run it belongs to."""
        if self._run:
            node.workerinput[WORKER_INPUT] = self._run.id

    # -- while it runs ----------------------------------------------------------------------------------------

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if self._run and session.items:
            self._graph = Graph.of(session.items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # A worker that crashed reports its item once, with this phase and without a logfinish.
        if str(report.when) == "???":
            self._finished(report.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._finished(nodeid)

    def _finished(self, nodeid: str) -> None:
        """Give back each cluster whose last test this was."""
        if not self._run:
            return
        if self._graph is None:
            self._graph = Graph.read(self._run.directory)
        for cluster in self._graph.finish(nodeid):
            release_cluster(self._run, cluster)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.CollectReport | pytest.TestReport, config: pytest.Config
    ) -> tuple[str, str, str] | None:
        """No dots for the pipeline's tests: their stages have lines of their own. ``-v`` brings pytest's back."""
        if config.get_verbosity() > 0 or "crosscloud" not in getattr(report, "keywords", ()) or report.when != "call":
            return None
        return report.outcome, "", "" if report.passed else report.outcome.upper()

    # -- end --------------------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        # xdist ends its workers in its own sessionfinish: what they still ran is cancelled afterwards.
        try:
            return (yield)
        finally:
            if self._run:
                self._finish(self._run, session)

    def _finish(self, run: Run, session: pytest.Session) -> None:
        for result in run.store.results(run.id).values():
            if result.status == Status.RUNNING:
                seconds = time.time() - (result.started or time.time())
                run.store.record(run.id, replace(result, status=Status.CANCELLED, seconds=seconds))
        for cluster in self._session.matrix.clusters:
            release_cluster(run, cluster.id)
        if self._watcher:
            self._watcher.stop()
        if self._reaper:
            write = self._watcher.write_line if self._watcher else lambda text: None
            self._problems += self._reaper.finish(write)
        run.store.finish_run(run.id)
        self._report(run)
        # Nothing is green that did not run, whatever the tests made of it.
        red = any(result.status != Status.SUCCESS for result in run.store.results(run.id).values())
        if session.exitstatus == pytest.ExitCode.OK and (red or self._problems):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _report(self, run: Run) -> None:
        summary = run.summary()
        written = report.write_all(summary, run.out)
        self._problems += written.failures
        self._notes += written.notes
        try:
            run.plugins.hook.crosscloud_run_finished(summary=summary)
        except Exception as error:
            self._problems.append(f"a plugin's crosscloud_run_finished raised {type(error).__name__}: {error}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self._run:
            return
        width = shutil.get_terminal_size((120, 24)).columns
        terminalreporter.ensure_newline()
        terminalreporter.write_sep("=", f"crosscloud run {self._run.id}")
        terminalreporter.write(
            terminal.table(self._run.summary(), self._run.out, color=terminalreporter.hasmarkup, width=width)
        )
        for line in _kept(self._run):
            terminalreporter.write_line(line, yellow=True)
        for problem in (*self._session.plugins.problems, *self._notes, *self._problems):
            terminalreporter.write_line(str(problem), yellow=True)


class Watcher(threading.Thread):
    """Follows the store, shows each change and tells the event hooks about it."""

    def __init__(self, run: Run, config: pytest.Config) -> None:
        super().__init__(name="crosscloud-watcher", daemon=True)
        self._run = run
        self._fd = config.stash[terminal_fd]
        reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
        if reporter and config.get_verbosity() <= 0:
            # Whole lines about stages, instead of file names, dots and percentages between them.
            reporter.showfspath = False
            reporter._show_progress_info = False
        self._live = Live(self.write_line, color=bool(reporter and reporter.hasmarkup))
        self._stopping = threading.Event()
        self._told: set[str] = set()

    def run(self) -> None:
        store = self._run.store
        self._live.header(self._run.summary())
        seen = 0
        while True:
            last = self._stopping.wait(_INTERVAL)
            changes = store.changes(self._run.id, seen)
            if changes:
                seen = changes[-1][0]
            self._live.update([result for _, result in changes], time.time())
            for _, result in changes:
                self._tell(result)
            if last:
                store.close()
                return

    def stop(self) -> None:
        """Show what is left to show, and end."""
        self._stopping.set()
        self.join(10)

    def write_line(self, line: str) -> None:
        """Print a whole line, past pytest's capture; in one write, so that it is not torn."""
        with suppress(OSError):  # the terminal may be gone
            os.write(self._fd, f"{line}\n".encode())

    def _tell(self, result: StageResult) -> None:
        hook = self._run.plugins.hook
        if result.status == Status.RUNNING:
            if result.key in self._told:
                return  # progress, not a start
            self._told.add(result.key)
            self._call(hook.crosscloud_stage_started, result)
            return
        if result.started is not None and result.key not in self._told:  # it began and ended between two looks
            self._call(hook.crosscloud_stage_started, replace(result, status=Status.RUNNING, seconds=0.0, failure=None))
        self._call(hook.crosscloud_stage_finished, result)

    def _call(self, hook: Callable[..., object], result: StageResult) -> None:
        try:
            hook(run=self._run.id, result=result)
        except Exception as error:
            self.write_line(f"a plugin's hook raised {type(error).__name__}: {error}")


def _exit(number: int, _frame: object) -> None:
    """End as Ctrl-C does, reports and all; left to itself, Python would end without a word."""
    raise KeyboardInterrupt(f"{signal.Signals(number).name} received")


def release_cluster(run: Run, target: str) -> None:
    """The target's cluster has done its work: the reaper may have it, unless a failure is to be looked into."""
    for resource in run.store.resources(run.id):
        if resource.kind == "cluster" and resource.spec["target"] == target and resource.state in ("intended", "live"):
            keep = run.settings.keep_failed
            if keep is not None and _has_failure(run, target):
                _keep(run, resource, time.time() + keep)
            else:
                run.store.set_resource(run.id, resource.kind, resource.name, "released")


def _keep(run: Run, cluster: Resource, expires: float) -> None:
    """Keep a cluster, and the registry that its pods pull from when they are started again."""
    registries = [resource for resource in run.store.resources(run.id) if resource.kind == "registry"]
    for resource in (cluster, *registries):
        run.store.set_resource(run.id, resource.kind, resource.name, "kept", expires=expires)


def _has_failure(run: Run, cluster: str) -> bool:
    targets = {cluster, *(cell.id for cell in run.matrix.cells if cell.cluster.id == cluster)}
    return any(
        result.target in targets and result.status == Status.FAILED for result in run.store.results(run.id).values()
    )


def _kept(run: Run) -> list[str]:
    """How to reach what ``--keep-failed`` kept, and for how long it is there."""
    return [
        f"kept until {time.strftime('%H:%M', time.localtime(resource.expires))}: {resource.kind} {resource.name}  "
        f"KUBECONFIG={resource.spec['directory']}/kubeconfig  crosscloud clean --run {run.id} destroys it"
        for resource in run.store.resources(run.id)
        if resource.state == "kept" and resource.kind == "cluster"
    ]


def _resolve(session: Session) -> tuple[dict[str, Ref], list[StageResult]]:
    """What every ref is today, asked side by side; and a failed Build for each that cannot be resolved.

    :raises ConfigurationError: a ref that was given on the command line does not exist.
    """
    refs: dict[str, Ref] = {}
    failed: list[StageResult] = []
    wrong: list[str] = []
    builds = session.matrix.builds
    with ThreadPoolExecutor(max_workers=16) as pool:
        projects = session.config.projects
        futures = [
            pool.submit(projects[build.project].build.resolve, projects[build.project], build.ref) for build in builds
        ]
    for build, future in zip(builds, futures, strict=True):
        try:
            refs[build.id] = future.result()
        except StageError as error:
            if error.error_class == "configuration" and build.ref not in ("stable", "head"):
                wrong.append(str(error))
            refs[build.id] = Ref(build.ref, build.ref)
            failed.append(_failed_build(build.id, error.failure()))
        except CrosscloudError as error:
            refs[build.id] = Ref(build.ref, build.ref)
            failed.append(_failed_build(build.id, Failure("configuration", error.message, error.remedy)))
    if wrong:
        raise ConfigurationError("\n".join(wrong))
    return refs, failed


def _resolve_kubernetes(session: Session, name: str) -> Ref:
    """:raises ConfigurationError: there is no such version, or it cannot be found out."""
    try:
        return session.config.resolve_kubernetes(name)
    except StageError as error:
        raise ConfigurationError(error.message, remedy=error.remedy) from None


def _failed_build(target: str, failure: Failure) -> StageResult:
    return StageResult(StageName.BUILD, target, Status.FAILED, started=time.time(), failure=failure)


def _clear(out: Path) -> None:
    """Remove what the last run wrote; Allure's history stays, it is meant to grow."""
    for name in ("builds", "clusters", "cells", "allure-results", "allure"):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in ("results.json", "index.html"):
        (out / name).unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
