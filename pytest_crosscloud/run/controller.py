"""The controller of a run: makes it, shows it, gives clusters back when their last test is done, and ends it.

These are the hooks of the pytest process that the user started. With xdist it runs no tests itself.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .. import disk, report
from ..errors import ConfigurationError, CrosscloudError
from ..model import StageName, StageResult, Status, TestOutcome, stage_key
from ..redact import redact
from ..report import terminal
from ..stage import RUN_VARIABLE
from . import bundles, clusters, context, making, preflight, processes, reaper, refs, resume, scheduler, takeover
from .endgame import Endgame
from .graph import Graph
from .leases import open_leases
from .outcomes import Recorder
from .output import Output, OutputInUse, copy_logs, reporter
from .plan import Plan
from .session import WORKER_INPUT
from .standing import Standing, standing
from .store import Resource, RunRecord, StoreFull, open_store
from .watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from ..matrix import Matrix
    from .context import Run
    from .session import Session


#: Seconds to wait for the reports of a killed run that this one goes on with: Allure's alone take some.
_REPORTS = 60.0


class Controller:
    """pytest hooks of the controller."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._run: Run | None = None
        self._reaper: reaper.Reaper | None = None
        self._watcher: Watcher | None = None
        self._graph: Graph | None = None
        self._output: Output | None = None
        self._interrupt: KeyboardInterrupt | None = None  # it came while the run was starting
        self._is_collected = False
        self._let_go: Callable[[], None] = lambda: None
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
        except CrosscloudError as error:
            raise pytest.UsageError(redact(str(error))) from None
        except KeyboardInterrupt as interrupt:
            # From here it would end pytest without a sessionfinish: no JUnit file, no reports, and a run without end.
            self._interrupt = interrupt

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        if self._interrupt:
            raise self._interrupt

    def _start(self, config: pytest.Config) -> None:
        this = self._session
        if this.old and this.old.is_complete:
            pytest.exit(f"nothing is left to do of run {this.old.run.id}", returncode=pytest.ExitCode.OK)
        # All that may be wrong with what was asked for comes before anything is made, or removed.
        _preflight(this)
        if this.limits and not scheduler.replaces_default(config):
            raise ConfigurationError(
                f"{this.limits[0].option} cannot be kept in the order of pytest-xdist's --dist: a worker would wait "
                "for a cluster that another one's tests hold",
                remedy="leave out --dist",
            )
        store = open_store()
        open_leases(this.settings.leases, store)  # a place that cannot be used is told now
        plan = Plan.of(this.config, this.matrix)
        finished = resume.Finished(store, this.old.run, plan) if this.old else None
        kubernetes = refs.resolve_kubernetes(this.config, this.matrix, finished.kubernetes() if finished else {})
        resolved = refs.resolve(this.config, this.matrix, finished.refs() if finished else {}, kubernetes)
        out = Path(this.settings.out)
        self._output = self._claim(out, given=bool(config.getoption("--crosscloud-out")))
        if reporter(out) != this.settings.resumes or not this.old:
            self._output.clear()
        run_id = context.create(store, this.settings, plan, resolved.refs, kubernetes)
        # Workers inherit it, and so do their children: the reaper finds all of them by it.
        os.environ[RUN_VARIABLE] = run_id
        self._run = run = this.open(run_id)
        # Before there is a reaper: it has those runs ended that nobody owns.
        taken = self._take_over(run, this.old.run, finished) if this.old and finished else 0
        self._reaper = reaper.start(store, run_id)
        self._start_registry(run)
        for target, error in resolved.errors.items():
            store.record(
                run_id,
                StageResult(StageName.BUILD, target, error.status, started=time.time(), failure=error.failure()),
            )
        plugin = scheduler.ControllerPlugin(run.directory, run.limits, this.durations(), self._goes_on)
        config.pluginmanager.register(plugin, "crosscloud-scheduler")
        config.pluginmanager.register(Recorder(run, plugin.begun), "crosscloud-recorder")
        shown: Any = config.pluginmanager.get_plugin("terminalreporter")
        if shown and config.get_verbosity() <= 0:
            # Whole lines about stages, instead of file names, dots and percentages between them.
            shown.showfspath = False
            shown._show_progress_info = False
        self._watcher = Watcher(
            run,
            this.terminal,
            color=bool(shown and shown.hasmarkup),
            begun=lambda: shown._tw._current_line if shown else "",
            after=taken,
        )
        if finished:
            done = len(finished.stages)
            self._watcher.write_line(f"going on with run {this.settings.resumes}: {done} of its stages are done")
        self._watcher.start()

    def _claim(self, out: Path, *, given: bool) -> Output:
        """The folder to report into, where the reports of the killed run that this one goes on with may not be done."""
        try:
            return Output(out, given=given)
        except OutputInUse:
            old = self._session.old
            if not old or Path(old.run.record["settings"]["out"]) != out:
                raise
            shown: Any = self._session.pytest_config.pluginmanager.get_plugin("terminalreporter")
            if shown:
                shown.write_line(f"waiting for the reports of run {old.run.id}")
        return Output(out, given=given, patience=_REPORTS)

    def _take_over(self, run: Run, old: RunRecord, finished: resume.Finished) -> int:
        """What is needed from the start of the run that this one goes on with.

        :returns: the sequence number of the last result that was taken over.
        """
        if standing(run.store, old) == Standing.ORPHANED:
            self._let_go = takeover.spare(run.store, old.id)
        if not run.settings.registry and (host := takeover.registry(run.store, old, run.id)):
            run.set_registry(host)
        resume.write_finished(run.directory, finished.tests)
        copy_logs(Path(old.record["settings"]["out"]), run.out, of=old.id)
        return run.store.inherit(run.id, old.id, finished.stages, ())

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
        if not self._run:
            return
        if session.items:
            self._graph = Graph.of(session.items)
            self._graph.write(self._run.directory)  # for a run that goes on with this one
        self._collected(self._run, len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        if self._run:
            self._collected(self._run, len(ids))

    def _collected(self, run: Run, count: int) -> None:
        """It is known how many tests are to run, and which are finished; each worker says so."""
        if self._is_collected:
            return
        self._is_collected = True
        if run.settings.resumes:
            run.store.inherit(run.id, run.settings.resumes, (), resume.left_out(run.directory))
        run.note(collected=count)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # A worker that crashed reports its item once, with this phase and without a logfinish.
        if str(report.when) == "???":
            self._finished(report.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._finished(nodeid)

    def _goes_on(self, nodeid: str) -> bool:
        """Whether a test in which a worker died is run again: its worker was making a stage that has attempts left."""
        run = self._run
        if run is None:
            return False
        touched = self._read_graph(run)[nodeid].touched
        if any(making.goes_on(run, key) for key in touched):
            return True
        for cell in run.matrix.cells:  # no worker lived to leave the bundle of what it failed in
            if any(stage_key(stage, cell.id) in touched for stage in (StageName.DEPLOY, StageName.E2E)):
                bundles.leave(run, cell)
        return False

    def _read_graph(self, run: Run) -> Graph:
        if self._graph is None:
            try:
                self._graph = Graph.read(run.directory)
            except FileNotFoundError:  # no worker has collected yet
                return Graph({})
        return self._graph

    def _finished(self, nodeid: str) -> None:
        """Give back each cluster whose last test this was."""
        if not self._run:
            return
        for cluster in self._read_graph(self._run).finish(nodeid):
            with suppress(StoreFull):  # all are given back in the end
                clusters.give_back(self._run, cluster, self._read_graph(self._run))

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.CollectReport | pytest.TestReport, config: pytest.Config
    ) -> tuple[str, str, str] | None:
        """No dots for the pipeline's tests: their stages have lines of their own. ``-v`` brings pytest's back."""
        if config.get_verbosity() > 0 or "crosscloud" not in getattr(report, "keywords", ()) or report.when != "call":
            return None
        return report.outcome, "", "" if report.passed else report.outcome.upper()

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Say at once that it was heard: what follows takes seconds."""
        if self._watcher:
            self._watcher.write_line("interrupted: ending what runs, then destroying what was made")
        if self._run and isinstance(excinfo.value, _Terminated):
            # A terminal's Ctrl-C reaches the workers, too. Left to execnet, they would go on for another five seconds.
            for worker in processes.children_of_run(self._run.id):
                processes.send(worker, signal.SIGINT)

    # -- end --------------------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        if not self._run:
            return (yield)
        with Endgame() as endgame:
            # xdist ends its workers in its own sessionfinish: what they still ran is cancelled afterwards.
            try:
                return (yield)
            finally:
                self._finish(self._run, session, endgame)

    def _finish(self, run: Run, session: pytest.Session, endgame: Endgame) -> None:
        try:
            for result in run.store.results(run.id).values():
                if result.status == Status.RUNNING:
                    seconds = time.time() - (result.started or time.time())
                    run.store.record(run.id, replace(result, status=Status.CANCELLED, seconds=seconds))
            for cluster in self._session.matrix.clusters:
                clusters.give_back(run, cluster.id, self._read_graph(run))
            self._let_go()
            run.note(exit=int(session.exitstatus))
            run.store.finish_run(run.id)
        except StoreFull as error:  # the reaper destroys all the same
            self._problems.append(str(error))
        if self._watcher:
            self._watcher.stop()
        # Beside each other: neither a slow destroy nor an impatient user keeps the reports from being written.
        reports = threading.Thread(target=self._report, args=(run,), name="crosscloud-reports")
        reports.start()
        try:
            self._problems += self._end_reaper(endgame)
        finally:
            reports.join()
        if self._output:
            self._output.release()
        # Nothing is green that did not run, whatever the tests made of it.
        results = run.store.results(run.id)
        red = _is_red(results)
        if _has_nothing(results, self._session.matrix):
            red = True
            self._notes.append("not green: no build of this run could be had, so nothing was tested")
        if run.settings.resumes:
            taken = [test for test in run.store.tests(run.id) if test.resumed_from]
            red = red or any(test.outcome == TestOutcome.FAILED for test in taken)
            if taken and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
                session.exitstatus = pytest.ExitCode.OK
        if session.exitstatus == pytest.ExitCode.OK and (red or self._problems):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if endgame.is_interrupted:
            session.exitstatus = pytest.ExitCode.INTERRUPTED

    def _end_reaper(self, endgame: Endgame) -> list[str]:
        if not self._reaper:
            return []
        show = self._watcher.write_line if self._watcher else lambda text: None
        try:
            if endgame.is_interrupted:
                return self._reaper.finish(show, timeout=0)
            with endgame.waiting():
                return self._reaper.finish(show)
        except CrosscloudError as error:
            return [str(error)]

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
        for line in resume.tell(self._run.store.tests(self._run.id), self._run.settings.resumes):
            terminalreporter.write_line(line)
        for line in clusters.tell(self._run):
            terminalreporter.write_line(line, yellow=True)
        for problem in (*self._session.config.problems, *self._notes, *self._problems):
            terminalreporter.write_line(str(problem), yellow=True)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """The last words of a repetition."""
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if self._run and self._session.bundle and reporter:
            from ..repro.verdict import verdict

            for line in verdict(self._session.bundle, self._run.summary()):
                reporter.write_line(line, bold=True)


def _is_red(results: Mapping[str, StageResult]) -> bool:
    """Whether a stage keeps a run from exit code 0. What is out of reach is a skip to CI."""
    lost = _lost(results)
    return any(
        result.status != Status.SUCCESS and not {result.key, result.upstream} & lost for result in results.values()
    )


def _has_nothing(results: Mapping[str, StageResult], matrix: Matrix) -> bool:
    """Whether all that a run was to test is out of reach."""
    builds = (results.get(stage_key(StageName.BUILD, cell.build.id)) for cell in matrix.cells)
    return bool(_lost(results)) and not any(build and build.status == Status.SUCCESS for build in builds)


def _lost(results: Mapping[str, StageResult]) -> set[str]:
    return {key for key, result in results.items() if result.is_out_of_reach}


def _preflight(session: Session) -> None:
    """:raises ConfigurationError: there is no room for a run, or a cloud of the matrix cannot be used here."""
    if lacking := disk.lacking(disk.folders(Path(session.settings.out))):
        raise ConfigurationError(
            "no disk:\n  " + "\n  ".join(lacking),
            remedy="make room, or name others: --crosscloud-out, XDG_STATE_HOME, XDG_CACHE_HOME, TMPDIR",
        )
    there: set[str] = set()
    if session.old:
        with closing(open_store()) as store:
            there = takeover.clusters(store, session.old.run.id)
    found = preflight.lacking(session.config, session.matrix, session.limits, session.registry, there)
    if missing := {name: lines for name, lines in found.items() if lines}:
        raise ConfigurationError(
            "\n".join(f"cloud {name} cannot be used here:\n  " + "\n  ".join(lines) for name, lines in missing.items()),
            remedy=f"crosscloud doctor --clouds={','.join(missing)} says what is there, and how to get the rest",
        )


def _exit(number: int, _frame: object) -> None:
    """End as Ctrl-C does, reports and all; left to itself, Python would end without a word."""
    raise _Terminated(f"{signal.Signals(number).name} received")


class _Terminated(KeyboardInterrupt):
    """This process was told to end, and no other of the run."""
