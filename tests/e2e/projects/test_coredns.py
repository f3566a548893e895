"""CoreDNS on a real cluster: green at both refs, and each thing that is broken on purpose turns its own check red."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from projects import coredns
from pytest_crosscloud.deploy.pods import is_ready
from pytest_crosscloud.kube import Api
from pytest_crosscloud.model import Artifacts, E2EResult, Project
from tests.e2e.site import Site, open_site

pytestmark = pytest.mark.root

BUNDLED = coredns.crosscloud_projects()[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site("e2ecoredns", tmp_path_factory.mktemp("coredns")) as site:
        yield site


@pytest.fixture(scope="module")
def stable(site: Site) -> Artifacts:
    return site.build(BUNDLED)


@pytest.fixture(scope="module")
def head(site: Site) -> Artifacts:
    return site.build(BUNDLED, "head")


def with_values(values: Mapping[str, Any]) -> Project:
    return dataclasses.replace(BUNDLED, values=values)


def test_both_refs_side_by_side_are_the_clusters_dns_in_turn(site: Site, stable: Artifacts, head: Artifacts) -> None:
    def cell(namespace: str, artifacts: Artifacts) -> E2EResult:
        return site.verdict(namespace, BUNDLED, artifacts)[0]

    with ThreadPoolExecutor(2) as together:
        results = list(together.map(cell, ("stable", "head"), (stable, head)))
    for result in results:
        log = Path(result.log).read_text()
        assert result.exit_code == 0, log
        assert result.counts
        assert (result.counts.failed, result.counts.skipped) == (0, 0), log
        assert result.counts.passed == 26
    services = Api(site.cluster.kubeconfig).get("/api/v1/services")["items"]
    assert "10.96.0.10" not in [service["spec"].get("clusterIP") for service in services], "it was given back"


@pytest.mark.parametrize(
    ("values", "red"),
    [
        # It is a minute until the e2e container gives up.
        pytest.param({"clusterDomain": "elsewhere.test"}, {"answers at all"}, marks=pytest.mark.slow),
        ({"hosts": {"records": {"@": "192.0.2.99"}}}, {"hosts zone"}),
        ({"hosts": {"many": 59}}, {"large answer"}),
        ({"stubZone": "other.crosscloud.test"}, {"forwarded zone, and a change of it"}),
    ],
    ids=["cluster domain", "hosts record", "records", "forwarded zone"],
)
def test_a_wrong_configuration_is_found_by_its_check(
    site: Site, stable: Artifacts, values: Mapping[str, Any], red: set[str]
) -> None:
    namespace = f"wrong-{next(iter(red)).partition(' ')[0].rstrip(':,')}"

    result, failed = site.verdict(namespace, with_values(values), stable)

    assert (result.exit_code, set(failed)) == (1, red), failed


def test_the_image_of_another_version_is_found_by_the_version(site: Site, stable: Artifacts, head: Artifacts) -> None:
    taken = dataclasses.replace(stable, pins=head.pins)

    result, failed = site.verdict("wrong-image", BUNDLED, taken)

    assert (result.exit_code, set(failed)) == (1, {"version"}), failed
    assert head.ref.version.removeprefix("v") in failed["version"]


def test_a_cluster_with_a_dns_of_its_own_keeps_it(site: Site, stable: Artifacts) -> None:
    api = Api(site.cluster.kubeconfig)
    services = "/api/v1/namespaces/kube-system/services"
    spec = {"clusterIP": "10.96.0.10", "ports": [{"port": 53, "protocol": "UDP"}]}
    api.create(services, {"metadata": {"name": "kube-dns"}, "spec": spec})
    try:
        result, _ = site.verdict("beside", BUNDLED, stable)
    finally:
        api.delete(f"{services}/kube-dns")

    assert result.exit_code == 0
    assert result.counts
    assert result.counts.skipped == 1
    assert "skip" in Path(result.log).read_text()
    assert "10.96.0.10 is kube-system/kube-dns's" in Path(result.log).read_text()


def test_a_live_release_follows_what_changes(site: Site, stable: Artifacts) -> None:
    """A third pod behind the headless Service, and another hosts table: without a restart, and all checks want it."""
    release = site.deploy("changing", BUNDLED, stable)
    api = Api(site.cluster.kubeconfig)
    namespace = "/api/v1/namespaces/changing"
    stage = site.stage("change")

    def pod() -> Any:
        (found,) = api.get(f"{namespace}/pods", labelSelector="app.kubernetes.io/name=coredns")["items"]
        return found

    def put(path: str, change: Callable[[Any], None]) -> None:
        changed = api.get(path)
        change(changed)
        api._json("PUT", path, {}, changed)

    def entries() -> str:
        text = api.text(f"{namespace}/services/coredns:metrics/proxy/metrics")
        return next(line.split()[-1] for line in text.splitlines() if line.startswith("coredns_hosts_entries"))

    before, known = pod(), entries()
    put(
        "/apis/apps/v1/namespaces/changing/statefulsets/coredns-pods/scale",
        lambda scale: scale["spec"].update(replicas=3),
    )
    hosts = "192.0.2.77 www.example.crosscloud.test\n192.0.2.78 new.example.crosscloud.test\n"
    hosts += "".join(f"203.0.113.{n} many.example.crosscloud.test\n" for n in range(1, 51))
    put(f"{namespace}/configmaps/coredns", lambda found: found["data"].update(hosts=hosts))
    # Kubelet looks after a pod's volumes when something happens to the pod, or after a minute or so.
    name = before["metadata"]["name"]
    put(f"{namespace}/pods/{name}", lambda found: found["metadata"].setdefault("annotations", {}).update(looked="at"))

    stage.wait_until(lambda: entries() != known, "CoreDNS to read the new hosts table", interval=0.5)
    pods = f"{namespace}/pods"

    def all_ready() -> bool:
        found = api.get(pods, labelSelector="app.kubernetes.io/name=coredns-pods")["items"]
        return len(found) == 3 and all(is_ready(each) for each in found)

    stage.wait_until(all_ready, "the third pod", interval=0.5)
    assert BUNDLED.e2e
    told = {
        "HOSTS_RECORDS": "new.example.crosscloud.test=192.0.2.78,www.example.crosscloud.test=192.0.2.77",
        "MANY_RECORDS": "many.example.crosscloud.test=50",
        "HEADLESS_PODS": "3",
    }
    container = dataclasses.replace(BUNDLED.e2e, env={**BUNDLED.e2e.env, **told})
    result = site.e2e(release, dataclasses.replace(BUNDLED, e2e=container), stable)

    assert result.exit_code == 0, Path(result.log).read_text()
    after = pod()
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["containerStatuses"][0]["restartCount"] == 0
