"""CoreDNS as a project: what it declares, and its e2e container's own tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pytest_crosscloud import paths, plugins
from pytest_crosscloud.build.go import GoProgram
from pytest_crosscloud.model import Project

E2E = paths.data("projects", "coredns", "e2e")


@pytest.fixture
def coredns(tmp_path: Path) -> Project:
    return plugins.load(tmp_path).projects["coredns"]


def test_stable_is_a_tag_and_the_e2e_container_lies_beside_the_plugin(coredns: Project) -> None:
    assert coredns.stable_ref.startswith("v")
    assert coredns.e2e
    assert isinstance(coredns.e2e.build, GoProgram)
    assert coredns.e2e.build.directory == E2E
    assert (E2E / "go.sum").is_file()


def test_the_e2e_container_expects_what_the_charts_values_say(coredns: Project) -> None:
    values = yaml.safe_load(paths.data("charts", "coredns", "values.yaml").read_text())
    hosts = values["hosts"]
    records = {name if name != "@" else "": address for name, address in hosts["records"].items()}
    expected = {f"{name}.{hosts['zone']}".lstrip("."): address for name, address in records.items()}
    assert coredns.e2e
    told = dict(coredns.e2e.env)
    assert dict(record.split("=") for record in told.pop("HOSTS_RECORDS").split(",")) == expected
    assert told == {
        "MANY_RECORDS": f"many.{hosts['zone']}={hosts['many']}",
        "STUB_ZONE": values["stubZone"],
        "HEADLESS_PODS": str(values["pods"]),
    }
