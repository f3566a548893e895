"""Jaeger on a real local cluster: whole, and broken on purpose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from projects import jaeger
from pytest_crosscloud.build.go import GoBuild
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import Artifacts, ErrorClass
from tests.e2e.site import Site, open_site

# Jaeger takes minutes to compile.
pytestmark = [pytest.mark.root, pytest.mark.slow]

PROJECT = jaeger.crosscloud_projects()[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site("e2ejaeger", tmp_path_factory.mktemp("jaeger")) as opened:
        yield opened


@pytest.fixture(scope="module")
def stable(site: Site) -> Artifacts:
    return site.build(PROJECT)


@pytest.mark.parametrize("ref", ["stable", "head"])
def test_spans_come_back_as_they_were_sent(site: Site, ref: str) -> None:
    made = site.build(PROJECT, ref)

    result, failures = site.verdict(f"green-{ref}", PROJECT, made)

    log = Path(result.log).read_text()
    assert (result.exit_code, failures) == (0, {}), log
    assert result.counts
    assert (result.counts.failed, result.counts.passed) == (0, 15)
    assert f'jaeger_build_info{{version="{made.ref.version}"}} is 1' in log


BROKEN: dict[str, tuple[Mapping[str, Any], set[str]]] = {
    "no-otlp": (
        {"otlp": False},
        {
            "spans over OTLP/HTTP",
            "parents, tags and durations are kept",
            "services and operations",
            "search by tag",
            "search by duration",
            "dependencies",
            "API v3 has the same spans",
            "a span over OTLP/gRPC",
            "a large trace is whole",
            "metrics count the spans",
            "a request that is none",
        },
    ),
    "another-rate": ({"sampling": {"services": {"crosscloud-rare": 0.75}}}, {"sampling strategies"}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_wrong_configuration_is_found_by_its_checks(site: Site, stable: Artifacts, name: str) -> None:
    values, expected = BROKEN[name]

    result, failures = site.verdict(name, replace(PROJECT, values=values), stable)

    assert (result.exit_code, set(failures)) == (1, expected), Path(result.log).read_text()


def test_an_image_of_another_version_under_the_tag_is_found(site: Site, stable: Artifacts) -> None:
    """The same source, linked as another release: one that is older takes as long to compile as all else here."""
    assert isinstance(PROJECT.build, GoBuild)
    older = replace(PROJECT.build, ldflags=PROJECT.build.ldflags.replace("{version}", "v1.75.0"))
    pins = site.build(replace(PROJECT, build=older)).pins

    result, failures = site.verdict("another-version", PROJECT, replace(stable, pins=pins))

    assert pins[0].tag == stable.pins[0].tag
    assert pins[0].digest != stable.pins[0].digest
    assert (result.exit_code, set(failures)) == (1, {"the version that was built"})
    assert "v1.76.0" in failures["the version that was built"]


def test_an_image_of_another_program_never_gets_ready(site: Site, stable: Artifacts) -> None:
    assert stable.e2e
    wrong = replace(stable, pins=(replace(stable.pins[0], image=stable.e2e.image, digest=stable.e2e.digest),))

    with pytest.raises(StageError, match="CROSSCLOUD_VERSION must be set") as raised:
        site.deploy("another-program", PROJECT, wrong)

    assert raised.value.error_class == ErrorClass.PRODUCT
