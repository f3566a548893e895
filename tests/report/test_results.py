"""results.json: the schema, the documentation, and what a script reads from it."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_crosscloud.model import E2EResult, StageResult, Status
from pytest_crosscloud.report import files, results

from .sample import STARTED, finished, one_cell, sample, write_files

SCHEMA: dict[str, Any] = json.loads(results.SCHEMA.read_text())
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "results.md"


def cell(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(cell for cell in document["cells"] if cell["id"] == name)


@pytest.mark.parametrize("summary", [sample(), finished(sample(("stable", "head"), ("amd64", "arm64"))), one_cell()])
def test_what_is_written_satisfies_the_schema(summary: Any, tmp_path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    written = json.loads(results.write(summary, tmp_path).read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(written)
    assert len(written["cells"]) == len(summary.cells)


def test_a_run_without_any_result_satisfies_the_schema(tmp_path: Path) -> None:
    summary = replace(one_cell(), results={}, refs={}, kubernetes={}, finished=None)
    document = results.document(summary, tmp_path)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert document["run"]["status"] == "running"
    assert document["cells"][0]["status"] == "n/a"


def objects(name: str, schema: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Every object of the schema: name and fields."""
    found = [(name, list(schema["properties"]))]
    return found + [
        (name, list(inner["properties"])) for inner in schema["properties"].values() if "properties" in inner
    ]


@pytest.mark.parametrize(
    ("section", "fields"),
    [
        *objects("The file", SCHEMA),
        *(pair for name, inner in SCHEMA["$defs"].items() if "properties" in inner for pair in objects(name, inner)),
    ],
)
def test_every_field_is_documented(section: str, fields: list[str]) -> None:
    text = re.split(r"^## ", DOCUMENTATION.read_text(), flags=re.MULTILINE)
    body = next(part for part in text if part.startswith(section + "\n"))
    assert [field for field in fields if f"`{field}`" not in body] == []
    rows = re.findall(r"^\| `([^`]+)`", body, flags=re.MULTILINE)
    schema = SCHEMA if section == "The file" else SCHEMA["$defs"][section]
    assert rows == list(schema["properties"]), "the documentation has the schema's fields, in its order"


def test_a_failed_stage_says_why_where_and_how_to_repeat(tmp_path: Path) -> None:
    summary = sample()
    write_files(summary, tmp_path)
    failed = cell(results.document(summary, tmp_path), "coredns-head-azure")
    assert failed["status"] == "failed"
    assert failed["stages"]["e2e"]["error"]["class"] == "product"
    assert failed["checks"]["counts"] == {"passed": 7, "failed": 2, "skipped": 0}
    assert "cells/coredns-head-azure/pods/coredns-7d9f.log" in failed["files"]
    assert "builds/coredns-head/release.env" in failed["files"]
    assert failed["repeat"] == "pytest --clouds=azure --projects=coredns --refs=head"
    assert failed["pins"][0]["reference"].startswith("198.18.0.1:5000/coredns/coredns@sha256:")
    assert [pin["purpose"] for pin in failed["pins"]] == ["project", "e2e"]


def test_times_are_utc_and_durations_seconds(tmp_path: Path) -> None:
    document = results.document(finished(sample()), tmp_path)
    assert document["run"]["started"] == "2026-11-22T00:00:00.000Z"
    assert document["run"]["seconds"] == 1234.5
    build = cell(document, "prometheus-head-aws")["stages"]["build"]
    assert (build["started"], build["finished"], build["seconds"]) == (
        "2026-11-22T00:00:02.000Z",
        "2026-11-22T00:00:43.200Z",
        41.2,
    )


def test_dependants_of_a_failed_stage_are_na_and_point_to_it(tmp_path: Path) -> None:
    document = results.document(sample(), tmp_path)
    downstream = cell(document, "prometheus-head-aws")
    assert downstream["status"] == "n/a"
    assert downstream["stages"]["deploy"]["upstream"] == "build prometheus-head"
    assert downstream["stages"]["deploy"]["seconds"] is None
    assert downstream["pins"] == []


