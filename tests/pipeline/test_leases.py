"""Leases in a run: a place that is none, what clouds are told of them, and a worker that lost its cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_crosscloud.run.leases import open_leases
from pytest_crosscloud.run.store import open_store

from .conftest import Rootdir


@pytest.mark.parametrize("where", ["option", "file"])
def test_a_place_that_cannot_be_used_is_one_message_before_anything_is_made(rootdir: Rootdir, where: str) -> None:
    nowhere = rootdir.path / "nowhere"
    arguments = ["--clouds=here", "--projects=demo"]
    if where == "option":
        arguments.append(f"--leases={nowhere}")
    else:
        (rootdir.path / "cross-cloud.yml").write_text(f"leases: {nowhere}\n")
    result = rootdir.run(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: leases: there is no directory {nowhere}", "*make it, or mount it*"])
    assert "Traceback" not in result.stderr.str()
    assert rootdir.ledger() == [] and open_store().runs() == []


def test_a_worker_that_lost_its_cluster_stops_and_nobody_destroys_it(rootdir: Rootdir) -> None:
    rootdir.make("deploy demo-stable-here", "steal")
    result = rootdir.run("-n", "2", "--clouds=here", "--projects=demo", "--refs=stable")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    (cell,) = json.loads((rootdir.out / "results.json").read_text())["cells"]
    deploy = cell["stages"]["deploy"]
    assert (deploy["status"], deploy["error"]["class"], deploy["attempts"]) == ("failed", "infrastructure", 1)
    assert "belongs to run/another now" in deploy["error"]["message"]
    assert rootdir.ledger("destroy") == [], "it is another's"
    store = open_store()
    (run,) = store.runs()
    assert [(resource.kind, resource.state) for resource in store.resources(run.id)] == [("cluster", "lost")]
    store.close()


def test_clusters_have_their_leases_in_the_place_that_is_named(rootdir: Rootdir, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    assert rootdir.run("--clouds=here", "--projects=demo", "--refs=stable", f"--leases={shared}").ret == 0
    store = open_store()
    (run,) = store.runs()
    (cluster,) = store.resources(run.id)
    assert cluster.spec["lease"] == {"name": f"cluster/{cluster.name}", "token": 1}
    assert cluster.spec["tags"]["crosscloud-token"] == "1"
    lease = open_leases(str(shared), store).acquire(f"cluster/{cluster.name}", "me", 1)
    assert lease and lease.token == 2, "it was held there, and given back"
    store.close()
