"""``crosscloud report``: what is recorded of a run is enough, when all else of it is gone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import junit_schema
from pytest_crosscloud import cli
from pytest_crosscloud.run import processes
from pytest_crosscloud.run.store import open_store
from tests.run.standin import eventually

from .conftest import Rootdir


def document(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return read


def cases(path: Path) -> dict[str, list[str]]:
    return {
        str(case.get("name")): [child.tag for child in case if child.tag != "system-out"]
        for case in junit_schema.check(path).iter("testcase")
    }


def test_of_a_killed_run_without_plugins_or_files(rootdir: Rootdir, capsys: pytest.CaptureFixture[str]) -> None:
    rootdir.pytester.makepyfile(test_own="def test_own(artifacts): assert artifacts.ref.name == 'stable', 'not stable'")
    rootdir.make("build demo-head", "fail")
    rootdir.make("deploy demo-stable-here", "hang")
    command = [sys.executable, "-m", "pytest", "--registry=registry.test", "-n", "2"]
    command += ["--clouds=here", "--projects=demo"]
    command += ["test_own.py", "--pyargs", "pytest_crosscloud.suite"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as killed:
        store = open_store()
        eventually(lambda: rootdir.ledger("hang"), "deploy")
        (run,) = store.runs()
        eventually(lambda: "e2e demo-head-here" in store.results(run.id), "n/a")
        eventually(lambda: sum(not test.bundled for test in store.tests(run.id)) == 2, "own tests")
        for process in processes.of_reaper(run.id):  # nobody is left to report
            processes.send(process, signal.SIGKILL)
        killed.kill()
        killed.wait()
        processes.end_all(lambda: processes.of_run(run.id))
    shutil.rmtree(rootdir.path / "clouds")
    shutil.rmtree(rootdir.out)

    assert cli.main(["report"]) == 0

    written = document(rootdir.out)
    assert (written["run"]["id"], written["run"]["status"]) == (run.id, "failed")
    assert written["run"]["finished"] >= written["run"]["started"]
    assert {cell["id"]: [stage["status"] for stage in cell["stages"].values()] for cell in written["cells"]} == {
        "demo-stable-here": ["success", "success", "cancelled", "cancelled"],
        "demo-head-here": ["failed", "success", "n/a", "n/a"],
    }
    own = {test["nodeid"]: (test["outcome"], test["message"]) for test in written["tests"] if not test["bundled"]}
    assert own["test_own.py::test_own[demo-stable]"] == ("passed", "")
    found = cases(rootdir.out / "junit.xml")
    assert found["build demo-head"] == ["failure"] and found["build demo-stable"] == []
    assert found["e2e demo-stable-here"] == ["skipped"] and found["test_own[demo-stable]"] == []
    assert list((rootdir.out / "allure-results").glob("*-result.json"))
    assert 'data-finished="yes"' in (rootdir.out / "index.html").read_text()
    assert "build demo-head went wrong" in capsys.readouterr().out

    assert cli.main(["report", "--list"]) == 0
    line = capsys.readouterr().out.strip("\n").split("\t")
    assert (line[0], line[2], line[3]) == (run.id, "orphaned", "failed")
    store.close()


def e2e_status(rootdir: Rootdir) -> str:
    status: str = document(rootdir.out)["cells"][0]["stages"]["e2e"]["status"]
    return status


def test_of_a_run_that_goes_on_and_of_one_whose_place_another_took(
    rootdir: Rootdir, capsys: pytest.CaptureFixture[str]
) -> None:
    select = ("--clouds=here", "--projects=demo", "--refs=stable")
    assert rootdir.run(*select).ret == 0
    first = document(rootdir.out)["run"]["id"]
    assert cli.main(["report", "--junit", "own.xml"]) == 0
    assert not any(cases(rootdir.path / "own.xml").values())
    (rootdir.out / "builds" / "demo-stable" / "mine.txt").write_text("left by the stage")
    assert cli.main(["report", first, "--out", "copy"]) == 0
    assert document(rootdir.path / "copy")["run"]["status"] == "success"
    assert (rootdir.path / "copy" / "builds" / "demo-stable" / "mine.txt").exists()

    rootdir.make("e2e demo-stable-here", "hang")
    with subprocess.Popen([sys.executable, "-m", "pytest", "--registry=registry.test", *select]) as second:
        try:
            eventually(lambda: rootdir.ledger("hang"), "e2e")
            assert cli.main(["report"]) == 0
            assert document(rootdir.out)["run"]["status"] == "running"
            # The run itself writes what it knew a moment ago, too.
            eventually(lambda: e2e_status(rootdir) == "running", "the results of now")
            assert cli.main(["report", first]) == 4
            assert "another run reports into" in capsys.readouterr().err
        finally:
            os.kill(second.pid, signal.SIGINT)
    assert cli.main(["report", first]) == 4
    assert "has the reports of run" in capsys.readouterr().err
    assert cli.main(["report", first, "--out", "elsewhere"]) == 0
    assert document(rootdir.path / "elsewhere")["run"]["id"] == first
    capsys.readouterr()
    assert cli.main(["report", "--list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["runs"]
    assert [(run["status"], run["counts"]["success"], run["tests"].get("passed")) for run in listed] == [
        ("success", 1, 3),
        ("cancelled", 0, 2),
    ]


def test_no_such_run_is_a_usage_error(rootdir: Rootdir, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report"]) == 4
    assert "there is no run yet" in capsys.readouterr().err
    assert cli.main(["report", "beef"]) == 4
    assert "there is no run 'beef'" in capsys.readouterr().err
