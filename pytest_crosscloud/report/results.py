"""Writes results.json: the whole run for scripts. Its fields are documented in docs/results.md."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..model import Artifacts, Cell, Cluster, E2EResult, Pin, Ref, Release, StageName, StageResult, Status, TestResult
from ..redact import redact
from ..run.summary import RunSummary
from . import files

#: Raised when a field is removed or means something else; a new field does not raise it.
VERSION = 1

_ENCODER = json.JSONEncoder(ensure_ascii=False)

SCHEMA = Path(__file__).with_name("results.schema.json")


def write(summary: RunSummary, out: Path) -> Path:
    """Write ``out``/results.json and return its path."""
    path = out / "results.json"
    files.write(path, "".join(_text(document(summary, out))))
    return path


def _text(document: Mapping[str, Any]) -> Iterator[str]:
    """JSON with a line for each cell, project and test. Python's own indentation takes four times as long."""
    opening = "{"
    for name, value in document.items():
        yield f'{opening}\n"{name}": '
        opening = ","
        if isinstance(value, list):
            yield "[\n" + ",\n".join(_ENCODER.encode(item) for item in value) + "\n]"
        else:
            yield _ENCODER.encode(value)
    yield "\n}\n"


def document(summary: RunSummary, out: Path) -> dict[str, Any]:
    """The content of results.json. ``out`` is where the run's logs and evidence lie; paths are relative to it."""
    cells = _Cells(summary, out)
    counts = Counter(summary.cell_status(cell) for cell in summary.cells)
    return {
        "version": VERSION,
        "run": {
            "id": summary.id,
            "status": run_status(summary),
            "started": timestamp(summary.started),
            "finished": timestamp(summary.finished),
            "written": timestamp(time.time()),
            "seconds": None if summary.finished is None else round(summary.finished - summary.started, 3),
            "command": redact(summary.command),
            "resumes": summary.resumes,
            "counts": {status.value: counts[status] for status in Status},
            "flaky": sum(map(summary.is_flaky, summary.cells)),
        },
        "projects": [asdict(project) for project in summary.projects],
        "clouds": [asdict(cloud) for cloud in summary.clouds],
        "cells": [cells.document(cell) for cell in summary.cells],
        "upgrades": [_stage(result, out) for result, _ in summary.upgrades.values()],
        "tests": [_test(test) for test in summary.tests],
    }


def run_status(summary: RunSummary) -> Status:
    """One word for the run, by the rules of cncf.ci. A run in which nothing succeeded is not a success.

    Cells that are out of reach do not count, as long as there are others.
    """
    statuses = {result.status for result in summary.results.values()}
    for status in (Status.FAILED, Status.CANCELLED):
        if status in statuses:
            return status
    if summary.killed:
        return Status.CANCELLED
    if summary.finished is None:
        return Status.RUNNING
    cells = {summary.cell_status(cell) for cell in summary.cells if not summary.is_out_of_reach(cell)}
    for status in (Status.CANCELLED, Status.NA):
        if status in cells:
            return status
    return Status.SUCCESS if cells else Status.NA


def timestamp(seconds: float | None) -> str | None:
    """ISO 8601 in UTC with milliseconds: ``2026-11-22T00:12:01.250Z``."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ref_of(summary: RunSummary, cell: Cell) -> Ref:
    """The cell's ref; one that was not resolved yet has only its name."""
    return summary.refs.get(cell.build.id) or Ref(cell.build.ref, "")


def kubernetes_of(summary: RunSummary, cell: Cell) -> Ref:
    """The cell's Kubernetes; one that was not resolved yet has only its name."""
    return summary.kubernetes.get(cell.cluster.kubernetes) or Ref(cell.cluster.kubernetes, "")


