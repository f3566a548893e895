"""pytest over a matrix of stand-ins: once per run, n/a, reports, the exit code, and what is destroyed when."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import junit_schema
from pytest_crosscloud.run import reaper
from pytest_crosscloud.run.processes import Process

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Rootdir

WORKERS = pytest.mark.parametrize("workers", ["0", "1", "3", "auto"])


def results(rootdir: Rootdir) -> dict[str, Any]:
    data = json.loads((rootdir.out / "results.json").read_text())
    return {cell["id"]: cell for cell in data["cells"]}


def statuses(rootdir: Rootdir) -> dict[str, dict[str, str]]:
    return {
        name: {stage: result["status"] for stage, result in cell["stages"].items()}
        for name, cell in results(rootdir).items()
    }


GREEN = {"build": "success", "provision": "success", "deploy": "success", "e2e": "success"}


@WORKERS
def test_every_stage_is_made_once(rootdir: Rootdir, workers: str) -> None:
    result = rootdir.run("-n", workers, "--clouds=here,there", "--projects=demo,other")
    assert result.ret == 0, result.outlines
    result.assert_outcomes(passed=4 + 2 + 8)
    started = rootdir.ledger("start")
    assert len(started) == len(set(started)) == 4 + 2 + 8 + 8
    assert sorted(rootdir.ledger("destroy")) == ["destroy here", "destroy there"]
    assert all(cell == GREEN for cell in statuses(rootdir).values())
    assert len(statuses(rootdir)) == 8


def test_lines_about_stages_are_lines_of_their_own_among_pytests(rootdir: Rootdir) -> None:
    result = rootdir.run("-v", "--clouds=here", "--projects=demo", "--refs=stable")
    lines = result.outlines
    assert any(line.startswith("  build      demo-stable") for line in lines)
    assert not any("::" in line and "  success" in line for line in lines), lines


@WORKERS
def test_dependants_of_a_failed_build_are_na_with_the_cause(rootdir: Rootdir, workers: str) -> None:
    rootdir.make("build demo-head", "fail")
    result = rootdir.run("-n", workers, "--clouds=here", "--projects=demo")
    assert result.ret == 1
    result.assert_outcomes(passed=3, failed=1, skipped=1)
    cell = results(rootdir)["demo-head-here"]
    assert {stage: value["status"] for stage, value in cell["stages"].items()} == {
        "build": "failed",
        "provision": "success",
        "deploy": "n/a",
        "e2e": "n/a",
    }
    assert cell["stages"]["build"]["error"]["class"] == "product"
    assert cell["stages"]["e2e"]["upstream"] == "build demo-head"
    assert statuses(rootdir)["demo-stable-here"] == GREEN
    assert rootdir.ledger("start build demo-head") == ["start build demo-head"]
    result.stdout.fnmatch_lines(["*build demo-head went wrong*", "*mend it*"])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_dependants_of_a_failed_provision_are_na_and_it_is_destroyed(rootdir: Rootdir) -> None:
    rootdir.make("provision here", "fail")
    result = rootdir.run("-n", "2", "--clouds=here,there", "--projects=demo", "--refs=stable")
    assert result.ret == 1
    assert statuses(rootdir)["demo-stable-here"]["e2e"] == "n/a"
    assert statuses(rootdir)["demo-stable-there"] == GREEN
    assert "destroy here" in rootdir.ledger()  # half of it may be there


def test_an_e2e_without_counts_says_what_it_was(rootdir: Rootdir) -> None:
    rootdir.pytester.makeconftest(
        """
        from pytest_crosscloud import hookimpl
        from pytest_crosscloud.model import E2EResult

        @hookimpl(tryfirst=True)
        def crosscloud_e2e(request):
            return E2EResult(0, detail="installed and ready")
        """
    )
    rootdir.run("--clouds=here", "--projects=demo", "--refs=stable").assert_outcomes(passed=3)
    assert results(rootdir)["demo-stable-here"]["stages"]["e2e"]["detail"] == "installed and ready"


def test_a_red_e2e_is_a_failure_of_the_product(rootdir: Rootdir) -> None:
    rootdir.make("e2e demo-stable-here-red", "")
    result = rootdir.run("--clouds=here", "--projects=demo", "--refs=stable")
    assert result.ret == 1
    error = results(rootdir)["demo-stable-here"]["stages"]["e2e"]["error"]
    assert error["class"] == "product"
    assert "1 of 8 checks failed: reverse lookup: timed out" in error["message"]


def test_a_defect_is_a_failed_stage_with_its_traceback_in_the_log(rootdir: Rootdir) -> None:
    rootdir.make("deploy demo-stable-here", "raise")
    result = rootdir.run("--clouds=here", "--projects=demo", "--refs=stable")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*ValueError: a defect*"])
    assert "Traceback" not in result.stdout.str()
    assert "Traceback" in (rootdir.out / "cells" / "demo-stable-here" / "deploy.log").read_text()


def test_builds_and_clusters_are_made_side_by_side(rootdir: Rootdir) -> None:
    rootdir.make("build demo-stable", "meet")  # ends only when another stage runs meanwhile
    assert rootdir.run("-n", "auto", "--clouds=here", "--projects=demo", "--refs=stable").ret == 0


def test_a_worker_that_dies_fails_its_stage_and_the_rest_goes_on(rootdir: Rootdir) -> None:
    rootdir.make("build demo-head", "die")
    rootdir.configure("retries: {attempts: 1}")
    result = rootdir.run("-n", "2", "--clouds=here", "--projects=demo")
    assert result.ret == 1
    assert statuses(rootdir)["demo-stable-here"] == GREEN
    cell = results(rootdir)["demo-head-here"]["stages"]
    assert cell["build"]["error"]["class"] == "infrastructure"
    assert cell["e2e"]["status"] == "n/a"
    assert rootdir.ledger("start build demo-head") == ["start build demo-head"]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_users_own_tests_run_over_the_same_matrix(rootdir: Rootdir, workers: str) -> None:
    rootdir.pytester.makepyfile(
        test_own="""
        import pytest

        def test_nodes(cluster): assert cluster.nodes
        def test_release(release): assert release.namespace
        def test_runner(e2e): assert e2e().exit_code == 0
        def test_pins(artifacts): assert artifacts.pins
        @pytest.mark.crosscloud(clouds="there", projects=["other"])
        def test_narrow(release, cluster): assert cluster.cloud == "there"
        def test_plain(): pass
        """
    )
    result = rootdir.run("-n", workers, "--clouds=here,there", "--projects=demo,other", "--refs=stable", "-v", ".")
    result.assert_outcomes(passed=2 + 4 + 4 + 2 + 1 + 1)
    started = rootdir.ledger("start")
    assert len(started) == len(set(started)) == 2 + 2 + 4 + 4
    text = result.stdout.str()
    for name in ("test_nodes[here]", "test_release[demo-stable-there]", "test_narrow[other-stable-there]"):
        assert name in text
    assert "test_narrow[other-stable-here]" not in text


def test_without_a_selection_own_tests_say_how_to_select(rootdir: Rootdir) -> None:
    rootdir.pytester.makepyfile("def test_release(release): pass")
    result = rootdir.pytester.runpytest_subprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*--clouds*"])
    assert not rootdir.ledger()


def test_ids_are_strings_in_matrix_order(rootdir: Rootdir) -> None:
    result = rootdir.run("--clouds=here", "--projects=demo", "--refs=head,v9", "--collect-only", "-q")
    names = re.findall(r"::(test_\w+\[.*\])", result.stdout.str())
    assert sorted(names) == [
        "test_build[demo-head]",
        "test_build[demo-v9]",
        "test_e2e[demo-head-here]",
        "test_e2e[demo-v9-here]",
        "test_provision[here]",
    ]
    assert not rootdir.ledger()  # collecting makes nothing
    assert not rootdir.out.exists()


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_cluster_goes_when_its_last_test_is_done(rootdir: Rootdir, workers: str) -> None:
    """``here`` is destroyed while the run still waits for ``there``, whatever became of its tests."""
    rootdir.pytester.makepyfile(
        test_own="""
        import os, time
        import pytest
        from pathlib import Path

        LEDGER = Path(__file__).with_name("ledger")

        def test_passes(cluster): pass
        def test_fails(release): assert release.namespace == "wrong"
        def test_skips(cluster): pytest.skip("not today")
        @pytest.fixture
        def broken(cluster): raise ValueError("a defect")
        def test_errs(broken): pass
        def test_left_out(cluster): raise AssertionError("deselected")
        @pytest.mark.crosscloud(clouds="here")
        def test_crashes(cluster):
            if "PYTEST_XDIST_WORKER" in os.environ:
                os._exit(3)
        @pytest.mark.crosscloud(clouds="there")
        def test_zzz_waits(e2e, cluster):
            limit = time.monotonic() + 30
            while "destroy here" not in LEDGER.read_text():
                assert time.monotonic() < limit, "the cluster without tests is still there"
                time.sleep(0.01)
        def test_plain(): pass
        """
    )
    select = ("--clouds=here,there", "--projects=demo", "--refs=stable", "-k", "not left_out", ".", "-n", workers)
    result = rootdir.run(*select, "--max-clusters=2")
    crashed = int(workers != "0")
    result.assert_outcomes(
        passed=2 + 1 + 1 + 1 - crashed, failed=2 + crashed, skipped=2, errors=2, deselected=0 if crashed else 2
    )
    assert sorted(rootdir.ledger("destroy")) == ["destroy here", "destroy there"]


@pytest.mark.parametrize("workers", ["0", "3"])
def test_no_more_clusters_than_allowed_are_there(rootdir: Rootdir, workers: str) -> None:
    """``here`` comes first, and ``there`` only after it is destroyed: 2 of one are forbidden, and so are 2 of all."""
    (rootdir.path / "cross-cloud.yml").write_text(
        "clouds: {here: {max_clusters: 1}}\nkubernetes: {stable: v1.2.3, old: v1.1.0}\n"
    )
    select = ("--clouds=here,there", "--projects=demo,other", "--refs=stable", "--kubernetes=stable,old")
    assert rootdir.run("-n", workers, *select, "--max-clusters=2").ret == 0
    there = {"here": 0, "there": 0}
    for line in rootdir.ledger():
        what, _, cloud = line.removeprefix("start ").partition(" ")
        if what in ("provision", "destroy"):
            there[cloud] += 1 if what == "provision" else -1
            assert there["here"] <= 1, line
            assert sum(there.values()) <= 2, line
    assert len(rootdir.ledger("start provision")) == len(rootdir.ledger("destroy")) == 4
    assert len(rootdir.ledger("start e2e")) == 8


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--max-clusters=0"], "at least 1"), (["--max-clusters=1", "--dist=load", "-n2"], "leave out --dist")],
)
def test_limits_that_cannot_be_kept(rootdir: Rootdir, options: list[str], said: str) -> None:
    result = rootdir.run("--clouds=here,there", "--projects=demo", "--refs=stable", *options)
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"*{said}*"])
    assert not rootdir.ledger()


def test_the_next_run_begins_with_what_took_longest(rootdir: Rootdir) -> None:
    rootdir.make("provision there", "slow")
    plugin = rootdir.path / "clouds" / "stand.py"
    plugin.write_text(plugin.read_text().replace('note(f"end {what}")', 'text == "slow" and time.sleep(0.5)'))
    select = ("--clouds=here,there", "--projects=demo", "--refs=stable")
    for workers in ("0", "1"):
        assert rootdir.run("-n", workers, *select).ret == 0
    provisions = [line.split()[-1] for line in rootdir.ledger("start provision")]
    assert provisions == ["here", "there", "there", "here"]


def test_keep_failed_keeps_the_cluster_and_says_so(rootdir: Rootdir, monkeypatch: pytest.MonkeyPatch) -> None:
    rootdir.make("e2e demo-stable-here-red", "")
    result = rootdir.run("--clouds=here,there", "--projects=demo", "--refs=stable", "--keep-failed=1h")
    assert result.ret == 1
    assert rootdir.ledger("destroy") == ["destroy there"]
    result.stdout.re_match_lines([r"kept until \d{4}-\d\d-\d\d \d\d:\d\d[+-]\d\d:\d\d: cluster .*KUBECONFIG="])
    clean = _clean(rootdir)
    assert sorted(rootdir.ledger("destroy")) == ["destroy here", "destroy there"], clean


def _clean(rootdir: Rootdir) -> str:
    """What ``crosscloud clean`` says when it destroys what the last run left."""
    command = [str(Path(sys.executable).with_name("crosscloud")), "clean", "--run", rootdir.last_run]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_keep_failed_keeps_the_cluster_of_a_users_red_test(rootdir: Rootdir) -> None:
    (rootdir.path / "test_own.py").write_text(
        "def test_green(cluster): pass\ndef test_red(cluster): assert cluster.cloud == 'there'\n"
    )
    result = rootdir.run("-n2", "--clouds=here,there", "--projects=demo", "--keep-failed=1h", "test_own.py")
    result.assert_outcomes(passed=3, failed=1)
    assert rootdir.ledger("destroy") == ["destroy there"]
    result.stdout.fnmatch_lines(["kept until*cluster *here*KUBECONFIG=*"])
    _clean(rootdir)


def test_event_hooks_are_told_in_order(rootdir: Rootdir) -> None:
    rootdir.run("--clouds=here", "--projects=demo", "--refs=stable")
    told = rootdir.ledger("hook")
    assert [line for line in told if "build" in line] == [
        "hook started build demo-stable",
        "hook success build demo-stable",
    ]
    assert told[-1] == "hook run 1 cells"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--clouds=hre"], "*unknown cloud 'hre'*here*"),
        (["--clouds=here", "--projects=dmo"], "*unknown project 'dmo'*demo*"),
        (["--clouds=here", "--projects=demo", "--refs=nonsense"], "*demo has no ref 'nonsense'*"),
        (["--clouds=here", "--projects=demo", "--keep-failed=soon"], "*'soon' is not a duration*"),
        (["--clouds=here", "--crosscloud-config=missing.yml"], "*missing.yml*"),
    ],
)
@pytest.mark.parametrize("workers", ["0", "auto"])
def test_wrong_options_are_usage_errors(rootdir: Rootdir, arguments: list[str], expected: str, workers: str) -> None:
    result = rootdir.run("-n", workers, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([expected])
    assert "Traceback" not in result.stderr.str() + result.stdout.str()
    assert not rootdir.ledger()


def test_a_plugin_that_raises_is_named_and_the_others_go_on(rootdir: Rootdir) -> None:
    (rootdir.path / "projects").mkdir()
    (rootdir.path / "projects" / "broken.py").write_text("import no_such_module\n")
    result = rootdir.run("--clouds=here", "--projects=demo", "--refs=stable")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*projects/broken.py*no_such_module*"])


def test_what_was_is_not_lost_by_a_mistake(rootdir: Rootdir) -> None:
    """A wrong option comes before anything is removed."""
    assert rootdir.run("--clouds=here", "--projects=demo", "--refs=stable").ret == 0
    before = (rootdir.out / "results.json").read_text()
    assert rootdir.run("--clouds=here", "--projects=demo", "--refs=nonsense").ret == 4
    assert (rootdir.out / "results.json").read_text() == before
    assert (rootdir.out / "builds" / "demo-stable" / "release.env").exists()


def test_a_folder_of_somebody_else_is_not_cleared(rootdir: Rootdir) -> None:
    (rootdir.path / "builds").mkdir()
    (rootdir.path / "builds" / "precious").touch()
    result = rootdir.run("--clouds=here", "--projects=demo", "--refs=stable", "--crosscloud-out=.")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*files that are not a run's*"])
    assert (rootdir.path / "builds" / "precious").exists()


def test_two_runs_do_not_report_into_one_folder(rootdir: Rootdir) -> None:
    rootdir.make("e2e demo-stable-here", "hang")
    command = [sys.executable, "-m", "pytest", "--registry=registry.test", "--clouds=here", "--projects=demo"]
    with subprocess.Popen([*command, "--refs=stable"], stdout=subprocess.PIPE, start_new_session=True) as first:
        _wait_for(lambda: rootdir.ledger("hang"), "e2e stage")
        second = rootdir.run("--clouds=here", "--projects=demo", "--refs=stable")
        other = rootdir.run("--clouds=there", "--projects=demo", "--refs=stable", "--crosscloud-out=other")
        os.killpg(first.pid, signal.SIGINT)
        first.communicate(timeout=60)
    assert second.ret == 4
    second.stderr.fnmatch_lines(["*another run reports into*", "*--crosscloud-out*"])
    assert other.ret == 0


def test_a_ref_that_cannot_be_resolved_is_a_failed_build(rootdir: Rootdir) -> None:
    result = rootdir.run("--clouds=here", "--projects=demo", "--refs=stable,defect")
    assert result.ret == 1
    assert statuses(rootdir)["demo-stable-here"] == GREEN
    assert statuses(rootdir)["demo-defect-here"]["build"] == "failed"
    assert "Traceback" not in result.stdout.str()


def test_a_preflight_that_raises_is_no_traceback(rootdir: Rootdir) -> None:
    rootdir.make("preflight", "")
    result = rootdir.run("--clouds=here", "--projects=demo", "--refs=stable")
    assert result.ret == 4
    advice = "*crosscloud doctor --clouds=here says*"
    result.stderr.fnmatch_lines(["*cloud here cannot be used here*", "*a defect of the cloud*", advice])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_a_cloud_without_room_is_told_before_anything_is_made(rootdir: Rootdir) -> None:
    rootdir.make("capacity", "1")
    select = ("--clouds=here", "--projects=demo", "--refs=stable", "--kubernetes=v1.36.3,v1.35.4")
    result = rootdir.run(*select)
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*cloud here cannot be*", "*no room for 2 clusters at a time: machines: 2 needed, 1*"])
    assert not rootdir.ledger()
    assert not rootdir.out.exists()
    assert rootdir.run(*select, "--max-clusters=1").ret == 0


def test_all_clouds_that_lack_something_are_named_at_once(rootdir: Rootdir, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XC_ONE", "XC_TWO"):
        monkeypatch.delenv(name, raising=False)
    (rootdir.path / "clouds").mkdir(exist_ok=True)
    head = "from pytest_crosscloud import hookimpl\nfrom pytest_crosscloud.model import Cloud, Credential\n"
    clouds = [
        f"Cloud(name='{name.lower()[3:]}', credentials=(Credential('{name}', 'a key'),))"
        for name in ("XC_ONE", "XC_TWO")
    ]
    hook = f"@hookimpl\ndef crosscloud_clouds():\n    return [{', '.join(clouds)}]\n"
    (rootdir.path / "clouds/paid.py").write_text(head + hook)
    result = rootdir.run("--clouds=one,two", "--projects=demo", "--refs=stable")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*XC_ONE is not set: a key", "*XC_TWO is not set: a key", "*--clouds=one,two says*"])
    assert not rootdir.ledger()


def test_a_registry_that_is_not_installed_is_no_traceback(rootdir: Rootdir, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = rootdir.path / "tools"
    tools.mkdir()
    (tools / "git").symlink_to("/usr/bin/git")
    monkeypatch.setenv("PATH", str(tools))
    result = rootdir.run("--clouds=here", "--projects=demo", "--refs=stable", registry="")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*docker-registry is not installed*", "*apt-get install*"])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_console_output_is_evidence_and_hides_no_cause(rootdir: Rootdir) -> None:
    rootdir.make("provision here", "fail")
    rootdir.make("provision there", "fail")
    rootdir.run("--clouds=here", "--projects=demo", "--refs=stable")
    assert (rootdir.out / "clusters" / "here" / "console.txt").read_text() == "the console"
    rootdir.make("console", "")
    rootdir.run("--clouds=there", "--projects=demo", "--refs=stable")
    error = results(rootdir)["demo-stable-there"]["stages"]["provision"]["error"]
    assert "provision there went wrong" in error["message"]


def test_the_closest_mark_counts_and_unknown_keywords_do_not_pass(rootdir: Rootdir) -> None:
    rootdir.pytester.makepyfile(
        test_marks="""
        import pytest
        pytestmark = pytest.mark.crosscloud(clouds="here")
        @pytest.mark.crosscloud(clouds="there")
        def test_own(cluster): assert cluster.cloud == "there"
        def test_module(cluster): assert cluster.cloud == "here"
        """,
        test_unknown="""
        import pytest
        @pytest.mark.crosscloud(cloud="there")
        def test_own(cluster): pass
        """,
    )
    select = ("--clouds=here,there", "--projects=demo", "--refs=stable")
    rootdir.run(*select, "test_marks.py").assert_outcomes(passed=2)
    narrower = ("--clouds=here", "--projects=demo", "--refs=stable", "test_marks.py")
    rootdir.run(*narrower).assert_outcomes(passed=1, skipped=1)
    result = rootdir.run(*select, "test_unknown.py")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*pytest.mark.crosscloud takes over=, projects=, clouds=*"])


def test_an_empty_selection_is_not_no_selection(rootdir: Rootdir) -> None:
    result = rootdir.run("--projects=")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*--projects names nothing*"])


def _wait_for(condition: Callable[[], object], what: str) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit, f"no {what} within a minute"
        time.sleep(0.02)


def _wait_for_end_of(run: str) -> None:
    limit = time.monotonic() + 60
    while carrying := _carrying(run):
        assert time.monotonic() < limit, f"still there of {run}: {carrying}\n{reaper.log(run).read_text()}"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("workers", ["0", "2"])
def test_what_runs_is_ended_and_destroyed_however_pytest_ends(
    rootdir: Rootdir, number: signal.Signals, workers: str
) -> None:
    rootdir.make("e2e demo-stable-here", "hang")
    command = [sys.executable, "-m", "pytest", "--registry=registry.test", "-n", workers]
    command += ["--clouds=here", "--projects=demo", "--refs=stable", "--junitxml=junit.xml"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True) as process:
        _wait_for(lambda: rootdir.ledger("hang"), "e2e stage")
        # Ctrl-C goes to the whole foreground process group, a kill to the controller alone.
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        text = process.communicate(timeout=60)[0].decode()
    assert process.returncode != 0
    assert ("interrupted: ending what runs" in text) == (number != signal.SIGKILL)
    _wait_for(lambda: "destroy here" in rootdir.ledger(), "destroy")
    run = rootdir.last_run
    _wait_for_end_of(run)
    # Of a killed pytest, the reaper writes them.
    _wait_for(lambda: (rootdir.path / "junit.xml").exists(), "JUnit file")
    cases = list(junit_schema.check(rootdir.path / "junit.xml").iter("testcase"))
    of_cell = [case for case in cases if "demo-stable-here" in case.attrib["name"]]
    assert any(case.find("skipped") is not None for case in of_cell), "it was cut off"
    assert statuses(rootdir)["demo-stable-here"] == GREEN | {"e2e": "cancelled"}
    assert json.loads((rootdir.out / "results.json").read_text())["run"]["status"] == "cancelled"


def test_what_a_killed_pytest_has_forked_goes_with_it(rootdir: Rootdir) -> None:
    """Also a command that it is about to start is only a fork yet, without a mark of the run."""
    rootdir.make("e2e demo-stable-here", "hang")
    rootdir.pytester.makeconftest(
        """
        import os, pathlib, signal

        def pytest_sessionstart(session):
            if not (pid := os.fork()):
                signal.pause()
            pathlib.Path("forked").write_text(str(pid))
        """
    )
    command = [sys.executable, "-m", "pytest", "--registry=registry.test", "-n0", "--clouds=here", "--projects=demo"]
    with subprocess.Popen([*command, "--refs=stable"], stdout=subprocess.DEVNULL) as process:
        _wait_for(lambda: rootdir.ledger("hang"), "e2e stage")
        forked = Process.of(int((rootdir.path / "forked").read_text()))
        assert forked
        process.kill()
    _wait_for(lambda: forked.is_dead, "end of the fork")
    _wait_for_end_of(rootdir.last_run)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_signal_while_the_run_starts_ends_it_with_its_reports(rootdir: Rootdir, workers: str) -> None:
    rootdir.pytester.makeconftest(
        """
        import os, signal
        from pytest_crosscloud.run import reaper

        def start(store, run, _start=reaper.start):
            started = _start(store, run)
            os.kill(os.getpid(), signal.SIGTERM)
            return started

        reaper.start = start
        """
    )
    result = rootdir.run("-n", workers, "--clouds=here", "--projects=demo", "--refs=stable", "--junitxml=junit.xml")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    junit_schema.check(rootdir.path / "junit.xml")
    assert json.loads((rootdir.out / "results.json").read_text())["run"]["finished"]
    assert not rootdir.ledger("start")
    run = rootdir.last_run
    _wait_for_end_of(run)


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_session_ends_costs_no_report(
    rootdir: Rootdir, workers: str, number: signal.Signals
) -> None:
    rootdir.pytester.makeconftest(
        f"""
        import os, pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_sessionfinish(session):
            if not hasattr(session.config, "workerinput"):
                os.kill(os.getpid(), {int(number)})
        """
    )
    result = rootdir.run("-n", workers, "--clouds=here", "--projects=demo", "--refs=stable", "--junitxml=junit.xml")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert len(list(junit_schema.check(rootdir.path / "junit.xml").iter("testcase"))) == 3
    assert statuses(rootdir)["demo-stable-here"] == GREEN
    _wait_for(lambda: "destroy here" in rootdir.ledger(), "destroy")
    _wait_for_end_of(rootdir.last_run)


def test_a_signal_to_the_controller_alone_is_passed_on_to_its_workers(rootdir: Rootdir) -> None:
    """execnet has them wait for five seconds first, in which what they run goes on."""
    rootdir.make("e2e demo-stable-here", "hang")
    rootdir.pytester.makeconftest(
        """
        import os, pathlib
        import execnet.gateway_base

        execnet.gateway_base.WorkerGateway._terminate_execution = lambda self: self._execpool.trigger_shutdown()
        HERE = pathlib.Path(__file__).parent

        def note(session, what):
            if hasattr(session.config, "workerinput"):
                with (HERE / "ledger").open("a") as ledger:
                    ledger.write(f"{what} {os.environ['PYTEST_XDIST_WORKER']}\\n")

        def pytest_sessionstart(session):
            note(session, "began")

        def pytest_sessionfinish(session):
            note(session, "finished")
        """
    )
    command = [sys.executable, "-m", "pytest", "--registry=registry.test", "-n2"]
    command += ["--clouds=here", "--projects=demo", "--refs=stable"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True) as process:
        _wait_for(lambda: rootdir.ledger("hang") and len(rootdir.ledger("began")) == 2, "e2e stage, and both workers")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert sorted(rootdir.ledger("finished")) == ["finished gw0", "finished gw1"], "neither was killed"


def _carrying(run: str) -> list[str]:
    """Processes with the run's mark."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"CROSSCLOUD_RUN={run}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found.append(f"{entry.name} {state} {(entry / 'wchan').read_text()}: {command}")
        except OSError:
            continue
    return found


