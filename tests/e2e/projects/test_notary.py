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
from pytest_crosscloud.model import Artifacts, ErrorClass
from tests.e2e.site import Site, open_site

pytestmark = pytest.mark.root

PROJECT = notary.crosscloud_projects()[0]

_LASTING = re.compile(r"timestamp key of crosscloud.test/lasting is (\w{64})")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site("e2enotary", tmp_path_factory.mktemp("notary")) as site:
        yield site


@pytest.fixture(scope="module")
def built(site: Site) -> Artifacts:
    return site.build(PROJECT)


def test_stable_is_green_and_its_keys_outlive_the_signer(site: Site, built: Artifacts) -> None:
    release = site.deploy("stable", PROJECT, built)
    first = site.e2e(release, PROJECT, built)
    assert (first.exit_code, first.failures) == (0, ()), Path(first.log).read_text()
    assert first.counts
    assert first.counts.passed > 15

    api, pods = Api(site.cluster.kubeconfig), "/api/v1/namespaces/stable/pods"
    wanted = "app.kubernetes.io/component=server"
    (pod,) = api.get(pods, labelSelector=wanted)["items"]
    api.delete(f"{pods}/{pod['metadata']['name']}")

    def replaced() -> bool:
        found = api.get(pods, labelSelector=wanted)["items"]
        return pod["metadata"]["uid"] not in [each["metadata"]["uid"] for each in found]

    site.stage("replace").wait_until(replaced, "the pod to be gone")
    second = site.e2e(release, PROJECT, built, name="second")  # which waits until it answers

    assert (second.exit_code, second.failures) == (0, ()), Path(second.log).read_text()
    keys = [_LASTING.findall(Path(result.log).read_text()) for result in (first, second)]
    assert keys[0] == keys[1] != []
    assert site.build(PROJECT).cached


@pytest.mark.parametrize(
    ("name", "values", "red"),
    [
        ("unsigned", {"trustService": "local"}, {"keys from the signer"}),
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
