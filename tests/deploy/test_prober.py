"""Who is asked while a release is changed, and what is made of the answers."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud.deploy import prober, upgrade
from pytest_crosscloud.deploy.prober import Answers
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.kube import Api
from pytest_crosscloud.model import Cluster, DeployRequest, ErrorClass, Release, UpgradeRequest
from pytest_crosscloud.stage import StageContext
from tests.deploy.conftest import pin
from tests.deploy.fake_api import FakeApi
from tests.deploy.test_helm import RELEASED
from tests.deploy.test_helm import chart as chart
from tests.deploy.test_helm import play_helm as play_helm

PODS = "/api/v1/namespaces/cell/pods"
RELEASE = Release("dns-upgrade", "cell", "dns-0.1.0", 1)


def line(gap: float, failed: int = 0, answered: int = 40) -> str:
    """A line of the prober's log, on one port that answers and one that never did."""
    ports = [
        {"name": "dns:53", "asked": 40, "answered": answered, "failed": failed, "gap": gap, "error": "refused"},
        {"name": "dns:99", "asked": 40, "answered": 0, "failed": 40, "gap": 0.0, "error": "refused"},
    ]
    return json.dumps(ports) + "\n"


@pytest.fixture
def runs(fake: FakeApi) -> Callable[[str], None]:
    """Make every pod that is created run, with that log."""

    def run(log: str) -> None:
        def create(path: str, body: dict[str, object]) -> None:
            if path == PODS:
                body["status"] = {"phase": "Running"}
                fake.logs[f"{RELEASE.name}-prober-x7k2p", ""] = log

        fake.on_create.append(create)

    return run


def service(fake: FakeApi, name: str, release: str = RELEASE.name, **spec: object) -> None:
    metadata = {"name": name, "annotations": {"meta.helm.sh/release-name": release}}
    fake.put(f"/api/v1/namespaces/cell/services/{name}", {"metadata": metadata, "spec": spec})


def test_every_tcp_port_of_the_releases_services_is_asked(
    fake: FakeApi, cluster: Cluster, stage: StageContext, runs: Callable[[str], None]
) -> None:
    ports = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}, {"port": 9153}]
    service(fake, "dns", clusterIP="10.0.0.1", ports=ports)
    service(fake, "six", clusterIP="fd00::1", ports=[{"port": 80}])
    service(fake, "headless", clusterIP="None", ports=[{"port": 80}])
    service(fake, "other", release="another", clusterIP="10.0.0.2", ports=[{"port": 80}])
    made: list[dict[str, object]] = []
    fake.on_create.append(lambda path, body: made.append(body))
    runs(line(0.02) * 3)

    with (
        pytest.raises(StageError, match="its log has ended"),
        prober.watching(cluster.kubeconfig, RELEASE, pin("PROBER"), stage),
    ):
        pass

    (container,) = made[0]["spec"]["containers"]  # type: ignore[index]
    assert container["args"] == ["dns:53=10.0.0.1:53", "dns:9153=10.0.0.1:9153", "six:80=[fd00::1]:80"]
    assert not [path for path in fake.objects if path.startswith(PODS)], "the prober is gone"


def test_what_cannot_be_asked_is_said(fake: FakeApi, cluster: Cluster, stage: StageContext) -> None:
    service(fake, "dns", clusterIP="10.0.0.1", ports=[{"port": 53, "protocol": "UDP"}])
    with prober.watching(cluster.kubeconfig, RELEASE, pin("PROBER"), stage) as answers:
        assert not [path for path in fake.objects if path.startswith(PODS)]
    assert "nobody could be asked" in str(answers)