class _Cells:
    """Makes each cell's document. What cells share, builds and clusters above all, is made once."""

    def __init__(self, summary: RunSummary, out: Path) -> None:
        self._summary = summary
        self._out = out
        self._listing = files.Listing(out)
        results = summary.results.values()
        self._stages = {result.key: _stage(result, out) for result in results}
        self._pins = {result.target: pins(result) for result in results if result.stage == StageName.BUILD}
        self._clusters = {result.target: _cluster(result) for result in results if result.stage == StageName.PROVISION}

    def document(self, cell: Cell) -> dict[str, Any]:
        summary, out = self._summary, self._out
        stages = summary.stages(cell)
        build, provision, deploy, e2e = (stages[name] for name in StageName)
        logs = (files.folder(files.relative(stage.log, out)) for stage in stages.values())
        folders = dict.fromkeys((*logs, f"cells/{cell.id}"))  # its bundle, also where none of its own stages ran
        return {
            "id": cell.id,
            "project": cell.build.project,
            "ref": ref_of(summary, cell).to_json(),
            "cloud": cell.cluster.cloud,
            "kubernetes": kubernetes_of(summary, cell).to_json(),
            "arch": cell.build.arch,
            "status": summary.cell_status(cell),
            "flaky": summary.is_flaky(cell),
            "stages": {
                name.value: self._stages.get(result.key) or _stage(result, out) for name, result in stages.items()
            },
            "pins": self._pins.get(build.target, []),
            "cluster": self._clusters.get(provision.target),
            "release": Release.from_json(deploy.data).to_json() if deploy.data else None,
            "checks": _checks(e2e, out),
            "files": [path for folder in folders for path in self._listing.below(folder)],
            "repeat": summary.repeat(cell),
        }


def _stage(result: StageResult, out: Path) -> dict[str, Any]:
    ended = result.started is not None and result.status != Status.RUNNING
    return {
        "target": result.target,
        "status": result.status,
        "started": timestamp(result.started),
        "finished": timestamp((result.started or 0) + result.seconds) if ended else None,
        "seconds": round(result.seconds, 3) if ended else None,
        "cached": result.cached,
        "attempts": result.attempts if result.started is not None else 0,
        "flaky": result.flaky,
        "detail": result.detail,
        "error": result.failure
        and {
            "class": result.failure.error_class,
            "message": result.failure.message,
            "remedy": result.failure.remedy,
        },
        "upstream": result.upstream,
        "log": files.relative(result.log, out),
        "resumed_from": result.resumed_from,
    }


def _test(test: TestResult) -> dict[str, Any]:
    return {
        "nodeid": test.nodeid,
        "outcome": test.outcome,
        "seconds": round(test.seconds, 3),
        "finished": timestamp(test.ended),
        "message": test.message,
        "bundled": test.bundled,
        "resumed_from": test.resumed_from,
    }


def pins(build: StageResult) -> list[dict[str, str]]:
    """The images that a build made, the e2e container's last."""
    if not build.data:
        return []
    artifacts = Artifacts.from_json(build.data)
    return [_pin(pin, "project") for pin in artifacts.pins] + ([_pin(artifacts.e2e, "e2e")] if artifacts.e2e else [])


def _pin(pin: Pin, purpose: str) -> dict[str, str]:
    return {**asdict(pin), "reference": pin.reference, "purpose": purpose}


def _cluster(provision: StageResult) -> dict[str, Any] | None:
    if not provision.data:
        return None
    cluster = Cluster.from_json(provision.data)
    return {
        "name": cluster.name,
        "endpoint": cluster.endpoint,
        "kubeconfig": cluster.kubeconfig,
        "nodes": [asdict(node) for node in cluster.nodes],
    }


def _checks(e2e: StageResult, out: Path) -> dict[str, Any] | None:
    if not e2e.data:
        return None
    result = E2EResult.from_json(e2e.data)
    return {
        "exit_code": result.exit_code,
        "counts": result.counts and asdict(result.counts),
        "failures": list(result.failures),
        "log": files.relative(result.log, out),
        "junit": files.relative(result.junit, out),
    }
