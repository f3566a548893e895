"""Prometheus, Alertmanager and node_exporter on a real local cluster: whole, and broken on purpose."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from projects import prometheus
from pytest_crosscloud.build.parts import Parts
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import Artifacts, ErrorClass, Pin
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
    assert [pin.name for pin in made.pins] == ["PROMETHEUS", "ALERTMANAGER", "NODE_EXPORTER"]

    result, failures = site.verdict(f"green-{ref}", PROJECT, made)

    log = Path(result.log).read_text()
    assert (result.exit_code, failures) == (0, {}), log
    assert result.counts
    assert result.counts.failed == 0
    assert result.counts.passed > 40, "20 of ours, and upstream's own files"
    said = re.search(r"Prometheus (3\.\S+), Alertmanager", log)
    assert said
    assert made.ref.note.startswith(f"release v{said[1]}")


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
