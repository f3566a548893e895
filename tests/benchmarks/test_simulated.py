"""The simulated cloud: what its server does and says, and pytest over it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.simulated import ledger, rootdir
from benchmarks.simulated.client import Client, CloudError
from tests.run.standin import eventually

TAGS = {"crosscloud-run": "r1", "crosscloud-cluster": "one"}


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


@pytest.fixture
def client(book: Path) -> Iterator[Client]:
    with rootdir.serve(book) as client:
        yield client


def events(book: Path) -> list[str]:
    return [entry.what for entry in ledger.read(book) if entry.what != "list"]


def ready(client: Client, cluster: dict[str, Any]) -> str:
    while cluster["state"] == "creating":
        cluster = client.get(cluster["id"], "creating")
    return str(cluster["state"])


def test_a_clusters_life_is_in_the_ledger(client: Client, book: Path) -> None:
    client.behave("sim0", create=0.1, destroy=[0.05, 0.1])
    cluster = client.create("sim0", "one", TAGS)
    assert cluster["state"] == "creating"
    assert ready(client, cluster) == "ready"
    assert [one["name"] for one in client.list("sim0", {"crosscloud-run": "r1"})] == ["one"]
    assert client.list("sim0", {"crosscloud-run": "r2"}) == client.list("sim1", {}) == []
    client.delete(cluster["id"])
    client.delete(cluster["id"])  # it is deleting already
    while not client.is_gone(cluster["id"]):
        pass
    client.delete(cluster["id"])  # it is not there
    assert events(book) == ["asked", "create", "ready", "delete", "gone"]
    (life,) = ledger.lives(book).values()
    assert (life.run, life.name) == ("r1", "one")
    assert life.deleted and life.gone and life.created < life.deleted < life.gone


def test_what_goes_wrong_as_told(client: Client, book: Path) -> None:
    client.behave("sim0", quota=3, refuse=[1], lose=[2], fail=[3], spot=[4], destroy_fails=2)
    with pytest.raises(CloudError, match="no capacity") as refused:
        client.create("sim0", "refused", TAGS)
    assert refused.value.status == 500
    with pytest.raises(CloudError) as lost:
        client.create("sim0", "lost", TAGS)
    assert lost.value.status == 0
    assert ready(client, client.create("sim0", "broken", TAGS)) == "failed"
    spot = client.create("sim0", "spot", TAGS)
    while not client.is_gone(spot["id"]):
        pass
    assert [one["name"] for one in client.list("sim0", TAGS)] == ["lost", "broken"]
    client.create("sim0", "third", TAGS)
    with pytest.raises(CloudError, match="quota") as full:
        client.create("sim0", "fourth", TAGS)
    assert full.value.status == 429
    assert client.about("sim0") == {"quota": 3, "clusters": 3}
    (found,) = (one for one in client.list("sim0", {}) if one["name"] == "lost")
    for _ in range(2):
        with pytest.raises(CloudError, match="cannot be deleted"):
            client.delete(found["id"])
    client.delete(found["id"])
    client.behave("sim0", error_rate=1.0)
    with pytest.raises(CloudError, match="try again") as busy:
        client.list("sim0", {})
    assert busy.value.status == 503
    assert {"refused", "lost", "broken", "ready", "taken", "kept", "gone", "error"} <= set(events(book))


def test_a_name_is_taken_once(client: Client) -> None:
    client.create("sim0", "one", TAGS)
    client.create("sim1", "one", TAGS)
    with pytest.raises(CloudError, match="already"):
        client.create("sim0", "one", TAGS)


def test_a_create_goes_on_when_who_asked_is_dead(client: Client, book: Path) -> None:
    client.behave("sim0", accept=0.5)
    ask = "import sys; from benchmarks.simulated.client import Client; Client(sys.argv[1]).create('sim0', 'one', {})"
    with subprocess.Popen([sys.executable, "-c", ask, client.address]) as process:
        eventually(lambda: events(book) == ["asked"], "the request")
        process.kill()
    eventually(lambda: events(book) == ["asked", "create", "ready"], "the cluster")


def test_the_server_ends_with_its_owner(book: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as owner:
        command = [sys.executable, "-m", "benchmarks.simulated.server", "--ledger", str(book)]
        with subprocess.Popen([*command, f"--owner={owner.pid}"], stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout and server.stdout.readline().startswith("http://127.0.0.1:")
            assert server.poll() is None
            owner.kill()
            owner.wait()
            assert server.wait(20) == 0


def test_pytest_runs_over_it(client: Client, book: Path, pytester: pytest.Pytester, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(book.parent / "state"))
    client.behave("sim0", create=0.1)
    client.behave("sim1", lose=[1])
    names = ("sim0", "sim1")
    stages: dict[str, float | str] = {"build": 0.01, "e2e": "true", "e2e other-stable-sim0": "false"}
    rootdir.write(pytester.path, client, {name: {} for name in names}, {"demo": {}, "other": {}}, stages)
    (pytester.path / "cross-cloud.yml").write_text("retries: {attempts: 1}\n")
    result = pytester.runpytest_subprocess(
        "-n2", "--registry=registry.test", "--clouds=sim0,sim1", "--projects=demo,other", "--refs=stable", timeout=120
    )
    result.assert_outcomes(passed=2 + 1 + 1, failed=1 + 1, skipped=2)
    result.stdout.fnmatch_lines(["*demo (simulated)*"])
    cells = json.loads((pytester.path / "reports/out/results.json").read_text())["cells"]
    status = {cell["id"]: [stage["status"] for stage in cell["stages"].values()] for cell in cells}
    assert status["other-stable-sim0"] == ["success", "success", "success", "failed"]
    assert status["demo-stable-sim1"] == ["success", "failed", "n/a", "n/a"]
    lives = ledger.lives(book)
    assert sorted(life.cloud for life in lives.values()) == ["sim0", "sim1"]
    assert all(life.gone for life in lives.values())


#: Until the cloud has taken a cluster away; arguments: its ledger.
TAKEN = "until grep -q taken $1; do sleep 0.05; done\n"


@pytest.mark.parametrize(("during", "kept"), [("deploy", ()), ("e2e", ("--keep-failed=1h",))])
def test_a_cluster_that_is_taken_away_is_a_failure_of_the_infrastructure_and_resume_makes_another(
    client: Client, book: Path, pytester: pytest.Pytester, monkeypatch: Any, during: str, kept: tuple[str, ...]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(book.parent / "state"))
    client.behave("sim0", spot=[1], spot_after=5.0)
    wait = pytester.path / "wait.sh"
    wait.write_text(TAKEN)
    rootdir.write(pytester.path, client, {"sim0": {}}, {"demo": {}}, {during: f"sh {wait} {book}"})
    (pytester.path / "cross-cloud.yml").write_text("retries: {attempts: 2, backoff: 0}\n")
    common = ("--registry=registry.test", *kept)

    def ended(result: pytest.RunResult) -> dict[str, Any]:
        (cell,) = json.loads((pytester.path / "reports/out/results.json").read_text())["cells"]
        stages: dict[str, Any] = cell["stages"]
        return stages

    result = pytester.runpytest_subprocess(*common, "--clouds=sim0", "--projects=demo", "--refs=stable", timeout=120)
    assert result.ret == 1
    lost = ended(result)[during]
    assert (lost["status"], lost["attempts"], lost["error"]["class"]) == ("failed", 2, "infrastructure")
    name = next(iter(ledger.lives(book).values())).name
    assert lost["error"]["message"].startswith(f"after 2 attempts: {name} ")
    result.stdout.fnmatch_lines([f"*{during}*demo-stable-sim0*(infrastructure): after 2 attempts: {name}*"])
    assert events(book).count("create") == 1, "it is not replaced while the run lasts"
    assert client.list("sim0", {}) == []

    result = pytester.runpytest_subprocess(*common, "--resume", timeout=120)
    assert result.ret == 0, result.stdout.str()
    stages = ended(result)
    assert {stage["status"] for stage in stages.values()} == {"success"}
    assert stages["build"]["resumed_from"] and not stages["provision"]["resumed_from"]
    assert events(book).count("create") == 2
    assert client.list("sim0", {}) == []
