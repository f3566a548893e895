"""Prometheus, Alertmanager and node_exporter on a real local cluster: whole, and broken on purpose."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from projects import prometheus
from pytest_crosscloud import machine
from pytest_crosscloud.build.parts import Parts
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.kube import Api, ApiError
from pytest_crosscloud.model import Artifacts, ErrorClass, Pin
from pytest_crosscloud.run.upgrade import AFTER, BACK, BEFORE, VARIABLE
from tests.e2e.site import Site, open_site

# Prometheus takes minutes to compile.
pytestmark = [pytest.mark.root, pytest.mark.slow]

PROJECT = prometheus.crosscloud_projects()[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site("e2eprometheus", tmp_path_factory.mktemp("prometheus")) as opened:
        yield opened


@pytest.fixture(scope="module")
def stable(site: Site) -> Artifacts:
    return site.build(PROJECT)


def swapped(artifacts: Artifacts, name: str, image: Pin) -> Artifacts:
    """With another image in place of one, under its name and tag."""
    pins = (replace(pin, image=image.image, digest=image.digest) if pin.name == name else pin for pin in artifacts.pins)
    return replace(artifacts, pins=tuple(pins))


@pytest.mark.parametrize("ref", ["stable", "head"])
def test_all_three_work_together(site: Site, ref: str) -> None:
    made = site.build(PROJECT, ref)
    assert [pin.name for pin in made.pins] == ["PROMETHEUS", "ALERTMANAGER", "NODE_EXPORTER", "KEEPER"]

    result, failures = site.verdict(f"green-{ref}", PROJECT, made)

    log = Path(result.log).read_text()
    assert (result.exit_code, failures) == (0, {}), log
    assert result.counts
    assert result.counts.failed == 0
    assert result.counts.passed > 40, "20 of ours, and upstream's own files"
    said = re.search(r"Prometheus (3\.\S+), Alertmanager", log)
    assert said
    assert made.ref.note.startswith(f"release v{said[1]}")


def way(site: Site, namespace: str, values: Mapping[str, Any]) -> dict[str, set[str]]:
    """What fails at each stop of a release that goes to head and back. Alertmanager, which is the same in both, is
    started anew by another setting."""
    stable, head = site.build(PROJECT), site.build(PROJECT, "head")
    assert stable.pins[0].digest != head.pins[0].digest
    failed = {}
    for stop, made, memory in ((BEFORE, stable, 128), (AFTER, head, 129), (BACK, stable, 130)):
        project = replace(
            PROJECT, values={**values, "resources": {"alertmanager": {"limits": {"memory": f"{memory}Mi"}}}}
        )
        release = site.deploy(namespace, project, made, in_place=stop != BEFORE)
        result = site.e2e(release, project, made, name=f"{namespace} {stop}", env={VARIABLE: stop})
        failed[stop] = {failure.split(": ", 1)[0] for failure in result.failures}
        assert (result.exit_code == 0) == (failed[stop] == set()), Path(result.log).read_text()
    return failed


def kept(site: Site) -> list[str]:
    """What there is of releases on the cluster's node."""
    (node,) = [found.name for found in machine.machines() if found.network == site.cluster.name]
    look = [sys.executable, "-m", "pytest_crosscloud.machine", "exec", node, "--", "ls", "/var/tmp"]
    return subprocess.run(look, check=True, capture_output=True, text=True, timeout=60).stdout.split()


def test_samples_and_silences_outlive_an_upgrade_and_not_the_namespace(site: Site) -> None:
    assert way(site, "way", {}) == {BEFORE: set(), AFTER: set(), BACK: set()}
    assert "way.prometheus" in kept(site)

    # The namespace alone, as somebody who knows nothing of Helm removes a release.
    api, path = Api(site.cluster.kubeconfig), "/api/v1/namespaces/way"
    api.delete(path)

    def is_gone() -> bool:
        try:
            api.get(path)
        except ApiError as error:
            return error.status == 404
        return False

    site.stage("remove way").wait_until(is_gone, "the namespace to be gone")
    assert "way.prometheus" not in kept(site)


def test_an_upgrade_that_loses_its_data_is_red_for_that_alone(site: Site) -> None:
    lost = {
        "samples of before the upgrade are there",
        "what was scraped before the upgrade is there",
        "the silence of before the upgrade is there",
    }
    assert way(site, "lost", {"storage": "pod"}) == {BEFORE: set(), AFTER: lost, BACK: lost}


BROKEN: dict[str, tuple[Mapping[str, Any], set[str]]] = {
    "another-path": ({"receiver": {"path": "/elsewhere"}}, {"the alert is delivered"}),
    "no-receiver": ({"receiver": {"selector": {"crosscloud-e2e": "nobody"}}}, {"the alert is delivered"}),
    "no-metrics": (
        {"nodeExporterPath": "/nothing"},
        {
            "node-exporter is found and scraped",
            "node-exporter has the version that was built",
            "node_exporter tells of its node",
            "metadata",
        },
    ),
    "silent-rule": (
        {"alert": {"expr": 'up{job="prometheus"} == 2'}},
        {
            "the rule fires",
            "Alertmanager has the alert",
            "the alert is delivered",
            "a silence suppresses the alert",
        },
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_wrong_configuration_is_found_by_its_checks(site: Site, stable: Artifacts, name: str) -> None:
    values, expected = BROKEN[name]

    result, failures = site.verdict(name, replace(PROJECT, values=values), stable)

    assert (result.exit_code, set(failures)) == (1, expected)


def test_another_version_under_the_tag_is_found(site: Site, stable: Artifacts) -> None:
    parts = PROJECT.build
    assert isinstance(parts, Parts)
    exporter = replace(PROJECT, name="node-exporter", build=parts.parts["node-exporter"].build, e2e=None)
    (older,) = site.build(exporter, "v1.11.1").pins

    result, failures = site.verdict("another-version", PROJECT, swapped(stable, "NODE_EXPORTER", older))

    assert (result.exit_code, set(failures)) == (1, {"node-exporter has the version that was built"})
    assert '"1.11.1"' in failures["node-exporter has the version that was built"]


def test_an_image_of_another_program_never_gets_ready(site: Site, stable: Artifacts) -> None:
    wrong = swapped(stable, "PROMETHEUS", stable.pins[1])

    with pytest.raises(StageError, match=r"unknown long flag '--storage\.tsdb\.path'") as raised:
        site.deploy("another-program", PROJECT, wrong)

    assert raised.value.error_class == ErrorClass.PRODUCT
