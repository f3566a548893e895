"""Notary with a real PostgreSQL on a real cluster: what it signs, refuses and keeps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from projects import notary
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.kube import Api
from pytest_crosscloud.model import Artifacts, E2EResult, ErrorClass
from pytest_crosscloud.run.upgrade import AFTER, BACK, BEFORE, VARIABLE
from tests.e2e.site import Site, open_site

pytestmark = [pytest.mark.root, pytest.mark.slow]

PROJECT = notary.crosscloud_projects()[0]

_LASTING = re.compile(r"timestamp key of crosscloud.test/lasting is (\w{64})")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site("e2enotary", tmp_path_factory.mktemp("notary")) as site:
        yield site


@pytest.fixture(scope="module")
def built(site: Site) -> Artifacts:
    return site.build(PROJECT)


def replace_pod(site: Site, namespace: str, component: str) -> None:
    """Delete the pod of a part of Notary, and wait until it is another one that is ready."""
    api, path = Api(site.cluster.kubeconfig), f"/api/v1/namespaces/{namespace}/pods"
    wanted = f"app.kubernetes.io/component={component}"
    (pod,) = api.get(path, labelSelector=wanted)["items"]
    api.delete(f"{path}/{pod['metadata']['name']}")

    def replaced() -> bool:
        found = api.get(path, labelSelector=wanted)["items"]
        ready = [
            condition["status"] == "True"
            for each in found
            for condition in each["status"].get("conditions", ())
            if condition["type"] == "Ready"
        ]
        return pod["metadata"]["uid"] not in [each["metadata"]["uid"] for each in found] and ready == [True]

    site.stage(f"replace {component}").wait_until(replaced, "another pod to be ready")


def test_stable_is_green_and_its_keys_outlive_the_signer(site: Site, built: Artifacts) -> None:
    release = site.deploy("stable", PROJECT, built)
    first = site.e2e(release, PROJECT, built)
    assert (first.exit_code, first.failures) == (0, ()), Path(first.log).read_text()
    assert first.counts
    assert first.counts.passed > 15

    replace_pod(site, "stable", "server")
    second = site.e2e(release, PROJECT, built, name="second")  # which waits until it answers

    assert (second.exit_code, second.failures) == (0, ()), Path(second.log).read_text()
    keys = [_LASTING.findall(Path(result.log).read_text()) for result in (first, second)]
    assert keys[0] == keys[1] != []
    assert site.build(PROJECT).cached


def test_what_was_published_outlives_an_upgrade_and_not_its_database(site: Site, built: Artifacts) -> None:
    """The server gets another version and another configuration; the database's pod stays as it is."""
    upgraded = replace(PROJECT, values={"logLevel": "debug"})
    server, *others = built.pins
    newer = replace(built, pins=(replace(server, tag="v0.7.1"), *others))

    def visit(where: str, name: str) -> tuple[E2EResult, set[str]]:
        result = site.e2e(release, PROJECT, built, name=name, env={VARIABLE: where})
        return result, {failure.split(": ", 1)[0] for failure in result.failures}

    release = site.deploy("upgrade", PROJECT, built)
    result, failed = visit(BEFORE, "1-install")
    assert failed == set(), Path(result.log).read_text()
    before = pods(site, "upgrade")
    release = site.deploy("upgrade", upgraded, newer, in_place=True)
    result, failed = visit(AFTER, "2-upgrade")
    assert failed == set(), Path(result.log).read_text()
    after = pods(site, "upgrade")
    assert before["database"] == after["database"]
    assert before["server"] != after["server"]

    replace_pod(site, "upgrade", "database")
    result, failed = visit(BACK, "3-lost")
    assert failed == {"what was published before the upgrade is there", "publish after the upgrade"}, Path(
        result.log
    ).read_text()


def pods(site: Site, namespace: str) -> dict[str, str]:
    """The uid of each part's pod."""
    found = Api(site.cluster.kubeconfig).get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    return {
        each["metadata"]["labels"]["app.kubernetes.io/component"]: each["metadata"]["uid"]
        for each in found
        if "app.kubernetes.io/component" in each["metadata"]["labels"] and "deletionTimestamp" not in each["metadata"]
    }


@pytest.mark.parametrize(
    ("name", "values", "red"),
    [
        ("unsigned", {"trustService": "local"}, {"keys from the signer", "keys that last"}),
        ("open", {"clientCertificates": False}, {"the signer refuses strangers"}),
    ],
)
def test_a_wrong_configuration_is_red_where_it_is_wrong(
    site: Site, built: Artifacts, name: str, values: dict[str, object], red: set[str]
) -> None:
    _, failed = site.verdict(name, replace(PROJECT, values=values), built)

    assert set(failed) == red


def test_a_server_in_the_signers_place_is_the_products_fault(site: Site, built: Artifacts) -> None:
    server, signer, database = built.pins
    wrong = replace(built, pins=(server, replace(signer, image=server.image, digest=server.digest), database))

    with pytest.raises(StageError, match="signer") as caught:
        site.deploy("wrong-image", PROJECT, wrong)

    assert caught.value.error_class == ErrorClass.PRODUCT
