"""The main job, for real: CoreDNS built, a Kubernetes on this computer, the release, its e2e; and how it may end."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud import capacity, paths
from pytest_crosscloud.model import Cluster, StageResult
from pytest_crosscloud.provision.terraform import VARIABLES_FILE
from pytest_crosscloud.repro import bundle
from pytest_crosscloud.run import context
from pytest_crosscloud.run.store import open_store
from pytest_crosscloud.toolchain import pins
from tests.e2e.job import DEADLINE, GONE, Job, wait_for

pytestmark = pytest.mark.root


def statuses(cell: Any) -> dict[str, str]:
    return {name: stage["status"] for name, stage in cell["stages"].items()}


GREEN = dict.fromkeys(("build", "provision", "deploy", "e2e"), "success")


def test_the_main_job_ends_green_and_leaves_nothing(start: Callable[..., Job]) -> None:
    job = start("--refs=stable,head")
    secrets = _secrets(job)
    assert job.wait() == 0, job.text
    cells = job.cells()
    assert {name: statuses(cell) for name, cell in cells.items()} == {
        "coredns-stable-local": GREEN,
        "coredns-head-local": GREEN,
    }
    results = open_store().results(job.run)
    assert sorted(key for key in results if key.startswith(("build", "provision"))) == [
        "build coredns-head",
        "build coredns-stable",
        "provision local",
    ]
    versions = {name: cell["ref"]["version"] for name, cell in cells.items()}
    assert versions["coredns-stable-local"] != versions["coredns-head-local"]
    for name, cell in cells.items():
        assert all(pin["digest"].startswith("sha256:") for pin in cell["pins"])
        env = (job.out / "builds" / name.removesuffix("-local") / "release.env").read_text()
        assert cell["pins"][0]["digest"] in env
    page = (job.out / "index.html").read_text()
    assert all(version in page for version in versions.values())
    assert all(version in job.text for version in versions.values())
    _is_in_allure(job, cells)
    assert job.traces() == []
    _no_secret(job, secrets)


def _is_in_allure(job: Job, cells: dict[str, Any]) -> None:
    """Every cell is a test of Allure's, with axes as labels and stages as steps; and its CLI has made the report."""
    results = [json.loads(path.read_text()) for path in (job.out / "allure-results").glob("*-result.json")]
    by_name = {result["name"]: result for result in results}
    report = json.loads((job.out / "allure" / "test-results.json").read_text())["byId"].values()
    assert "<script" in (job.out / "allure" / "index.html").read_text(), job.text
    for name, cell in cells.items():
        test = by_name[f"test_e2e[{name}]"]
        labels = {label["name"]: label["value"] for label in test["labels"]}
        axes = {"project": cell["project"], "ref": cell["ref"]["name"], "cloud": cell["cloud"]}
        assert labels.items() >= axes.items()
        assert [step["name"].split()[0] for step in test["steps"]] == list(GREEN)
        assert {step["status"] for step in test["steps"]} == {"passed"}
        (shown,) = [entry for entry in report if entry["name"] == test["name"]]
        assert (shown["status"], shown["environment"]) == ("passed", axes["cloud"])


def _secrets(job: Job) -> set[bytes]:
    """The keys and tokens of the run's cluster, in every form that a text may hold. They go with the cluster."""

    def files() -> list[Path]:
        directory = context.directory(job.run) if job.run else Path("nowhere")
        return [path for name in ("kubeconfig", VARIABLES_FILE) for path in directory.glob(f"clusters/**/{name}")]

    wait_for(lambda: job.process.poll() is not None or len(files()) > 1, "kubeconfig", DEADLINE)
    found = set()
    for path in files():
        for secret in _of(json.loads(path.read_text())):
            texts = [secret]
            with suppress(ValueError):
                texts.append(base64.b64decode(secret, validate=True).decode())
            for text in texts:
                found |= {text.strip(), json.dumps(text)[1:-1], base64.b64encode(text.encode()).decode()}
                found |= {line for line in text.splitlines() if "PRIVATE KEY" in text and "-----" not in line}
    assert len(found) > 3, "the cluster's secrets were not there to be read"
    return {form.encode() for form in found}