def test_a_prober_that_does_not_start_is_infrastructure(fake: FakeApi, cluster: Cluster, stage: StageContext) -> None:
    service(fake, "dns", clusterIP="10.0.0.1", ports=[{"port": 53}])
    waiting = {"name": "prober", "image": "x", "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}
    status = {"phase": "Pending", "containerStatuses": [waiting]}
    fake.on_create.append(lambda path, body: body.update(status=status))
    watching = prober.watching(cluster.kubeconfig, RELEASE, pin("PROBER"), stage)
    with pytest.raises(StageError, match="the prober does not start: image x cannot be pulled") as raised, watching:
        raise AssertionError
    assert raised.value.error_class == ErrorClass.INFRASTRUCTURE


@pytest.mark.parametrize(
    ("log", "said", "remedy"),
    [
        ("failed to create fsnotify watcher: too many open files", "no inotify instance left", "max_user_instances"),
        ("panic: no such host", "a line of its log is no answer: 'panic: no such host'", ""),
        ('["dns:53"]', "a line of its log is no answer: ", ""),
    ],
)
def test_a_line_that_is_none_of_the_probers_is_shown(
    fake: FakeApi, cluster: Cluster, stage: StageContext, runs: Callable[[str], None], log: str, said: str, remedy: str
) -> None:
    service(fake, "dns", clusterIP="10.0.0.1", ports=[{"port": 53}])
    runs(f"{log}\n")
    watching = prober.watching(cluster.kubeconfig, RELEASE, pin("PROBER"), stage)
    with pytest.raises(StageError, match=f"the prober says nothing: .*{said}") as raised, watching:
        raise AssertionError
    assert (raised.value.error_class, remedy in raised.value.remedy) == (ErrorClass.INFRASTRUCTURE, True)


def test_the_worst_port_counts_and_one_that_never_answered_does_not() -> None:
    answers = Answers()
    answers._take(line(1.5, failed=7))
    assert answers.worst and (answers.worst.name, answers.worst.gap) == ("dns:53", 1.5)
    assert str(answers) == "40 questions, 7 without an answer, longest gap 1.50 s (dns:53)"


@pytest.mark.parametrize(("gap", "said"), [(1.9, ""), (2.1, "dns:53 answered nobody for 2.1 s, and 2 s are allowed")])
def test_a_gap_that_is_too_long_is_the_products_failure(
    gap: float,
    said: str,
    request_for: Callable[[Path], DeployRequest],
    chart: Path,
    play_helm: Callable[[str], Path],
    fake: FakeApi,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = play_helm(f"echo '{json.dumps(RELEASED)}'")
    service(fake, "dns", clusterIP="10.0.0.1", ports=[{"port": 53}])
    monkeypatch.setattr(prober, "publish", lambda *_: pin("PROBER"))
    goes_on = threading.Event()

    class Lines:
        """A log that goes on until it is closed."""

        def __iter__(self) -> Iterator[str]:
            while not goes_on.wait(0.01):
                yield line(gap, failed=3)

        def close(self) -> None:
            goes_on.set()

    others = Api.lines

    def lines(api: Api, path: str, **query: Any) -> Any:
        return Lines() if path.endswith("/log") else others(api, path, **query)

    monkeypatch.setattr(Api, "lines", lines)
    fake.on_create.append(lambda path, body: body.update(status={"phase": "Running"}))
    deploy = request_for(chart)
    values = {field.name: getattr(deploy, field.name) for field in dataclasses.fields(deploy)}
    values["release"] = RELEASE.name
    request = UpgradeRequest(**values, replaces=RELEASE, registry="registry.test")

    if said:
        with pytest.raises(StageError, match=said) as raised:
            upgrade.upgrade(request)
        assert raised.value.error_class == ErrorClass.PRODUCT
    else:
        upgraded = upgrade.upgrade(request)
        assert (upgraded.release.revision, upgraded.availability) == (
            3,
            "40 questions, 3 without an answer, longest gap 1.90 s (dns:53)",
        )
    assert (kept / "arguments").read_text().split()[0] == "upgrade"
    assert not [path for path in fake.objects if path.endswith("namespaces/cell")], "the namespace is there already"
