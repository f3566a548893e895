"""A run on a cluster that somebody else made, for real: it is used, and left as it was."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_crosscloud.kube import Api
from pytest_crosscloud.provision import cluster
from tests.e2e.job import DEADLINE, Job, wait_for
from tests.e2e.site import Site, open_site

pytestmark = pytest.mark.root

#: Seconds for the reaper to remove a namespace with what is in it.
GONE = 120.0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site("theirs", tmp_path_factory.mktemp("theirs")) as site:
        yield site


@pytest.fixture
def theirs(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's KUBECONFIG; afterwards it is what it was, and so is the cluster."""
    path = tmp_path / "their-kubeconfig"
    path.write_bytes(Path(site.cluster.kubeconfig).read_bytes())
    path.chmod(0o400)
    monkeypatch.setenv("KUBECONFIG", str(path))
    written, there = path.stat(), _objects(path)
    yield path
    assert path.read_bytes() == Path(site.cluster.kubeconfig).read_bytes()
    assert (path.stat().st_mode, path.stat().st_mtime_ns) == (written.st_mode, written.st_mtime_ns)
    assert cluster.answers(site.cluster)
    assert _objects(path) == there


def _objects(kubeconfig: Path) -> set[str]:
    """What a release of ours makes, inside of its namespace and outside."""
    api = Api(str(kubeconfig))
    kinds = ("/api/v1/namespaces", "/apis/rbac.authorization.k8s.io/v1/clusterroles", "/api/v1/services")
    return {f"{kind}/{item['metadata']['uid']}" for kind in kinds for item in api.get(kind)["items"]}


def test_a_run_is_green_there_and_leaves_the_cluster_as_it_was(
    site: Site, theirs: Path, start: Callable[..., Job]
) -> None:
    job = start("--clouds=existing", "--refs=stable", f"--registry={site.registry}")
    assert job.wait() == 0, job.text
    cell = job.cells()["coredns-stable-existing"]
    assert {stage["status"] for stage in cell["stages"].values()} == {"success"}
    assert job.traces() == []


@pytest.mark.slow
def test_a_killed_run_gives_back_what_it_put_there(site: Site, theirs: Path, start: Callable[..., Job]) -> None:
    job = start("--clouds=existing", "--refs=stable", f"--registry={site.registry}")
    wait_for(lambda: job.run and job.is_running("e2e"), "running e2e", DEADLINE)
    job.process.send_signal(signal.SIGKILL)
    job.process.wait(10)
    wait_for(lambda: not job.traces(), f"end: {job.traces()}", GONE)


def test_without_a_registry_that_its_nodes_know_nothing_is_begun(theirs: Path, start: Callable[..., Job]) -> None:
    job = start("--clouds=existing", "--refs=stable")
    assert job.wait() == pytest.ExitCode.USAGE_ERROR
    assert "--registry=HOST" in job.text
    assert "Traceback" not in job.text
    assert not job.out.exists()
