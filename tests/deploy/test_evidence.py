"""Evidence from a fake API: what it holds, what it must not, and that it never fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud.deploy import evidence
from pytest_crosscloud.model import Cluster
from tests.deploy.fake_api import FakeApi
from tests.deploy.test_pods import pod


@pytest.fixture(autouse=True)
def no_helm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "helm"
    program.write_text(
        "#!/bin/sh\n[ $1 = version ] && exec echo v4.3.1\ncat >&2 <<'END'\nError: release: not found\nEND\nexit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("CROSSCLOUD_HELM", str(program))


@pytest.fixture
def crashing(fake: FakeApi) -> FakeApi:
    """A namespace with a pod in a crash loop, a warning and a Secret."""
    crashed: dict[str, Any] = pod("dns-1", phase="Running", reason="CrashLoopBackOff", restarts=4)
    environment = [{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "MODE", "value": "plain"}]
    crashed["spec"] = {"containers": [{"name": "c", "env": environment}]}
    fake.put("/api/v1/namespaces/cell/pods/dns-1", crashed)
    fake.logs["dns-1", "c"] = "starting\npanic: no Corefile\n"
    event = {
        "metadata": {"name": "e"},
        "type": "Warning",
        "reason": "BackOff",
        "message": "Back-off restarting",
        "count": 5,
        "lastTimestamp": "2026-11-22T00:00:00Z",
        "involvedObject": {"kind": "Pod", "name": "dns-1"},
    }
    fake.put("/api/v1/namespaces/cell/events/e", event)
    secret = {"kind": "Secret", "metadata": {"name": "s", "managedFields": []}, "data": {"key": "aHVudGVyMg=="}}
    fake.put("/api/v1/namespaces/cell/secrets/s", secret)
    lists = [{"resource": name, "scope": "Namespaced", "verbs": ["list"]} for name in ("pods", "secrets", "events")]
    fake.answers["/api"] = (200, {"items": [{"metadata": {}, "versions": [{"version": "v1", "resources": lists}]}]})
    fake.answers["/apis"] = (200, {"items": []})
    return fake


def test_the_summary_says_which_pod_why_and_its_last_words(crashing: FakeApi, cluster: Cluster, tmp_path: Path) -> None:
    summary, *_ = evidence.collect(cluster, "cell", "dns", tmp_path / "evidence")

    text = summary.read_text()
    assert summary.name == "summary.txt"
    assert "0 of 1 ready" in text
    assert "pod dns-1: container c: CrashLoopBackOff: 4 restarts" in text
    assert "Warning Pod/dns-1 BackOff: Back-off restarting (x5)" in text
    assert "panic: no Corefile" in text
    assert "helm status: release: not found" in text


def test_no_secret_leaves(crashing: FakeApi, cluster: Cluster, tmp_path: Path) -> None:
    files = evidence.collect(cluster, "cell", "dns", tmp_path / "evidence")

    texts = {path.name: path.read_text() for path in files}
    assert {"pods.yaml", "secrets.yaml", "events.txt", "nodes.yaml", "dns-1.c.log"} <= set(texts)
    assert not any("hunter2" in text or "aHVudGVyMg" in text or "managedFields" in text for text in texts.values())
    assert "key: '[redacted]'" in texts["secrets.yaml"]
    assert "value: plain" in texts["pods.yaml"]


def test_a_cluster_that_is_gone_leaves_a_summary_that_says_so(fake: FakeApi, tmp_path: Path) -> None:
    from pytest_crosscloud.model import Ref

    gone = Cluster("c", "local", Ref("stable", "v1"), "amd64", str(tmp_path / "no-kubeconfig"))

    (summary,) = evidence.collect(gone, "cell", "dns", tmp_path / "evidence")

    assert "not collected:\n  the Kubernetes API: KUBECONFIG" in summary.read_text()


def test_time_that_is_over_is_named(crashing: FakeApi, cluster: Cluster, tmp_path: Path) -> None:
    (summary,) = evidence.collect(cluster, "cell", "dns", tmp_path / "evidence", seconds=-1)

    assert "no time left" in summary.read_text()
