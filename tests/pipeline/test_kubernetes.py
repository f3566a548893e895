"""Kubernetes among the projects of a run: its clusters wait for its build, and are n/a without it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Rootdir

SELECTED = ("--clouds=here,there", "--projects=demo,orchestra", "--kubernetes=stable,old", "--refs=stable,old")


@pytest.fixture(autouse=True)
def old(rootdir: Rootdir) -> None:
    rootdir.configure("kubernetes: {stable: v1.36.3, old: v1.35.4}\nprojects: {orchestra: {active: true}}\n")


def cells(rootdir: Rootdir) -> dict[str, Any]:
    data = json.loads((rootdir.out / "results.json").read_text())
    return {cell["id"]: cell for cell in data["cells"]}


@pytest.mark.parametrize("workers", ["0", "3"])
def test_a_cluster_is_made_after_the_build_that_it_is_made_of(rootdir: Rootdir, workers: str) -> None:
    result = rootdir.run("-n", workers, *SELECTED)
    assert result.ret == 0, result.outlines
    found = cells(rootdir)
    assert {name for name in found if name.startswith("orchestra")} == {
        f"orchestra-{ref}-{cloud}-{ref}" for ref in ("stable", "old") for cloud in ("here", "there")
    }
    assert len(found) == 4 + 2 * 2 * 2
    assert all(
        (cell["ref"]["version"], cell["kubernetes"]["version"])
        == {"stable": ("v1.36.3", "v1.36.3"), "old": ("v1.35.4", "v1.35.4")}[cell["ref"]["name"]]
        for name, cell in found.items()
        if name.startswith("orchestra")
    )
    ledger = rootdir.ledger()
    for ref in ("stable", "old"):
        assert ledger.index(f"hook started provision here-{ref}") > ledger.index(f"end build orchestra-{ref}")
        assert ledger.count(f"start build orchestra-{ref}") == 1


@pytest.mark.parametrize("workers", ["0", "3"])
def test_a_failed_build_of_kubernetes_takes_its_clusters_along(rootdir: Rootdir, workers: str) -> None:
    rootdir.make("build orchestra-old", "fail")
    result = rootdir.run("-n", workers, *SELECTED)
    assert result.ret == 1
    # Failed: its build. Skipped: its cluster, the two cells of demo there, and its own cells on both clouds.
    result.assert_outcomes(failed=1, skipped=1 + 2 + 2, passed=3 + 3 + 12 - 4)
    found = cells(rootdir)
    for name in ("demo-stable-here-old", "demo-old-here-old", "orchestra-old-here-old"):
        stages = found[name]["stages"]
        assert found[name]["status"] == "n/a"
        for stage in ("provision", "deploy", "e2e"):
            assert (stages[stage]["status"], stages[stage]["upstream"]) == ("n/a", "build orchestra-old")
            assert stages[stage]["log"] == "builds/orchestra-old/build.log"
    assert "hook n/a provision here-old" in rootdir.ledger()
    assert "start provision here" in rootdir.ledger()  # the other's
    assert found["demo-stable-there-old"]["status"] == "success", "its nodes get Kubernetes elsewhere"
    assert found["orchestra-stable-here-stable"]["status"] == "success"
    result.stdout.fnmatch_lines(["  provision  here-old *n/a *build orchestra-old failed*"])
    page = (rootdir.out / "index.html").read_text()
    assert "1 of 2 n/a" in page


def test_a_test_of_the_cluster_alone_makes_the_build_that_it_needs(rootdir: Rootdir) -> None:
    rootdir.pytester.makepyfile(test_mine="def test_it(cluster):\n    assert cluster.kubernetes.version == 'v1.36.3'\n")
    result = rootdir.run("--clouds=here", "--projects=demo,orchestra", "--refs=stable", "test_mine.py")
    assert result.ret == 0, result.outlines
    assert rootdir.ledger("start") == ["start build orchestra-stable", "start provision here"]
