"""Allure results as Allure reads them, and the report that its CLI makes of them."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud.model import ErrorClass, Failure, StageResult, Status
from pytest_crosscloud.paths import cache
from pytest_crosscloud.report import allure
from pytest_crosscloud.run.processes import RUN_VARIABLE
from pytest_crosscloud.run.summary import RunSummary

from .sample import finished, one_cell, sample, write_files


def written(summary: RunSummary, out: Path) -> dict[str, dict[str, Any]]:
    folder = allure.write(summary, out)
    found = [json.loads(path.read_text()) for path in folder.glob("*-result.json")]
    by_name = {result["name"]: result for result in found}
    assert len(by_name) == len(found), "each test once"
    return by_name


def pairs(items: list[dict[str, Any]]) -> dict[str, str]:
    return {item["name"]: item["value"] for item in items}


def test_builds_provisions_and_cells_are_a_test_each(tmp_path: Path) -> None:
    summary = sample()
    found = written(summary, tmp_path)
    assert sum(name.startswith("test_build[") for name in found) == 14
    assert sum(name.startswith("test_provision[") for name in found) == 8
    assert sum(name.startswith("test_e2e[") for name in found) == len(summary.cells)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("test_build[coredns-head]", "passed"),
        ("test_build[prometheus-head]", "failed"),
        ("test_provision[packet]", "broken"),
        ("test_e2e[coredns-head-azure]", "failed"),
        ("test_e2e[fluentd-stable-openstack]", "broken"),
        ("test_e2e[prometheus-head-aws]", "skipped"),
        ("test_e2e[linkerd-head-oci]", "skipped"),
        ("test_e2e[onap-stable-oci]", "unknown"),
    ],
)
def test_only_the_products_fault_is_called_failed(tmp_path: Path, name: str, status: str) -> None:
    assert written(sample(), tmp_path)[name]["status"] == status


def test_a_flaky_cell_passed_and_says_so(tmp_path: Path) -> None:
    detail = "9 checks passed (flaky at attempt 2; before: 1 of 9 checks failed)"
    e2e = StageResult("e2e", "coredns-stable-local", Status.SUCCESS, started=1.0, attempts=2, flaky=True, detail=detail)
    found = written(one_cell(e2e=e2e), tmp_path)["test_e2e[coredns-stable-local]"]
    assert found["status"] == "passed"
    assert found["statusDetails"]["flaky"] is True
    assert detail in found["statusDetails"]["message"]
    assert {"name": "tag", "value": "flaky"} in found["labels"]
    green = written(one_cell(), tmp_path)["test_e2e[coredns-stable-local]"]
    assert "flaky" not in str(green)


def test_a_cells_stages_are_its_steps(tmp_path: Path) -> None:
    failed = written(sample(), tmp_path)["test_e2e[coredns-head-azure]"]
    assert [(step["name"], step["status"]) for step in failed["steps"]] == [
        ("build coredns-head", "passed"),
        ("provision azure", "passed"),
        ("deploy coredns-head-azure", "passed"),
        ("e2e coredns-head-azure", "failed"),
    ]
    assert failed["steps"][2]["stop"] - failed["steps"][2]["start"] == 14_200
    assert (failed["start"], failed["stop"]) == (failed["steps"][2]["start"], failed["steps"][3]["stop"])
    assert "2 of 9 checks failed" in failed["statusDetails"]["message"]
    assert "remedy:" in failed["statusDetails"]["trace"]
    downstream = written(sample(), tmp_path)["test_e2e[prometheus-head-aws]"]
    assert downstream["statusDetails"]["message"].startswith("build prometheus-head:")


def test_axes_are_labels_and_versions_do_not_break_the_history(tmp_path: Path) -> None:
    first = written(sample(), tmp_path)["test_e2e[coredns-head-azure]"]
    labels = pairs(first["labels"])
    assert labels.items() >= {"project": "coredns", "ref": "head", "cloud": "azure", "kubernetes": "stable"}.items()
    excluded = {item["name"] for item in first["parameters"] if item.get("excluded")}
    assert {"version", "commit", "repeat"} <= excluded
    assert not {"project", "ref", "cloud", "kubernetes", "arch"} & excluded
    assert all(isinstance(item["value"], str) for item in first["parameters"])

    later = sample()
    moved = {key: replace(ref, version="v9", commit="f" * 40) for key, ref in later.refs.items()}
    second = written(replace(later, id="8c1b", refs=moved), tmp_path)["test_e2e[coredns-head-azure]"]
    assert second["historyId"] == first["historyId"]
    assert second["uuid"] != first["uuid"]
    ids = [result["historyId"] for result in written(sample(("stable", "head"), ("amd64", "arm64")), tmp_path).values()]
    assert len(ids) == len(set(ids))


def test_logs_and_evidence_are_attached(tmp_path: Path) -> None:
    summary = sample()
    write_files(summary, tmp_path)
    found = written(summary, tmp_path)
    (step,) = [step for step in found["test_e2e[coredns-head-azure]"]["steps"] if step["name"].startswith("e2e ")]
    attached = {item["name"]: tmp_path / "allure-results" / item["source"] for item in step["attachments"]}
    assert "cells/coredns-head-azure/pods/coredns-7d9f.log" in attached
    assert attached["cells/coredns-head-azure/events.txt"].read_text().startswith("Warning")
    green = found["test_e2e[coredns-stable-azure]"]["steps"][3]
    assert [item["name"] for item in green["attachments"]] == ["cells/coredns-stable-azure/e2e.log"]


def test_writing_again_replaces_and_leaves_the_users_own_tests_alone(tmp_path: Path) -> None:
    summary = sample()
    write_files(summary, tmp_path)
    folder = allure.write(summary, tmp_path)
    before = {path.name for path in folder.iterdir()}
    users = {"name": "test_mine", "fullName": "tests.test_mine#test_mine"}
    suites = {"name": "test_build[x]", "fullName": f"site-packages.{allure.SUITE}test_build#test_build"}
    (folder / "1-result.json").write_text(json.dumps(users))
    (folder / "2-result.json").write_text(json.dumps(suites))
    allure.write(summary, tmp_path)
    after = {path.name for path in folder.iterdir()}
    assert "1-result.json" in after
    assert "2-result.json" not in after
    assert len(after) == len(before) + 1
    allure.write(one_cell(), tmp_path)
    assert len(list(folder.glob("*-attachment.*"))) <= 4, "the attachments of the results that went, went too"


def test_a_failure_without_a_reason_and_a_stage_never_reached(tmp_path: Path) -> None:
    e2e = StageResult("e2e", "coredns-stable-local", Status.FAILED)
    assert written(one_cell(e2e=e2e), tmp_path)["test_e2e[coredns-stable-local]"]["status"] == "failed"
    empty = replace(one_cell(), results={}, finished=None)
    assert {result["status"] for result in written(empty, tmp_path).values()} == {"skipped"}


# -- the report ---------------------------------------------------------------------------------------------


def tool(tmp_path: Path, script: str) -> Path:
    path = tmp_path / "allure"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_without_the_cli_there_is_a_note() -> None:
    assert "crosscloud setup" in allure.generate(Path("nowhere"), None)


def test_a_cli_that_fails_is_a_note_with_its_log(tmp_path: Path) -> None:
    out = tmp_path / "out"
    allure.write(one_cell(), out)
    note = allure.generate(out, tool(tmp_path, "echo no memory >&2; exit 3"))
    assert "exited with 3" in note
    assert (out / "allure.log").read_text() == "no memory\n"
    assert "no Allure report" in allure.generate(out, tmp_path / "missing")


def test_a_cli_that_hangs_is_ended_with_what_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allure, "DEADLINE", 0.5)
    out = tmp_path / "out"
    allure.write(one_cell(), out)
    note = allure.generate(out, tool(tmp_path, f"sleep 1000 & echo $! > {tmp_path}/child; wait"))
    assert "took more than" in note
    child = Path("/proc") / (tmp_path / "child").read_text().strip() / "stat"
    assert not child.exists() or child.read_text().split()[2] == "Z"


def test_no_request_of_a_reader_leaves_the_report(tmp_path: Path) -> None:
    out = tmp_path / "out"
    allure.write(one_cell(), out)
    page = '<p>x</p><script async src="https://www.googletagmanager.com/gtag/js?id=G-1"></script><script>1</script>'
    assert allure.generate(out, tool(tmp_path, f"mkdir allure; echo '{page}' > allure/index.html")) == ""
    assert (out / "allure" / "index.html").read_text() == "<p>x</p><script>1</script>\n"


def installed() -> Path | None:
    found = shutil.which("allure") or next(iter(cache().glob("**/node_modules/.bin/allure")), None)
    return Path(found) if found else None


@pytest.mark.skipif(installed() is None, reason="no Allure CLI: crosscloud setup installs it")
def test_the_cli_makes_a_report_with_environments_and_history(tmp_path: Path) -> None:
    summary = finished(sample())
    write_files(summary, tmp_path)
    for _ in range(2):
        allure.write(summary, tmp_path)
        assert allure.generate(tmp_path, installed()) == "", (tmp_path / "allure.log").read_text()
    tests = json.loads((tmp_path / "allure" / "test-results.json").read_text())["byId"].values()
    assert {test["environment"] for test in tests if test["name"].endswith("-azure]")} == {"azure"}
    assert len((tmp_path / "allure-history.jsonl").read_text().splitlines()) == 2
    assert "googletagmanager" not in (tmp_path / "allure" / "index.html").read_text()
    assert os.access(tmp_path / "allure" / "index.html", os.R_OK)


def test_an_infrastructure_failure_says_so(tmp_path: Path) -> None:
    failure = Failure(ErrorClass.INFRASTRUCTURE, "first line\nsecond line", "do this")
    deploy = StageResult("deploy", "coredns-stable-local", Status.FAILED, 1.0, 2.0, failure=failure)
    result = written(one_cell(deploy=deploy), tmp_path)["test_e2e[coredns-stable-local]"]
    assert result["status"] == "broken"
    assert result["statusDetails"] == {
        "message": "deploy coredns-stable-local: first line",
        "trace": "second line\nremedy: do this",
    }


def test_the_reaper_of_the_run_leaves_the_cli_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends what carries the run's mark, beside the reports."""
    monkeypatch.setenv(RUN_VARIABLE, "0123abcd")
    made = 'mkdir allure && echo "${' + RUN_VARIABLE + ':-unmarked}" >allure/index.html'
    (out := tmp_path / "out").mkdir()
    assert allure.generate(out, tool(tmp_path, made)) == ""
    assert (out / "allure" / "index.html").read_text() == "unmarked\n"
