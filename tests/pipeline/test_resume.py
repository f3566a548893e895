"""``pytest --resume``: only what is not finished, on the clusters that still live; and nothing green in silence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from filelock import FileLock

from pytest_crosscloud.run import context, processes
from pytest_crosscloud.run.store import RunRecord, Store, open_store
from tests.run.standin import eventually

from .conftest import Rootdir

SELECT = ("--clouds=here,there", "--projects=demo", "--refs=stable,head")


@pytest.fixture
def store(rootdir: Rootdir) -> Iterator[Store]:
    store = open_store()
    yield store
    store.close()


@contextmanager
def cut_off(rootdir: Rootdir, stage: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """pytest, while that stage hangs; killed with SIGKILL after the block. The stage does not hang the next time."""
    rootdir.make(stage, "hang")
    command = [sys.executable, "-m", "pytest", "--registry=registry.test", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True) as process:
        try:
            eventually(lambda: rootdir.ledger(f"hang {stage}"), stage, 60)
            yield process
        finally:
            process.kill()
            process.communicate(timeout=60)
    (rootdir.path / stage.replace(" ", "-")).unlink()


def wait_for_reaper(store: Store) -> None:
    def is_over(run: RunRecord) -> bool:
        return run.finished is not None and not processes.of_run(run.id)

    eventually(lambda: all(map(is_over, store.runs())), "the reaper", 60)


def document(rootdir: Rootdir) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((rootdir.out / "results.json").read_text())
    return read


@pytest.mark.parametrize("workers", ["0", "2"])
def test_only_what_is_not_finished_runs_again(rootdir: Rootdir, store: Store, workers: str) -> None:
    rootdir.make("build demo-head", "fail")
    rootdir.pytester.makepyfile(
        test_own="""
        def test_red(artifacts): assert artifacts.ref.name == "head", "it is stable"
        def test_broken(broken): pass
        """
    )
    rootdir.pytester.makeconftest(
        "import pytest, pathlib\n@pytest.fixture\ndef broken(): assert pathlib.Path('mended').exists()"
    )
    what = ("test_own.py", "--pyargs", "pytest_crosscloud.suite")
    with cut_off(rootdir, "e2e demo-stable-there", "-n", workers, *SELECT, *what):
        (old,) = store.runs()
        if workers != "0":
            eventually(lambda: len(store.tests(old.id)) == 2 + 2 + 4 + 3 - 1, "the other tests", 60)
    wait_for_reaper(store)
    before = rootdir.ledger()
    done = {test.nodeid: test for test in store.tests(old.id)}
    finished = {key for key, stage in store.results(old.id).items() if stage.status in ("success", "failed", "n/a")}
    (rootdir.path / "mended").touch()

    result = rootdir.run("-n", workers, "--resume")

    assert result.ret == 1, "what failed is still red"
    again = [line.removeprefix("start ") for line in rootdir.ledger()[len(before) :] if line.startswith("start")]
    assert len(again) == len(set(again))
    # The clusters are gone: the cell that was cut off needs its own anew, and its deploy.
    assert not finished & set(again) - {"provision there", "deploy demo-stable-there"}
    assert {"provision there", "deploy demo-stable-there", "e2e demo-stable-there"} <= set(again)
    new = store.runs()[-1]
    tests = {test.nodeid: test for test in store.tests(new.id)}
    assert len(tests) == 2 + 2 + 4 + 3
    for nodeid, test in done.items():
        taken = test.outcome != "error" or "test_red" in nodeid  # a build that will fail again, against a fixture
        assert tests[nodeid].resumed_from == (old.id if taken else "")
        assert not taken or tests[nodeid].outcome == test.outcome
    assert all(not test.resumed_from for nodeid, test in tests.items() if nodeid not in done)
    result.stdout.fnmatch_lines([f"*going on with run {old.id}*", f"resumed run {old.id}: *did not run again*"])
    written = document(rootdir)
    assert (written["run"]["resumes"], written["run"]["status"]) == (old.id, "failed")
    cells = {cell["id"]: cell for cell in written["cells"]}
    assert cells["demo-stable-there"]["status"] == "success"
    assert cells["demo-stable-there"]["stages"]["build"]["resumed_from"] == old.id
    assert cells["demo-stable-there"]["stages"]["e2e"]["resumed_from"] == ""
    assert (rootdir.out / "builds" / "demo-head" / "build.log").exists()
    assert "hook started build demo-stable" not in rootdir.ledger()[len(before) :]

    result = rootdir.run("--resume")
    assert result.ret == 0
    assert f"nothing is left to do of run {new.id}" in result.stdout.str() + result.stderr.str()
    assert len(store.runs()) == 2


@pytest.mark.parametrize("reaper", ["lives", "is killed, too"])
def test_clusters_that_still_live_are_taken_over(rootdir: Rootdir, store: Store, reaper: str) -> None:
    keep = ("--keep-failed=1h",) if reaper == "lives" else ()
    with cut_off(rootdir, "e2e demo-stable-here", "-n", "2", *SELECT, *keep) as process:
        (old,) = store.runs()
        eventually(lambda: "destroyed" in {item.state for item in store.resources(old.id)}, "the other cells", 60)
        if not keep:
            for found in processes.of_reaper(old.id):
                processes.send(found, signal.SIGKILL)
            process.kill()
            process.wait()
            processes.end_all(lambda: processes.of_run(old.id))
    if keep:
        wait_for_reaper(store)
    before = rootdir.ledger()
    assert "destroy here" not in before

    result = rootdir.run("-n", "2", "--resume", old.id)

    assert result.ret == 0, result.stdout.str()
    again = [line for line in rootdir.ledger()[len(before) :] if line.startswith("start")]
    assert "start e2e demo-stable-here" in again
    assert not [line for line in again if line.startswith(("start build", "start provision")) or "there" in line]
    assert "start deploy demo-stable-here" not in again
    new = store.runs()[-1]
    owned = {resource.name: (resource.run, resource.state) for resource in store.resources()}
    assert owned[f"xc-{old.id}-here"] == (new.id, "destroyed")
    assert sorted(rootdir.ledger("destroy")) == ["destroy here", "destroy there"]
    assert not context.directory(old.id).joinpath("clusters", "here").exists(), "its keys go with the cluster"


def test_a_cluster_that_is_there_needs_no_more_room(rootdir: Rootdir, store: Store) -> None:
    select = ("--clouds=here", "--projects=demo", "--refs=stable")
    with cut_off(rootdir, "e2e demo-stable-here", *select, "--keep-failed=1h"):
        (old,) = store.runs()
    wait_for_reaper(store)
    rootdir.make("capacity", "0")

    assert rootdir.run(*select).ret == 4, "another one would need it"
    result = rootdir.run("--resume", old.id)

    assert result.ret == 0, result.stdout.str() + result.stderr.str()
    assert rootdir.ledger("start provision") == ["start provision here"]
    rootdir.make("capacity", "1")
    with cut_off(rootdir, "e2e demo-stable-there", "--clouds=there", *select[1:]):
        pass
    wait_for_reaper(store)
    rootdir.make("capacity", "0")
    result = rootdir.run("--resume", "--clouds=there", *select[1:])
    assert result.ret == 4, "it is gone, and would be made again"
    result.stderr.fnmatch_lines(["*no room for a cluster*"])


def test_the_reports_of_the_killed_run_are_waited_for(rootdir: Rootdir, store: Store) -> None:
    select = ("--clouds=here", "--projects=demo", "--refs=stable")
    with cut_off(rootdir, "e2e demo-stable-here", *select):
        pass
    wait_for_reaper(store)
    command = [sys.executable, "-m", "pytest", "--registry=registry.test"]
    shown = rootdir.path / "shown"
    with FileLock(rootdir.out / ".crosscloud"):  # as who writes them has it
        assert rootdir.run(*select).ret == 4, "another run does not wait"
        with shown.open("wb") as output:
            process = subprocess.Popen([*command, "--resume"], stdout=output, stderr=output)
        eventually(lambda: process.poll() is not None or "waiting for the reports of" in shown.read_text(), "word", 60)
    assert process.wait(60) == 0, shown.read_text()
    assert f"waiting for the reports of run {store.runs()[0].id}\n" in shown.read_text()


def test_what_cannot_be_resumed_is_a_usage_error(rootdir: Rootdir, store: Store) -> None:
    def said(*arguments: str) -> str:
        result = rootdir.run(*arguments)
        assert result.ret == 4, result.stdout.str()
        assert "Traceback" not in result.stdout.str() + result.stderr.str()
        return result.stderr.str()

    assert "there is no run to resume" in said("--resume")
    assert "there is no run 'beef'" in said("-n", "2", "--resume=beef")
    select = ("--clouds=here", "--projects=demo", "--refs=stable")
    rootdir.make("build demo-stable", "hang")
    command = [sys.executable, "-m", "pytest", "--registry=registry.test", *select]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        eventually(lambda: rootdir.ledger("hang"), "build")
        (run,) = store.runs()
        assert f"run {run.id} is still running" in said("--resume")
        assert f"run {run.id} is still running" in said(f"--resume={run.id}")
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
    assert "there is no run to resume with this selection" in said("--resume", "--clouds=there", "--projects=demo")
    (rootdir.path / "build-demo-stable").unlink()
    result = rootdir.run("--resume", *select)
    assert result.ret == 0
    result.assert_outcomes(passed=3)


def test_what_chose_the_tests_chooses_the_rest_of_them(
    rootdir: Rootdir, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    select = ("--clouds=here,there", "--projects=demo", "--refs=stable")
    monkeypatch.setenv("SPECS", "all of them")
    with cut_off(rootdir, "e2e demo-stable-here", "-n", "2", *select):
        pass
    wait_for_reaper(store)
    (old,) = store.runs()
    assert old.record["command"].startswith("SPECS='all of them' pytest ")

    monkeypatch.setenv("SPECS", "few")
    result = rootdir.run("--resume")
    assert result.ret == 4
    said = f"run {old.id} was started with SPECS=all of them, and here it is few"
    assert said in result.stderr.str()

    monkeypatch.delenv("SPECS")
    rootdir.make("e2e demo-stable-here", "fail")
    result = rootdir.run("--resume")
    assert result.ret == 1
    cells = {cell["id"]: cell for cell in document(rootdir)["cells"]}
    assert cells["demo-stable-here"]["repeat"].startswith(("SPECS='all of them' pytest ", "crosscloud repro "))
    assert cells["demo-stable-there"]["repeat"].startswith("SPECS='all of them' pytest --clouds=there ")


def test_what_was_not_chosen_is_not_chosen_halfway(
    rootdir: Rootdir, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPECS", raising=False)
    with cut_off(rootdir, "e2e demo-stable-here", "--clouds=here", "--projects=demo", "--refs=stable"):
        pass
    wait_for_reaper(store)
    (old,) = store.runs()
    monkeypatch.setenv("SPECS", "few")
    result = rootdir.run("--resume")
    assert result.ret == 4
    assert f"run {old.id} was started without SPECS, and here it is few" in result.stderr.str()
    assert "unset SPECS" in result.stderr.str()
