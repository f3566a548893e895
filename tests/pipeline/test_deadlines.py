"""Stages whose time is over, seen from outside: red, of the infrastructure's class, and with what they waited for."""

from __future__ import annotations

import pytest

from .conftest import Rootdir
from .test_retries import SELECT, stage

#: In the rootdir's conftest.py: nobody waits as long as in earnest for a hook that does not look at its time.
IMPATIENT = "from pytest_crosscloud.run import watchdog\nwatchdog.GRACE = 0.5\n"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("late", "deadline exceeded while waiting for the moon"),
        ("late command", "deadline exceeded while asking the oracle; sh still ran, and said at last: thinking"),
    ],
    ids=["wait_until", "command"],
)
def test_a_stage_whose_time_is_over_says_what_it_waited_for(rootdir: Rootdir, how: str, said: str) -> None:
    rootdir.configure("timeouts: {deploy: 2}")
    rootdir.make("deploy demo-stable-here", how)
    assert rootdir.run(*SELECT).ret == 1
    deploy, e2e = stage(rootdir, "deploy"), stage(rootdir, "e2e")
    assert (deploy["status"], deploy["attempts"], deploy["error"]["class"]) == ("failed", 1, "infrastructure")
    assert deploy["error"]["message"] == f"deploy demo-stable-here: {said}"
    assert e2e["status"] == "n/a"
    assert rootdir.ledger("destroy") == ["destroy here"]


@pytest.mark.parametrize(("how", "workers"), [("block", "0"), ("read", "2")])
def test_a_hook_that_does_not_look_at_its_time_is_interrupted(rootdir: Rootdir, how: str, workers: str) -> None:
    rootdir.pytester.makeconftest(IMPATIENT)
    rootdir.configure("timeouts: {deploy: 2}")
    rootdir.make("deploy demo-stable-here", how)
    assert rootdir.run("-n", workers, *SELECT).ret == 1
    deploy = stage(rootdir, "deploy")
    assert (deploy["status"], deploy["attempts"], deploy["error"]["class"]) == ("failed", 1, "infrastructure")
    said = "deploy demo-stable-here: deadline exceeded while asking the oracle; stand.py:"
    assert deploy["error"]["message"].startswith(said)
    log = (rootdir.out / "cells" / "demo-stable-here" / "deploy.log").read_text()
    assert "this is where its hook was" in log and ("time.sleep(600)" if how == "block" else "here.recv(1)") in log
    assert rootdir.ledger("destroy") == ["destroy here"]