@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_impatient_user_leaves_nothing_either(rootdir: Rootdir, workers: str) -> None:
    rootdir.make("e2e demo-stable-here", "hang")
    command = [sys.executable, "-m", "pytest", "--registry=registry.test", "-n", workers]
    command += ["--clouds=here,there", "--projects=demo", "--refs=stable"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True) as process:
        _wait_for(lambda: rootdir.ledger("hang"), "e2e stage")
        for _ in range(3):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.2)  # as fast as a person
        process.communicate(timeout=60)
    assert process.returncode != 0
    made = {line.removeprefix("end provision ") for line in rootdir.ledger("end provision")}
    _wait_for(lambda: {f"destroy {name}" for name in made} <= set(rootdir.ledger("destroy")), "destroy")
    run = rootdir.last_run
    _wait_for_end_of(run)


@pytest.mark.parametrize("option", ["-x", "--maxfail=1"])
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_that_stops_at_a_failure_leaves_nothing(rootdir: Rootdir, option: str, workers: str) -> None:
    rootdir.make("e2e demo-stable-here", "fail")
    result = rootdir.run("-n", workers, option, "--clouds=here,there", "--projects=demo", "--refs=stable,head")
    assert result.ret not in (0, 4)
    made = {line.removeprefix("end provision ") for line in rootdir.ledger("end provision")}
    assert "here" in made
    assert set(rootdir.ledger("destroy")) >= {f"destroy {name}" for name in made}
    assert "failed" in statuses(rootdir)["demo-stable-here"].values()
    running = [stage for cell in statuses(rootdir).values() for stage in cell.values() if stage == "running"]
    assert running == []
