"""Writes what became of every test to the store, before pytest shows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from copy import copy
from functools import cache
from pathlib import Path

import pytest

from .. import suite
from ..model import TestOutcome, TestResult
from ..redact import redact
from .context import Run

#: Characters of a message that are kept: what failed and where, not a whole traceback.
_MESSAGE = 2000

#: Marks a report that is none of a test's own.
_CUT_OFF = "_crosscloud_cut_off"


class Recorder:
    """pytest hooks of the controller, which is told of every test, whichever process ran it.

    :param begun: says which tests workers are in.
    """

    def __init__(self, run: Run, begun: Callable[[], Iterable[str]]) -> None:
        self._run = run
        self._begun = begun
        self._called: dict[str, TestResult] = {}  # tests that are not torn down yet
        self._set_up: dict[str, pytest.TestReport] = {}  # tests that were not called yet

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Show what was cut off as that: of itself, ``--junitxml`` has an element without a name for it.

        It stays unrecorded, for nothing has come of it.
        """
        for nodeid in self._begun():
            self._set_up.setdefault(nodeid, _unheard(nodeid))
        for report in list(self._set_up.values()):
            cut_off = copy(report)
            cut_off.when, cut_off.outcome = "call", "skipped"
            cut_off.longrepr = (report.fspath, report.location[1] or 0, "Skipped: cancelled: it was cut off")
            setattr(cut_off, _CUT_OFF, True)
            session.config.hook.pytest_runtest_logreport(report=cut_off)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if hasattr(report, _CUT_OFF):
            return
        if report.when == "setup" and report.passed:
            self._set_up[report.nodeid] = report
        else:
            self._set_up.pop(report.nodeid, None)
        result = self._result(report)
        if result is None:
            return
        try:
            self._run.store.record_test(self._run.id, result)
        except Exception as error:  # a full disk: what cannot be kept must not be shown
            pytest.exit(f"{report.nodeid} cannot be recorded: {type(error).__name__}: {error}", returncode=1)

    def _result(self, report: pytest.TestReport) -> TestResult | None:
        """What the report says that is not recorded yet."""
        if report.outcome not in set(TestOutcome) or hasattr(report, "context"):
            return None  # to be run once more; or a subtest, whose test is not over
        before = self._called.pop(report.nodeid, None)
        if report.when == "call":
            outcome = TestOutcome(report.outcome)
        elif report.failed and (not before or before.outcome == TestOutcome.PASSED):
            outcome = TestOutcome.ERROR  # of a fixture; or, in the phase "???", its worker died
        elif report.when == "setup" and report.skipped:
            outcome = TestOutcome.SKIPPED
        else:
            return None
        result = TestResult(
            nodeid=report.nodeid,
            outcome=outcome,
            seconds=report.duration if report.when == "call" else before.seconds if before else 0.0,
            ended=report.stop or time.time(),
            message="" if outcome == TestOutcome.PASSED else _message(report),
            bundled=_is_bundled(self._run.settings.rootdir, report.nodeid.partition("::")[0]),
        )
        if report.when == "call":
            self._called[report.nodeid] = result
        return result


def _unheard(nodeid: str) -> pytest.TestReport:
    """What the setup of a test may have said, on a worker that says all of a test when it has ended."""
    path, _, name = nodeid.partition("::")
    return pytest.TestReport(nodeid, (path, None, name), {}, "passed", None, "setup")


def _message(report: pytest.TestReport) -> str:
    """Why it failed or was skipped: what was raised, without the way there."""
    if isinstance(report.longrepr, tuple):  # a skip: file, line and reason
        return redact(report.longrepr[2])[:_MESSAGE]
    crash = getattr(report.longrepr, "reprcrash", None)
    return redact(crash.message if crash else report.longreprtext)[:_MESSAGE]


@cache
def _is_bundled(rootdir: str, path: str) -> bool:
    # A node id is relative to the rootdir, or to the folder that was given if that lies elsewhere.
    if Path(path).name == suite.UPGRADES:
        return False
    bundled = Path(suite.__path__[0]).resolve()
    file = Path(rootdir, path)
    return file.resolve().parent == bundled if file.exists() else (bundled / path).exists()
