"""The deploy pipeline with a Helm that does what a test wants."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_crosscloud.build.go import GoProgram
from pytest_crosscloud.deploy import helm
from pytest_crosscloud.errors import DeadlineExceeded, StageError
from pytest_crosscloud.model import Artifacts, Cluster, DeployRequest, ErrorClass, Project, Ref
from pytest_crosscloud.stage import StageContext
from tests.deploy.conftest import pin
from tests.deploy.fake_api import FakeApi
from tests.deploy.test_pods import NOT_FOUND, pod

Requests = Callable[[Path], DeployRequest]
RELEASED = {"name": "dns-stable", "version": 3, "chart": {"metadata": {"name": "dns", "version": "0.1.0"}}}


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    folder = tmp_path / "chart"
    folder.mkdir()
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: dns\nversion: 0.1.0\n")
    return folder


@pytest.fixture
def play_helm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Make the program ``helm`` a shell script that keeps its arguments, environment and values here."""

    def play(script: str) -> Path:
        kept = tmp_path / "kept"
        kept.mkdir()
        program = tmp_path / "helm"
        keep = f'cd "{kept}"\necho "$@" > arguments\nenv > environment\ncat > values'
        program.write_text(f'#!/bin/sh\n[ "$1" = version ] && exec echo v4.3.1\n{keep}\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setenv("CROSSCLOUD_HELM", str(program))
        return kept

    return play


def test_the_release_is_installed_with_the_pins_in_a_namespace_of_its_own(
    request_for: Requests, chart: Path, play_helm: Callable[[str], Path], fake: FakeApi
) -> None:
    kept = play_helm(f"echo '{json.dumps(RELEASED)}'")

    release = helm.deploy(request_for(chart))

    assert (release.chart, release.revision, release.namespace) == ("dns-0.1.0", 3, "cell")
    assert json.loads((kept / "values").read_text())["image"]["digest"] == pin("DNS").digest
    assert "CROSSCLOUD_RUN=7f3a\n" in (kept / "environment").read_text()
    arguments = (kept / "arguments").read_text()
    for flag in ("upgrade dns-stable", "--install", "--wait --wait-for-jobs", "--namespace cell", "--timeout 1"):
        assert flag in arguments
    assert "--create-namespace" not in arguments
    labels = fake.objects["/api/v1/namespaces/cell"]["metadata"]["labels"]
    assert labels == {helm.RUN_LABEL: "7f3a", helm.PROJECT_LABEL: "dns"}


#: What Helm 4.3.1 prints on standard error, and what we make of it.
SAID = [
    (
        "Error: dns/templates/d.yaml:8:22\n  at <.Values.a>:\n nil pointer",
        ErrorClass.CONFIGURATION,
        "templates/d.yaml:8:22",
    ),
    ("Error: execution error at (dns/templates/d.yaml:8:15): no way", ErrorClass.CONFIGURATION, "no way"),
    ("Error: values don't meet the specifications of the schema(s)", ErrorClass.CONFIGURATION, "schema"),
    ('Error: server-side apply failed: Deployment.apps "x" is invalid: []', ErrorClass.CONFIGURATION, "is invalid"),
    ("Error: kubernetes cluster unreachable: EOF", ErrorClass.INFRASTRUCTURE, "unreachable"),
    ("Error: dial tcp 127.0.0.1:1: connect: connection refused", ErrorClass.INFRASTRUCTURE, "refused"),
    ("Error: UPGRADE FAILED: context deadline exceeded", ErrorClass.PRODUCT, "not ready in time"),
]


@pytest.mark.parametrize(("said", "error_class", "shown"), SAID)
def test_a_failure_of_helm_is_classed_by_what_it_says(
    request_for: Requests, chart: Path, play_helm: Callable[[str], Path], said: str, error_class: ErrorClass, shown: str
) -> None:
    kept = play_helm("cat said >&2; exit 1")
    (kept / "said").write_text(f"level=WARN msg=unable\n{said}\n\nUse --debug flag to render out invalid YAML\n")

    with pytest.raises(StageError) as raised:
        helm.deploy(request_for(chart))

    assert raised.value.error_class == error_class
    assert shown in raised.value.message
    assert "level=WARN" not in raised.value.message
    assert "--debug" not in raised.value.message


def test_an_image_that_is_not_there_ends_helm_and_all_it_started(
    request_for: Requests, chart: Path, play_helm: Callable[[str], Path], fake: FakeApi
) -> None:
    kept = play_helm("sleep 1000 & echo $! > child; wait")
    fake.put("/api/v1/namespaces/cell/pods/p", pod(reason="ErrImagePull", message=NOT_FOUND))

    with pytest.raises(StageError, match="cannot be pulled: not found") as raised:
        helm.deploy(request_for(chart))

    assert raised.value.error_class == ErrorClass.INFRASTRUCTURE
    assert not _is_running(int((kept / "child").read_text()))


def test_the_deadline_ends_helm_and_says_what_was_waited_for(
    request_for: Requests, chart: Path, play_helm: Callable[[str], Path]
) -> None:
    kept = play_helm("sleep 1000 & echo $! > child; wait")
    request = request_for(chart)
    request.stage.deadline = time.monotonic() + 4

    with pytest.raises(DeadlineExceeded, match="waiting for the first pod"):
        helm.deploy(request)

    assert not _is_running(int((kept / "child").read_text()))


def test_a_namespace_of_somebody_else_is_not_touched(
    request_for: Requests, chart: Path, play_helm: Callable[[str], Path], fake: FakeApi
) -> None:
    kept = play_helm("true")
    fake.put("/api/v1/namespaces/cell", {"metadata": {"name": "cell", "labels": {"team": "a"}}})

    with pytest.raises(StageError, match="this run did not make it"):
        helm.deploy(request_for(chart))

    assert not list(kept.iterdir())


NAMESPACE = "/api/v1/namespaces/cell"


def test_removal_waits_until_the_namespace_is_gone(
    cluster: Cluster, stage: StageContext, play_helm: Callable[[str], Path], fake: FakeApi
) -> None:
    kept = play_helm("true")
    fake.put(NAMESPACE, {"metadata": {"name": "cell", "labels": {helm.RUN_LABEL: "7f3a"}}})
    asked: list[int] = []

    def delete(path: str) -> None:
        asked.append(len(fake.requests))
        threading.Thread(target=go_away).start()

    def go_away() -> None:  # once it was looked for in vain
        with fake.changed:
            fake.changed.wait_for(lambda: len(fake.requests) > asked[0] + 1, 10)
        fake.remove(NAMESPACE)

    fake.on_delete = delete
    helm.remove(cluster.kubeconfig, "cell", "dns-stable", stage)

    assert (kept / "arguments").read_text().startswith("uninstall dns-stable --namespace cell")
    assert NAMESPACE not in fake.objects
    helm.remove(cluster.kubeconfig, "cell", "dns-stable", stage)  # again: nothing to do


def test_what_an_attempt_before_left_goes_first(
    request_for: Requests, chart: Path, play_helm: Callable[[str], Path], fake: FakeApi, stage: StageContext
) -> None:
    kept = play_helm(f"cat arguments >> all; echo '{json.dumps(RELEASED)}'")
    fake.put(NAMESPACE, {"metadata": {"name": "cell", "uid": "old", "labels": {helm.RUN_LABEL: "7f3a"}}})

    helm.deploy(request_for(chart))

    assert [line.split()[0] for line in (kept / "all").read_text().splitlines()] == ["uninstall", "upgrade"]
    assert fake.objects[NAMESPACE]["metadata"]["uid"] != "old"
    assert "from an attempt before this one" in stage.log.read_text()


def test_a_helm_that_hangs_in_a_removal_is_named(
    cluster: Cluster, stage: StageContext, play_helm: Callable[[str], Path], fake: FakeApi
) -> None:
    play_helm("sleep 1000")
    fake.put(NAMESPACE, {"metadata": {"name": "cell", "labels": {helm.RUN_LABEL: "7f3a"}}})
    stage.deadline = time.monotonic() + 0.5
    with pytest.raises(DeadlineExceeded, match="while helm uninstall dns-stable"):
        helm.remove(cluster.kubeconfig, "cell", "dns-stable", stage)


def test_a_namespace_that_does_not_go_is_said(
    cluster: Cluster,
    stage: StageContext,
    play_helm: Callable[[str], Path],
    fake: FakeApi,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(helm, "_REMOVAL", 0.0)
    play_helm("true")
    fake.put(NAMESPACE, {"metadata": {"name": "cell", "labels": {helm.RUN_LABEL: "7f3a"}}})
    fake.on_delete = lambda path: None

    with pytest.raises(DeadlineExceeded, match="waiting for namespace cell to be gone"):
        helm.remove(cluster.kubeconfig, "cell", "dns-stable", stage)


@pytest.mark.parametrize("labels", [{}, {"team": "a"}, {helm.RUN_LABEL: "other"}])
def test_a_namespace_that_the_run_did_not_make_is_not_removed(
    cluster: Cluster, stage: StageContext, play_helm: Callable[[str], Path], fake: FakeApi, labels: dict[str, str]
) -> None:
    kept = play_helm("true")
    fake.put(NAMESPACE, {"metadata": {"name": "cell", "labels": labels}})

    helm.remove(cluster.kubeconfig, "cell", "dns-stable", stage)

    assert NAMESPACE in fake.objects
    assert not list(kept.iterdir())


def test_a_chart_is_found_in_the_rootdir_before_it_is_found_among_the_bundled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert helm.find_chart("oci://registry.example/charts/dns", tmp_path) == "oci://registry.example/charts/dns"
    bundled = helm.find_chart("coredns", tmp_path)
    here = tmp_path / "charts" / "coredns"
    here.mkdir(parents=True)
    (here / "Chart.yaml").touch()
    monkeypatch.chdir(here)  # pytest may be started anywhere below its rootdir

    assert helm.find_chart("coredns", tmp_path) == str(here) != bundled
    assert helm.find_chart("charts/coredns", tmp_path) == str(here)
    assert helm.find_chart(str(here), tmp_path / "elsewhere") == str(here)
    with pytest.raises(StageError, match=r"no chart 'nope'") as raised:
        helm.find_chart("nope", tmp_path)
    assert raised.value.error_class == ErrorClass.CONFIGURATION


def test_a_project_of_the_rootdir_deploys_its_chart_from_anywhere(
    request_for: Requests, chart: Path, play_helm: Callable[[str], Path]
) -> None:
    kept = play_helm(f"echo '{json.dumps(RELEASED)}'")

    relative = chart.relative_to(chart.parent.parent)
    helm.deploy(dataclasses.replace(request_for(relative), rootdir=chart.parent.parent))

    assert f" {chart} " in (kept / "arguments").read_text()


def test_pins_lie_over_the_projects_values() -> None:
    build = GoProgram(directory=Path("nowhere"), image="x")
    values = {"image": {"pullPolicy": "Always", "tag": "mine"}, "hosts": ["a"]}
    project = Project(name="p", build=build, chart="c", values=values)
    one = Artifacts("p", Ref("stable", "v1"), "amd64", (pin("DNS"),))
    image = {"repository": "198.18.0.1:5000/dns", "tag": "v1.0.0", "digest": pin("DNS").digest}

    assert helm.values(project, one) == {
        "image": {"pullPolicy": "Always", **image},
        "images": {"dns": image},
        "hosts": ["a"],
    }
    two = helm.values(project, dataclasses.replace(one, pins=(pin("UI"), pin("API"))))
    assert sorted(two["images"]) == ["api", "ui"]
    assert two["image"] == values["image"]


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
