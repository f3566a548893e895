"""Whether a repetition failed as its bundle did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud.model import E2EResult, Failure, StageResult, Status
from pytest_crosscloud.repro.bundle import Bundle
from pytest_crosscloud.repro.verdict import verdict
from pytest_crosscloud.run.summary import RunSummary
from tests.report.sample import one_cell


def found(stage: str, message: str, *checks: str, redacted: tuple[str, ...] = ()) -> Bundle:
    cell = {"id": "demo-head-aws", "build": "demo-head", "cluster": "aws"}
    failure = {"stage": stage, "message": message, "checks": list(checks)}
    return Bundle(Path("b"), {"run": {"id": "0a1b2c3d"}, "cell": cell, "failure": failure, "redacted": list(redacted)})


def ended(stage: str = "", message: str = "", *checks: str) -> RunSummary:
    """A run of one cell in which ``stage`` failed; without one, all succeeded."""
    summary = one_cell()
    results = {}
    for name, result in summary.stages(summary.cells[0]).items():
        ended = StageResult(name, result.target, Status.SUCCESS, started=1.0)
        if name == stage:
            data: dict[str, Any] = E2EResult(1, None, checks).to_json() if checks else {}
            ended = replace(ended, status=Status.FAILED, failure=Failure("product", message), data=data)
        results[ended.key] = ended
        if name == stage:
            break
    return replace(summary, results=results)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (
            ("e2e", "2 of 9 checks failed: a: 12 ms; b: gone", "a: 12 ms", "b: gone"),
            ("e2e", "2 of 9 checks failed: b: away; a: 14 ms", "b: away", "a: 14 ms"),
        ),
        (
            ("deploy", "pod demo-head-6cc96b8b65-6dkmt: image 198.18.1.2:5000/a@sha256:1 cannot be pulled\nmore"),
            ("deploy", "pod {build}-7bb4c9f6d-xvlwq: image 198.18.9.9:5000/a@sha256:1 cannot be pulled\nother"),
        ),
        (
            ("deploy", "namespace demo-head-0a1b2c3d cannot be made"),
            ("deploy", "namespace {build}-{run} cannot be made"),
        ),
        (("provision", "provision aws: deadline exceeded"), ("provision", "provision {cluster}: deadline exceeded")),
    ],
)
def test_the_same_failure(before: tuple[str, ...], now: tuple[str, ...]) -> None:
    cell = one_cell().cells[0]
    names = {"build": cell.build.id, "cluster": cell.cluster.id, "run": one_cell().id}
    stage, message, *checks = (part.format(**names) for part in now)
    (line,) = verdict(found(*before), ended(stage, message, *checks))
    assert line.startswith(f"reproduced: the same failure came again: {stage}: ")


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (("e2e", "1 failed", "a: x"), ("e2e", "1 failed", "b: x")),
        (("e2e", "1 failed", "a: x"), ("e2e", "1 failed")),
        (("e2e", "1 failed", "a: x"), ("deploy", "1 failed")),
        (("deploy", "image cannot be pulled"), ("deploy", "container crashed")),
    ],
)
def test_another_failure(before: tuple[str, ...], now: tuple[str, ...]) -> None:
    (line,) = verdict(found(*before), ended(*now))
    assert line.startswith(f"not reproduced: another failure: {now[0]}: {now[1]}; what failed was {before[0]}: ")


def test_no_failure() -> None:
    (line,) = verdict(found("e2e", "1 failed"), ended())
    assert line == "not reproduced: all stages succeeded; what failed was e2e: 1 failed"


def test_a_run_that_was_interrupted_is_no_answer() -> None:
    (line,) = verdict(found("e2e", "1 failed"), replace(one_cell(), results={}))
    assert line.startswith("no answer: ")


def test_what_was_redacted_is_said_before() -> None:
    first, last = verdict(found("e2e", "1 failed", redacted=("values.yaml: a.password",)), ended())
    assert "values.yaml: a.password" in first
    assert last.startswith("not reproduced")
