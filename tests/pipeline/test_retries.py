"""Attempts of a stage, seen from outside: infrastructure is tried again, a product only on request, both visibly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from .conftest import Rootdir
from .test_pipeline import _wait_for, results

SELECT = ("--clouds=here", "--projects=demo", "--refs=stable")


def stage(rootdir: Rootdir, name: str) -> Any:
    return results(rootdir)["demo-stable-here"]["stages"][name]


def test_infrastructure_is_tried_again_on_what_was_cleaned(rootdir: Rootdir) -> None:
    rootdir.configure("retries: {backoff: 0}")
    rootdir.make("build demo-stable", "quota 1")
    rootdir.make("provision here", "quota 2")
    rootdir.make("deploy demo-stable-here", "quota 9")
    result = rootdir.run(*SELECT)
    assert result.ret == 1
    assert [stage(rootdir, name)["attempts"] for name in ("build", "provision", "deploy", "e2e")] == [2, 3, 3, 0]
    provision = stage(rootdir, "provision")
    assert (provision["status"], provision["flaky"]) == ("success", False)
    assert "(passed at attempt 3; before: quota exceeded for the 2. time)" in provision["detail"]
    # Each half-made cluster went before the next was begun, and the last at the end.
    story = [line for line in rootdir.ledger() if line.endswith(" here") and not line.startswith("hook")]
    half_made = ["start provision here", "destroy here"]
    assert story == [*half_made, *half_made, "start provision here", "end provision here", "destroy here"]
    # The log has all attempts, and what the failed ones left lies beside it.
    folder = rootdir.out / "clusters" / "here"
    log = (folder / "provision.log").read_text()
    assert log.count("this is the log of provision here") == 3
    assert "== attempt 2 of 3: quota exceeded for the 1. time" in log
    assert sorted(path.name for path in folder.iterdir()) == [
        "provision-attempt-1",
        "provision-attempt-2",
        "provision.log",
    ]
    assert (folder / "provision-attempt-2" / "console.txt").read_text() == "the console"
    deploy = stage(rootdir, "deploy")
    assert deploy["error"]["message"] == "after 3 attempts: quota exceeded for the 3. time"


def test_a_cloud_that_settles_late_is_cleaned_twice(rootdir: Rootdir) -> None:
    plugin = rootdir.path / "clouds" / "stand.py"
    plugin.write_text(plugin.read_text().replace("arch=(", "settles=0.1, arch=("))
    rootdir.configure("retries: {backoff: 0}")
    rootdir.make("provision here", "quota 1")
    assert rootdir.run(*SELECT).ret == 0
    assert rootdir.ledger("destroy") == ["destroy here"] * 3  # twice between the attempts, once at the end


def test_a_red_e2e_is_run_again_on_request_and_never_silently(rootdir: Rootdir) -> None:
    rootdir.make("e2e demo-stable-here-red", "1")
    rootdir.make("e2e demo-head-here-red", "9")
    result = rootdir.run("--clouds=here", "--projects=demo", "--flaky-reruns=2")
    assert result.ret == 1
    cells = results(rootdir)
    flaky, red = (cells[f"demo-{ref}-here"]["stages"]["e2e"] for ref in ("stable", "head"))
    assert (flaky["status"], flaky["attempts"], flaky["flaky"]) == ("success", 2, True)
    assert "before: 1 of 8 checks failed: reverse lookup" in flaky["detail"]
    assert (red["status"], red["attempts"], red["flaky"]) == ("failed", 3, False)
    assert red["error"]["message"].startswith("after 3 attempts: 1 of 8 checks failed")
    assert rootdir.ledger("start deploy") == ["start deploy demo-stable-here", "start deploy demo-head-here"]
    result.stdout.fnmatch_lines(["*e2e*demo-stable-here*flaky*", "*1 flaky cell*"])


def test_neither_a_product_nor_a_defect_is_tried_again_by_itself(rootdir: Rootdir) -> None:
    rootdir.make("build demo-stable", "fail")
    rootdir.make("provision here", "raise")
    assert rootdir.run(*SELECT, "--flaky-reruns=2").ret == 1
    assert [stage(rootdir, name)["attempts"] for name in ("build", "provision")] == [1, 1]
    assert rootdir.ledger("start") == ["start build demo-stable", "start provision here"]


def test_what_a_dead_worker_began_is_made_by_another(rootdir: Rootdir) -> None:
    rootdir.configure("retries: {backoff: 0}")
    rootdir.make("provision here", "die once")
    rootdir.make("e2e demo-stable-here", "die once")  # nothing else needs it: its own test comes again
    result = rootdir.run("-n", "2", *SELECT)
    for name in ("provision", "e2e"):
        assert (stage(rootdir, name)["status"], stage(rootdir, name)["attempts"]) == ("success", 2)
        assert "the worker that ran this stage died" in stage(rootdir, name)["detail"]
    assert not stage(rootdir, "e2e")["flaky"]
    assert rootdir.ledger("destroy") == ["destroy here", "destroy here"]
    assert result.ret == 0
    result.assert_outcomes(passed=3)


def test_a_stage_that_kills_every_worker_is_a_failure_in_the_end(rootdir: Rootdir) -> None:
    rootdir.configure("retries: {attempts: 2, backoff: 0}")
    rootdir.make("e2e demo-stable-here", "die")
    result = rootdir.run("-n", "2", *SELECT)
    assert result.ret == 1
    assert rootdir.ledger("start e2e") == ["start e2e demo-stable-here"] * 2
    e2e = stage(rootdir, "e2e")
    assert (e2e["status"], e2e["error"]["class"]) == ("failed", "infrastructure")
    assert e2e["error"]["message"] == "after 2 attempts: the worker that ran this stage died"
    assert (rootdir.out / "cells" / "demo-stable-here" / "bundle.tar.gz").is_file()


@pytest.mark.parametrize("workers", ["0", "2"])
def test_ctrl_c_ends_a_pause_at_once(rootdir: Rootdir, workers: str) -> None:
    rootdir.configure("retries: {backoff: 600}")
    rootdir.make("build demo-stable", "quota 9")
    command = [sys.executable, "-m", "pytest", "--registry=registry.test", "-n", workers, *SELECT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True) as process:
        log = rootdir.out / "builds" / "demo-stable" / "build.log"
        _wait_for(lambda: log.exists() and "== attempt 2 of 3 in" in log.read_text(), "pause")
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)  # far below the pause
    build = stage(rootdir, "build")
    assert (build["status"], build["attempts"]) == ("cancelled", 1)


@pytest.mark.parametrize("given", ["-1", "often"])
def test_reruns_are_a_number(rootdir: Rootdir, given: str) -> None:
    result = rootdir.run(*SELECT, f"--flaky-reruns={given}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--flaky-reruns={given} is not a number of times*"])
