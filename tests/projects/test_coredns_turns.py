"""The cluster's DNS address goes from one CoreDNS release to the next, and is taken from nobody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from projects.coredns import crosscloud_projects, turns
from pytest_crosscloud.config import DEFAULT_TIMEOUTS
from pytest_crosscloud.model import Artifacts, Cluster, E2ERequest, Ref, Release, StageName
from pytest_crosscloud.stage import StageContext
from tests.deploy.fake_api import FakeApi, serve

ADDRESS = "10.96.0.10"
CELL = "/api/v1/namespaces/cell/services"


class Services(FakeApi):
    """Gives each address to one Service."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = threading.Event()
        for namespace, labels in (
            ("cell", {"crosscloud-run": "a"}),
            ("other", {"crosscloud-run": "a"}),
            ("system", {}),
        ):
            self.put(f"/api/v1/namespaces/{namespace}", {"metadata": {"name": namespace, "labels": labels}})
        self.service("default", "kubernetes", "10.96.0.1")
        self.service("cell", "dns", "10.96.3.4")

    def service(self, namespace: str, name: str, address: str) -> str:
        path = f"/api/v1/namespaces/{namespace}/services/{name}"
        spec = {"clusterIP": address, "selector": {"app": name}, "ports": [{"port": 53}]}
        self.put(path, {"metadata": {"name": name, "namespace": namespace}, "spec": spec})
        return path

    def create(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if body["spec"]["clusterIP"] in [
            item["spec"]["clusterIP"] for item in self.list("/api/v1/services")[1]["items"]
        ]:
            self.refused.set()
            return 422, {"kind": "Status", "message": "provided IP is already allocated"}
        return super().create(path, body)

    def list(self, path: str) -> tuple[int, dict[str, Any]]:
        if path != "/api/v1/services":
            return super().list(path)
        return 200, {"items": [item for key, item in self.objects.items() if "/services/" in key]}


@pytest.fixture
def api() -> Services:
    return Services()


@pytest.fixture
def request_(api: Services, tmp_path: Path) -> Iterator[E2ERequest]:
    ref = Ref("stable", "v1.0.0")
    stage = StageContext("e2e", "a", tmp_path / "out", time.monotonic() + 60)
    with serve(api, tmp_path) as kubeconfig:
        cluster = Cluster("c", "local", ref, "amd64", kubeconfig)
        artifacts = Artifacts("coredns", ref, "amd64", ())
        yield E2ERequest(crosscloud_projects()[0], artifacts, cluster, Release("dns", "cell", "dns-1", 1), "r", stage)


def test_a_free_address_is_lent_and_given_back(api: Services, request_: E2ERequest) -> None:
    with turns.cluster_dns(request_) as told:
        assert told == {"CLUSTER_DNS": ADDRESS}
        assert api.objects[f"{CELL}/dns-cluster"]["spec"] == {
            "clusterIP": ADDRESS,
            "selector": {"app": "dns"},
            "ports": [{"port": 53}],
        }
    assert f"{CELL}/dns-cluster" not in api.objects


def test_it_is_given_back_by_an_e2e_that_fails_too(api: Services, request_: E2ERequest) -> None:
    with pytest.raises(ZeroDivisionError), turns.cluster_dns(request_):
        _ = 1 / 0
    assert f"{CELL}/dns-cluster" not in api.objects


def test_another_release_is_waited_for(api: Services, request_: E2ERequest) -> None:
    path = api.service("other", "dns-cluster", ADDRESS)

    def give_back() -> None:
        api.refused.wait(30)
        api.remove(path)

    other = threading.Thread(target=give_back)
    other.start()
    with turns.cluster_dns(request_) as told:
        assert told == {"CLUSTER_DNS": ADDRESS}
    other.join()
    assert api.refused.is_set()


def test_one_that_never_gives_it_back_is_named(
    api: Services, request_: E2ERequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "patience", lambda _: 0.0)
    api.service("other", "dns-cluster", ADDRESS)
    with turns.cluster_dns(request_) as told:
        assert told == {"CLUSTER_DNS_NOT_LENT": f"{ADDRESS} is other/dns-cluster's"}


def test_one_whose_e2e_hangs_is_waited_for(request_: E2ERequest) -> None:
    """Else the check would be skipped, and the cell green."""
    assert request_.project.e2e
    seconds = DEFAULT_TIMEOUTS[StageName.E2E]
    whole = replace(request_, stage=replace(request_.stage, deadline=time.monotonic() + seconds))
    assert turns.patience(whole) > request_.project.e2e.timeout
    assert turns.patience(whole) + request_.project.e2e.timeout < seconds


def test_the_container_gets_half_of_a_short_stage(request_: E2ERequest) -> None:
    assert 0 < turns.patience(request_) <= 30


def test_what_an_attempt_before_has_left_is_no_obstacle(api: Services, request_: E2ERequest) -> None:
    api.service("cell", "dns-cluster", ADDRESS)
    with turns.cluster_dns(request_) as told:
        assert told == {"CLUSTER_DNS": ADDRESS}


def test_a_cluster_that_has_a_dns_keeps_it(api: Services, request_: E2ERequest) -> None:
    path = api.service("system", "kube-dns", ADDRESS)
    with turns.cluster_dns(request_) as told:
        assert told == {"CLUSTER_DNS_NOT_LENT": f"{ADDRESS} is system/kube-dns's"}
    assert path in api.objects
