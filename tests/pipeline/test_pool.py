"""The pool in whole runs: a cluster changes hands; it is destroyed when it is not well, or when its time is over."""

from __future__ import annotations

import time

import pytest

from pytest_crosscloud.cli import main
from pytest_crosscloud.run.store import Resource, open_store
from tests.run.standin import eventually

from .conftest import Rootdir

MATRIX = ("--clouds=here", "--projects=demo", "--refs=stable")


def resources() -> list[Resource]:
    store = open_store()
    try:
        return store.resources()
    finally:
        store.close()


def test_a_later_run_takes_the_cluster_of_an_earlier_one(rootdir: Rootdir, capsys: pytest.CaptureFixture[str]) -> None:
    first = rootdir.run(*MATRIX, "--reuse-clusters=10m")
    assert first.ret == 0
    first.stdout.fnmatch_lines(["in the pool until *: cluster xc-*-here*crosscloud clean --run *"])
    (pooled,) = resources()
    assert pooled.state == "pooled" and pooled.expires and 500 < pooled.expires - time.time() <= 600
    assert rootdir.ledger("recycle") == ["recycle here"] and rootdir.ledger("destroy") == []

    root = ["--rootdir", str(rootdir.path)]
    assert main(["plan", *MATRIX, "--reuse-clusters", *root]) == 0
    assert f"reused, if it answers: {pooled.name}" in capsys.readouterr().out
    assert main(["clean", "--dry-run", *root]) == 0
    assert "pooled" in capsys.readouterr().out

    second = rootdir.run(*MATRIX, "--reuse-clusters=10m")
    assert second.ret == 0
    second.stdout.fnmatch_lines([f"*provision  here *success *cached *reused: made by run {pooled.run}*"])
    assert rootdir.ledger("start provision") == ["start provision here"], "once, in the first run"
    assert rootdir.ledger("destroy") == []
    (again,) = resources()
    assert (again.name, again.state) == (pooled.name, "pooled") and again.run != pooled.run
    assert again.spec["lease"]["token"] > pooled.spec["lease"]["token"]

    # What was lent is not swept by the tag of the run that made it; with the run that has it, it goes.
    assert main(["clean", "--run", pooled.run, "--yes", *root]) == 0
    assert f"is run {again.run}'s now" in capsys.readouterr().out
    assert rootdir.ledger("destroy") == []
    assert main(["clean", "--run", again.run, "--yes", *root]) == 0
    assert rootdir.ledger("destroy") == ["destroy here"]

    assert rootdir.run(*MATRIX).ret == 0
    assert rootdir.ledger("destroy") == ["destroy here"] * 2, "without the option there is no pool"


def test_what_cannot_be_used_again_is_destroyed(rootdir: Rootdir) -> None:
    rootdir.make("recycle", "fail")
    assert rootdir.run(*MATRIX, "--reuse-clusters").ret == 0
    assert rootdir.ledger("destroy") == ["destroy here"]


def test_what_does_not_answer_any_more_is_replaced(rootdir: Rootdir) -> None:
    assert rootdir.run(*MATRIX, "--reuse-clusters").ret == 0
    (pooled,) = resources()
    (rootdir.path / "silent").write_text(pooled.name)
    assert rootdir.run(*MATRIX, "--reuse-clusters").ret == 0
    assert rootdir.ledger("start provision") == ["start provision here"] * 2
    assert rootdir.ledger("destroy") == ["destroy here"]
    assert {resource.name: resource.state for resource in resources()}[pooled.name] == "destroyed"


def test_the_pool_ends(rootdir: Rootdir) -> None:
    assert rootdir.run(*MATRIX, "--reuse-clusters=1s").ret == 0
    eventually(lambda: rootdir.ledger("destroy") == ["destroy here"], "the end of the pool")
    eventually(lambda: {resource.state for resource in resources()} == {"destroyed"}, "its record")
