"""What the store knows of a run's tests: every one, as pytest shows it, and not after it."""

from __future__ import annotations

import pytest

from pytest_crosscloud.model import TestResult
from pytest_crosscloud.run.store import open_store

from .conftest import Rootdir

_OWN = """
import os, pytest

@pytest.fixture
def broken(): raise ValueError("no fixture")

@pytest.fixture
def leaking():
    yield
    raise ValueError("no end")

def test_passes(cluster): pass
def test_fails(): assert 1 == 2, "secret " + os.environ["DEMO_TOKEN"]
def test_skips(): pytest.skip("not today")
def test_cannot_start(broken): pass
def test_cannot_end(leaking): pass
def test_fails_and_cannot_end(leaking): assert False, "first"
@pytest.mark.xfail
def test_expected(): assert False
def test_has_parts(subtests):
    with subtests.test("one"):
        pytest.skip("a part")
"""

_CONFTEST = """
from pytest_crosscloud.run.store import open_store

def pytest_report_teststatus(report, config):
    if report.when == "call" and not hasattr(config, "workerinput"):  # it is about to be shown
        store = open_store()
        (run,) = store.runs()
        assert report.nodeid in {test.nodeid for test in store.tests(run.id)}, report.nodeid
        store.close()
"""


BUNDLED = ("test_build[demo-stable]", "test_provision[here]", "test_e2e[demo-stable-here]")


@pytest.mark.parametrize("workers", ["0", "2"])
def test_every_test_is_recorded_before_it_is_shown(
    rootdir: Rootdir, workers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMO_TOKEN", "hunter2222")
    rootdir.pytester.makeconftest(_CONFTEST)
    rootdir.pytester.makepyfile(test_own=_OWN, test_dies="import os\ndef test_dies(): os._exit(3)")
    suite = "--pyargs", "pytest_crosscloud.suite"
    own = ("test_own.py", *(["test_dies.py"] if workers != "0" else []))
    result = rootdir.run("-n", workers, "--clouds=here", "--projects=demo", "--refs=stable", *own, *suite)
    assert "INTERNALERROR" not in result.stdout.str()

    found = recorded()
    assert outcomes(found) == {
        "test_build[demo-stable]": "passed",
        "test_provision[here]": "passed",
        "test_e2e[demo-stable-here]": "passed",
        "test_passes[here]": "passed",
        "test_fails": "failed",
        "test_skips": "skipped",
        "test_cannot_start": "error",
        "test_cannot_end": "error",
        "test_fails_and_cannot_end": "failed",
        "test_expected": "skipped",
        "test_has_parts": "passed",
    } | ({"test_dies": "error"} if workers != "0" else {})
    assert [test.bundled for test in found] == [test.nodeid.endswith(BUNDLED) for test in found]
    said = {test.nodeid.rpartition("::")[2]: test.message for test in found}
    assert said["test_fails"].startswith("AssertionError: secret [redacted]")
    assert said["test_skips"] == "Skipped: not today"
    assert said["test_passes[here]"] == ""
    assert said["test_cannot_start"] == "ValueError: no fixture"
    assert all(test.ended > 1e9 for test in found)


def outcomes(found: list[TestResult]) -> dict[str, str]:
    return {test.nodeid.rpartition("::")[2]: test.outcome for test in found}


def recorded() -> list[TestResult]:
    store = open_store()
    (run,) = store.runs()
    found = store.tests(run.id)
    store.close()
    return found
