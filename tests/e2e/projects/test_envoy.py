"""Envoy on a real cluster: green as published, and red in the right place when configuration or image are wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from projects import envoy
from pytest_crosscloud.model import Artifacts
from tests.e2e.site import Site, open_site

pytestmark = pytest.mark.root

PROJECT = envoy.crosscloud_projects()[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site("e2eenvoy", tmp_path_factory.mktemp("envoy")) as site:
        yield site


@pytest.fixture(scope="module")
def built(site: Site) -> Artifacts:
    return site.build(PROJECT)


def test_stable_is_green_and_built_once(site: Site, built: Artifacts) -> None:
    result, failed = site.verdict("stable", PROJECT, built)

    assert (result.exit_code, failed) == (0, {}), Path(result.log).read_text()
    assert result.counts
    assert result.counts.passed > 15
    again = site.build(PROJECT)
    assert (again.cached, again.pins) == (True, built.pins)


def test_head_is_green(site: Site) -> None:
    result, failed = site.verdict("head", PROJECT, site.build(PROJECT, "head"))

    assert (result.exit_code, failed) == (0, {}), Path(result.log).read_text()


@pytest.mark.parametrize(
    ("values", "red"),
    [
        ({"greenWeight": 0}, {"routing by weight"}),
        ({"retries": 0}, {"retries", "retries come to an end"}),
        ({"narrow": 2}, {"circuit breaker"}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_wrong_configuration_is_red_where_it_is_wrong(
    site: Site, built: Artifacts, values: dict[str, int], red: set[str]
) -> None:
    namespace = f"wrong-{next(iter(values)).lower()}"

    _, failed = site.verdict(namespace, replace(PROJECT, values=values), built)

    assert set(failed) == red


def test_another_release_than_its_tag_says_is_red(site: Site, built: Artifacts) -> None:
    other = site.build(PROJECT, "v1.39.3").pins[0]
    wrong = replace(other, tag=built.pins[0].tag)

    _, failed = site.verdict("wrong-image", PROJECT, replace(built, pins=(wrong, *built.pins[1:])))

    assert set(failed) == {"version"}
    assert 'says that it is "1.39.3"' in failed["version"]
