"""Every bundled chart renders, without a network, to objects that Kubernetes takes; with its project's values, too."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_crosscloud import paths, plugins
from pytest_crosscloud.model import Project
from pytest_crosscloud.toolchain.tools import tool
from tests.projects.kubernetes_schema import faults

CHARTS = sorted(path.parent for path in paths.data("charts").glob("*/Chart.yaml"))
PROJECTS = list(plugins.load(Path(__file__).parent).projects.values())

Manifest = dict[str, Any]


def render(chart: Path, *options: str) -> list[Manifest]:
    argv = [
        str(tool("helm")),
        "template",
        "release",
        str(chart),
        "--namespace",
        "somewhere",
        "--include-crds",
        *options,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]


@pytest.mark.parametrize("chart", CHARTS, ids=lambda path: path.name)
def test_a_chart_renders_to_what_kubernetes_takes(chart: Path, tmp_path: Path) -> None:
    for values in ({}, *(project.values for project in PROJECTS if project.chart == chart.name)):
        (tmp_path / "values.json").write_text(json.dumps(dict(values)))
        objects = render(chart, "--values", str(tmp_path / "values.json"))
        assert objects
        assert faults(objects) == []


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_a_release_that_ends_before_its_successor_starts_may_be_away_so_long(project: Project) -> None:
    main = [
        found["spec"]
        for found in render(paths.data("charts", project.chart))
        if (found["kind"], found["metadata"]["name"]) == ("Deployment", "release")
    ]
    for spec in main:
        if spec.get("strategy", {}).get("type") == "Recreate":
            pod = spec["template"]["spec"]
            probe = pod["containers"][0]["startupProbe"]
            start = probe["periodSeconds"] * probe["failureThreshold"]
            assert project.upgrade_gap == pod.get("terminationGracePeriodSeconds", 30) + start


def break_field(objects: list[Manifest]) -> None:
    container(objects)["imagePulPolicy"] = "Always"


def break_type(objects: list[Manifest]) -> None:
    deployment(objects)["spec"]["replicas"] = "one"


def break_place(objects: list[Manifest]) -> None:
    """In YAML this is two spaces too few."""
    deployment(objects)["spec"]["containers"] = [{"name": "x", "image": "y"}]


def break_required(objects: list[Manifest]) -> None:
    del deployment(objects)["spec"]["selector"]


def break_null(objects: list[Manifest]) -> None:
    deployment(objects)["metadata"]["labels"] = {"empty": None}


def break_version(objects: list[Manifest]) -> None:
    deployment(objects)["apiVersion"] = "extensions/v1beta1"


def deployment(objects: list[Manifest]) -> Manifest:
    return next(found for found in objects if found["kind"] == "Deployment")


def container(objects: list[Manifest]) -> Manifest:
    found: Manifest = deployment(objects)["spec"]["template"]["spec"]["containers"][0]
    return found


@pytest.fixture(scope="module")
def objects() -> list[Manifest]:
    return render(paths.data("charts", "fluentd"))


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (break_field, "imagePulPolicy"),
        (break_type, "$.spec.replicas"),
        (break_place, "containers"),
        (break_required, "'selector' is a required property"),
        (break_null, "$.metadata.labels.empty"),
        (break_version, "Kubernetes has no Deployment in extensions/v1beta1"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_mistake_in_a_chart_is_found(
    objects: list[Manifest], mistake: Callable[[list[Manifest]], None], said: str
) -> None:
    broken = copy.deepcopy(objects)
    mistake(broken)
    found = faults(broken)
    assert len(found) == 1 and "Deployment release" in found[0], found
    assert said in found[0]
