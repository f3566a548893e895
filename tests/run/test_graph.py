"""The graph: from worker to controller through a file, and when a cluster has done its work."""

from __future__ import annotations

from pathlib import Path

from pytest_crosscloud.run.graph import Graph, Stages

CELLS = {
    "test_provision": Stages(makes=("provision local",)),
    "test_e2e[a]": Stages(("build a", "provision local"), ("e2e a-local",)),
    "test_e2e[b]": Stages(("build b", "provision local"), ("e2e b-local",)),
    "test_e2e[c]": Stages(("build a", "provision kind"), ("e2e a-kind",)),
}


def test_what_a_worker_writes_the_controller_reads(tmp_path: Path) -> None:
    Graph(CELLS).write(tmp_path)
    graph = Graph.read(tmp_path)
    assert {nodeid: graph[nodeid] for nodeid in CELLS} == CELLS
    assert graph["test_plain"] == Stages()
    assert [path.name for path in tmp_path.iterdir()] == ["graph.json"]


def test_a_cluster_is_done_when_its_last_test_is() -> None:
    graph = Graph(CELLS)
    assert graph.finish("test_provision") == []
    assert graph.finish("test_e2e[a]") == []
    assert graph.finish("test_e2e[c]") == ["kind"]
    assert graph.finish("test_e2e[a]") == [], "a test that is reported twice counts once"
    assert graph.finish("test_plain") == []
    assert graph.finish("test_e2e[b]") == ["local"]