def test_a_running_stage_has_no_end(tmp_path: Path) -> None:
    running = cell(results.document(sample(), tmp_path), "onap-stable-oci")
    assert running["status"] == running["stages"]["e2e"]["status"] == "running"
    assert running["stages"]["e2e"]["finished"] is None
    assert running["stages"]["e2e"]["seconds"] is None


def test_paths_below_the_reports_are_relative_to_them(tmp_path: Path) -> None:
    log = tmp_path / "cells" / "coredns-stable-local" / "container.log"
    summary = one_cell()
    key = "e2e coredns-stable-local"
    result = replace(summary.results[key], data=E2EResult(0, log=str(log), junit="/elsewhere/junit.xml").to_json())
    document = results.document(replace(summary, results={**summary.results, key: result}), tmp_path)
    checks = document["cells"][0]["checks"]
    assert checks["log"] == "cells/coredns-stable-local/container.log"
    assert checks["junit"] == "/elsewhere/junit.xml"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status.SUCCESS, Status.SUCCESS),
        (Status.FAILED, Status.FAILED),
        (Status.CANCELLED, Status.CANCELLED),
        (Status.NA, Status.NA),
    ],
)
def test_the_run_is_a_success_only_if_every_cell_is(status: Status, expected: Status) -> None:
    summary = one_cell()
    e2e = replace(summary.results["e2e coredns-stable-local"], status=status)
    assert results.run_status(one_cell(e2e=e2e)) == expected


def test_nothing_ran_is_not_a_success() -> None:
    assert results.run_status(replace(one_cell(), cells=(), results={})) == Status.NA


def test_secrets_of_the_command_line_are_not_written(tmp_path: Path) -> None:
    summary = replace(one_cell(), command="pytest --registry=https://robot:hunter22@registry.example.org")
    assert "hunter22" not in results.write(summary, tmp_path).read_text()


def test_a_report_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "results.json"
    files.write(target, "old")

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        files.write(target, "new")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_options_that_a_repetition_needs_are_in_its_command() -> None:
    summary = replace(one_cell(), options=("--crosscloud-config=my config.yml",))
    assert summary.repeat(summary.cells[0]) == (
        "pytest --clouds=local --projects=coredns --refs=stable '--crosscloud-config=my config.yml'"
    )
    wide = sample(("stable", "head"), ("amd64", "arm64"))
    assert wide.repeat(wide.cells[-1]).endswith("--refs=head --kubernetes=head --arch=arm64")
    assert wide.started == STARTED


def test_a_failed_cell_is_repeated_from_its_bundle() -> None:
    failed = StageResult("e2e", "coredns-stable-local", Status.FAILED, started=STARTED)
    left = {"coredns-stable-local": "reports/my out/bundle.tar.gz"}
    summary = replace(one_cell(e2e=failed), bundles=left)
    assert summary.repeat(summary.cells[0]) == "crosscloud repro 'reports/my out/bundle.tar.gz'"
    assert one_cell(e2e=failed).repeat(summary.cells[0]).startswith("pytest ")
    green = replace(one_cell(), bundles=left)  # the one of an earlier run, which this one went on with
    assert green.repeat(green.cells[0]).startswith("pytest ")


def test_a_flaky_cell_is_a_success_that_says_so(tmp_path: Path) -> None:
    e2e = StageResult("e2e", "coredns-stable-local", Status.SUCCESS, started=STARTED, attempts=2, flaky=True)
    document = results.document(one_cell(e2e=e2e), tmp_path)
    found = document["cells"][0]
    assert (found["status"], found["flaky"], document["run"]["flaky"]) == ("success", True, 1)
    assert (found["stages"]["e2e"]["attempts"], found["stages"]["deploy"]["attempts"]) == (2, 1)
    failed = replace(e2e, status=Status.FAILED)
    assert results.document(one_cell(e2e=failed), tmp_path)["run"]["flaky"] == 0
    assert (
        results.document(one_cell(e2e=replace(e2e, started=None)), tmp_path)["cells"][0]["stages"]["e2e"]["attempts"]
        == 0
    )
