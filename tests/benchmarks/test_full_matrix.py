"""What the measure of the matrix reads from results and from the registry's log."""

from __future__ import annotations

import pytest

from benchmarks import matrix
from benchmarks.builds import SELECTION, selected
from benchmarks.measure import NotMeasured

DIGEST = "sha256:" + "0123456789abcdef" * 4


def line(who: str, what: str, status: int = 200) -> str:
    return f'{who} - - [22/Nov/2026:10:00:00 +0000] "{what} HTTP/1.1" {status} 42 "" "containerd/1.6.20"'


def test_a_blob_that_a_node_fetches_again_is_counted() -> None:
    get = f"GET /v2/coredns/coredns/blobs/{DIGEST}"
    pulls = matrix.pulled(
        [
            line("198.19.0.10", get),
            line("198.19.0.10", get),
            line("198.19.1.10", get),
            line("198.19.1.10", get, 404),
            line("198.19.1.10", get.replace("GET", "HEAD")),
            line("198.19.1.10", f"GET /v2/coredns/coredns/manifests/{DIGEST}"),
            'time="2026-11-22T10:00:00Z" level=info msg="listening"',
        ]
    )
    assert pulls == {("198.19.0.10", DIGEST): 2, ("198.19.1.10", DIGEST): 1}


def test_a_stage_that_cells_share_counts_once() -> None:
    build = {"target": "coredns-stable", "seconds": 10.0}
    cells = [
        {"stages": {"build": build, "e2e": {"target": name, "seconds": 1.0}, "deploy": {"target": name, "seconds": 0}}}
        for name in ("coredns-stable-a", "coredns-stable-b")
    ]
    assert sum(matrix.stages({"cells": cells}).values()) == 12.0


def test_the_environment_narrows_the_projects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SELECTION, raising=False)
    assert "coredns" in selected()
    monkeypatch.setenv(SELECTION, "coredns")
    assert selected() == ["coredns"]
    monkeypatch.setenv(SELECTION, "coredns,nosuch")
    with pytest.raises(NotMeasured, match="there is no project nosuch"):
        selected()
