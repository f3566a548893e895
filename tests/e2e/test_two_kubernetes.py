"""``--kubernetes=stable,head`` where they are two versions: a cluster of each, and every cell on both."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_crosscloud.toolchain import pins
from pytest_crosscloud.toolchain.tools import tool
from tests.e2e.job import Job

pytestmark = [pytest.mark.root, pytest.mark.slow]

#: What is served: else head would be another Kubernetes to compile whenever there is a new one.
BEFORE, NEWEST = "v1.35.4", pins.load()["kubernetes"]["stable"]

# What the clusters say themselves, beside what the run says of them.
ASKS = """
from pathlib import Path

from pytest_crosscloud.kube import Api


def test_version(cluster, e2e):
    assert e2e().exit_code == 0
    said = Api(cluster.kubeconfig).get("/version")["gitVersion"]
    Path(__file__).with_name(f"said-{cluster.kubernetes.name}").write_text(said)
    assert said == cluster.kubernetes.version
"""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module proxy of no other versions of Kubernetes, before the one that this computer has."""
    versions = tmp_path / "proxy" / "k8s.io" / "kubernetes" / "@v" / "list"
    versions.parent.mkdir(parents=True)
    versions.write_text(f"{BEFORE}\n{NEWEST}\n")
    command = [str(tool("go")), "env", "GOPROXY"]
    others = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    monkeypatch.setenv("GOPROXY", f"file://{tmp_path}/proxy,{others}")


@pytest.mark.usefixtures("served")
def test_stable_and_head_are_clusters_of_two_versions(start: Callable[..., Job], tmp_path: Path) -> None:
    files = {"cross-cloud.yml": "kubernetes: {stable: auto}\n", "test_asks.py": ASKS}
    job = start("--refs=stable", "--kubernetes=stable,head", "test_asks.py", files=files)
    assert job.wait() == 0, job.text
    said = {path.name.removeprefix("said-"): path.read_text() for path in tmp_path.glob("root0/said-*")}
    assert said == {"stable": BEFORE, "head": NEWEST}
    assert {name: (cell["status"], cell["kubernetes"]["version"]) for name, cell in job.cells().items()} == {
        f"coredns-stable-local-{name}": ("success", version) for name, version in said.items()
    }
    assert "note: kubernetes" not in job.text, "they are not the same version"
    assert job.traces() == []
