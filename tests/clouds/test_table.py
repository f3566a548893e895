"""docs/clouds.md says of each cloud what its plugin and its tests say."""

from __future__ import annotations

from tests.clouds.table import BEGIN, DOCUMENT, END, clouds, row, table


def test_the_table_is_what_the_plugins_and_tests_say() -> None:
    text = DOCUMENT.read_text()
    written = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert written == table(), "write it anew: python -m tests.clouds.table"


def test_only_a_cloud_with_a_twin_is_called_applied() -> None:
    applied = {name for name, cloud in clouds().items() if "applied" in row(cloud)[6]}
    assert "aws" in applied
    assert applied.isdisjoint({"azure", "gke", "packet"})


def test_every_cloud_that_makes_clusters_is_listed_by_tag() -> None:
    assert {row(cloud)[4].split(",")[0] for cloud in clouds().values() if cloud.provides_cluster} == {"listed"}


def test_the_readme_leads_there() -> None:
    assert "docs/clouds.md" in (DOCUMENT.parents[1] / "README.md").read_text()