def _of(value: Any) -> Iterator[str]:
    """The private keys and tokens in a kubeconfig or in Terraform's variables."""
    if isinstance(value, list):
        for item in value:
            yield from _of(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str) and (key in ("token", "client-key-data") or "PRIVATE KEY-----" in item):
                yield item
            else:
                yield from _of(item)


def _no_secret(job: Job, secrets: set[bytes]) -> None:
    """No key or token of the run's cluster lies in what the run wrote for people."""
    for path in (job.log, *job.out.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            assert not [secret for secret in secrets if secret in content], path


#: What somebody's project may plant in its e2e container.
_TOKEN = "planted-in-the-e2e-container"

#: Breaks the build of CoreDNS' head: the real go is asked for a package that this version does not have. And declares
#: CoreDNS once more, as a project whose e2e container expects an address that the chart does not give.
_BROKEN = f"""
import dataclasses
from pytest_crosscloud import hookimpl, paths
from pytest_crosscloud.build.go import GoBuild, GoProgram
from pytest_crosscloud.model import E2E, Project

@hookimpl
def crosscloud_build(request):
    if request.ref.name == "head":
        strategy = dataclasses.replace(request.project.build, package="./broken-on-purpose")
        return strategy.build(request)

@hookimpl
def crosscloud_projects():
    flags = "-X github.com/coredns/coredns/coremain.GitCommit={{commit}}"
    ports = ("53/udp", "53/tcp", "9153/tcp")
    build = GoBuild(module="github.com/coredns/coredns", image="coredns/coredns", ldflags=flags, ports=ports)
    checks = GoProgram(directory=paths.data("projects", "coredns", "e2e"), image="coredns/e2e")
    bundled = {{"MANY_RECORDS": "many.example.crosscloud.test=60", "STUB_ZONE": "stub.crosscloud.test"}}
    hosts = "example.crosscloud.test=192.0.2.99,www.example.crosscloud.test=192.0.2.11"
    env = {{**bundled, "HEADLESS_PODS": "2", "HOSTS_RECORDS": hosts, "API_TOKEN": "{_TOKEN}"}}
    return [Project(name="dns", stable_ref="v1.14.7", build=build, chart="coredns", e2e=E2E(build=checks, env=env))]
"""


def test_a_head_that_does_not_build_is_na_and_a_red_e2e_is_repeated_elsewhere(
    start: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = start("--projects=coredns,dns", "--refs=stable,head", files={"conftest.py": _BROKEN})
    secrets = _secrets(job) | {_TOKEN.encode()}
    assert job.wait() == 1, job.text
    cells = job.cells()
    assert statuses(cells["coredns-stable-local"]) == GREEN
    broken_cell = cells["coredns-head-local"]
    assert statuses(broken_cell) == {"build": "failed", "provision": "success", "deploy": "n/a", "e2e": "n/a"}
    error = broken_cell["stages"]["build"]["error"]
    assert error["class"] == "product"
    assert "broken-on-purpose" in error["message"]
    assert broken_cell["stages"]["e2e"]["upstream"] == "build coredns-head"
    assert _table(job.text)["coredns"] == [("stable", "success", "success"), ("head", "failed", "n/a")]
    assert _page(job)["coredns"] == [("stable", "success", "success"), ("head", "failed", "n/a")]
    assert "Traceback" not in job.text
    assert job.traces() == []

    assert statuses(cells["dns-stable-local"]) == {**GREEN, "e2e": "failed"}
    path = job.out / "cells" / "dns-stable-local" / bundle.FILE
    assert cells["dns-stable-local"]["repeat"] == f"crosscloud repro {path.relative_to(job.out.parents[1])}"
    for packed in job.out.glob(f"cells/*/{bundle.FILE}"):
        content = gzip.decompress(packed.read_bytes())
        assert not [secret for secret in secrets if secret in content], packed

    # Another computer, as far as one can be had here: neither the plugin nor the run is known.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    again = subprocess.run(
        [Path(sys.executable).with_name("crosscloud"), "repro", path],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert again.returncode == 1, again.stdout + again.stderr
    last = again.stdout.splitlines()[-1]
    assert re.match("reproduced: the same failure came again: e2e: 1 of [0-9]+ checks failed: hosts zone", last), last
    repeated = json.loads((elsewhere / "reports" / "repro" / "results.json").read_text())["cells"][0]
    digests = [pin["digest"] for pin in repeated["pins"]]
    assert digests == [pin["digest"] for pin in cells["dns-stable-local"]["pins"]]


def _table(text: str) -> dict[str, list[tuple[str, ...]]]:
    """Ref, build and cloud of each project's rows in the table at the end of the terminal."""
    table = text.rpartition(" crosscloud run ")[2]
    found: dict[str, list[tuple[str, ...]]] = {}
    # Below a row stands what went wrong in it.
    for project, ref, *shown in re.findall(r"^(\S*) +(stable|head) v\S+ +(\S+) +(\S+)$", table, re.MULTILINE):
        found.setdefault(project.lower() or list(found)[-1], []).append((ref, *shown))
    return found


def _page(job: Job) -> dict[str, list[tuple[str, ...]]]:
    """The same of the page: what is written in the table's rows, by the texts of its badges."""
    table = (job.out / "index.html").read_text().partition("<tbody")[2].partition("</table>")[0]
    found = {}
    for body in f"<tbody{table}".split("<tbody")[1:]:
        rows = re.findall(r'<span class="ref">(.*?)</span>(.*?)</tr>', body, re.DOTALL)
        shown = [(ref, *re.findall(r'class="badge[^>]*>(.*?)<', rest)) for ref, rest in rows]
        found[body.split('"')[1]] = shown
    return found


def test_two_clusters_stand_side_by_side_in_one_run(start: Callable[..., Job]) -> None:
    def has_room() -> bool:
        return not capacity.lacking(2, 0, paths.state())

    wait_for(has_room, "room for two clusters beside those of other tests", DEADLINE, every=1)
    version = pins.load()["kubernetes"]["stable"]
    names = {"cross-cloud.yml": f"kubernetes:\n  other: {version}\n"}
    job = start("--kubernetes=stable,other", "--refs=stable", files=names)
    assert job.wait() == 0, job.text
    assert {name: statuses(cell) for name, cell in job.cells().items()} == {
        "coredns-stable-local-stable": GREEN,
        "coredns-stable-local-other": GREEN,
    }
    results = open_store().results(job.run)
    provisions = [result for key, result in results.items() if key.startswith("provision")]
    endpoints = {Cluster.from_json(result.data).endpoint for result in provisions}
    assert len(provisions) == len(endpoints) == 2
    began, ended = zip(*((result.started or 0, _over(job, result)) for result in provisions), strict=True)
    assert max(began) < min(ended), "one was given back before the other began"
    assert job.traces() == []


def _over(job: Job, provision: StageResult) -> float:
    """When the last stage on a cluster ended, in seconds since the epoch."""
    cluster = provision.target.removeprefix("local-")
    e2e = open_store().results(job.run)[f"e2e coredns-stable-local-{cluster}"]
    return (e2e.started or 0) + e2e.seconds


@pytest.mark.parametrize("moment", ["provision", "deploy"])
def test_nothing_is_left_within_seconds_of_a_kill(start: Callable[..., Job], moment: str) -> None:
    job = start("--refs=stable")
    wait_for(lambda: job.run and job.is_running(moment), f"running {moment}", DEADLINE)
    job.process.send_signal(signal.SIGKILL)
    job.process.wait(10)
    wait_for(lambda: not job.traces(), f"end: {job.traces()}", GONE)


def test_nothing_is_left_after_ctrl_c(start: Callable[..., Job]) -> None:
    job = start("--refs=stable")
    wait_for(lambda: job.run and job.is_running("deploy"), "running deploy", DEADLINE)
    os.killpg(job.process.pid, signal.SIGINT)
    assert job.wait(60) == pytest.ExitCode.INTERRUPTED
    assert job.traces() == []
    assert "cancelled" in statuses(job.cells()["coredns-stable-local"]).values()
