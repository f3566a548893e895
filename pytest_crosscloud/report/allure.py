"""Writes Allure results from what the store knows of a run, and has the Allure CLI make its report of them.

The bundled suite's tests are written here and not by allure-pytest: a worker that is killed writes nothing, while
the store still knows what its stages did. A user's own tests are allure-pytest's, and may go into the same folder
(``--alluredir=reports/out/allure-results``): they are left alone.
"""

# mypy: allow-untyped-calls
# (allure_commons says that it is typed, and has no annotations.)

from __future__ import annotations

import contextlib
import json
import mimetypes
import os
import platform
import re
import signal
import subprocess
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

from allure_commons.logger import AllureFileLogger
from allure_commons.model2 import (
    Attachment,
    Label,
    Link,
    Parameter,
    StatusDetails,
    TestResult,
    TestStepResult,
)
from allure_commons.model2 import Status as AllureStatus
from allure_commons.utils import md5
from filelock import FileLock, Timeout

from .. import paths
from ..model import UPGRADE, Cell, ErrorClass, Ref, StageName, StageResult, Status
from ..redact import redact
from ..run.processes import RUN_VARIABLE
from ..run.summary import RunSummary
from . import files, results
from .rows import FLAKY, short_version

FRAMEWORK = "pytest-crosscloud"

#: How allure-pytest names a test of the bundled suite.
SUITE = "pytest_crosscloud.suite."

#: Seconds that the Allure CLI may take.
DEADLINE = 60.0

#: Allure 3.18 tells Google of each look at a report, and has no option that it would not.
_TRACKER = re.compile(r"<script[^>]*googletagmanager[^>]*></script>")

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, FRAMEWORK)

_STATUSES = {
    Status.SUCCESS: AllureStatus.PASSED,
    Status.NA: AllureStatus.SKIPPED,
    Status.CANCELLED: AllureStatus.SKIPPED,
    Status.RUNNING: AllureStatus.UNKNOWN,
}


def write(summary: RunSummary, out: Path) -> Path:
    """Write a result for each build, each provision and each cell, in place of an earlier run's, and return
    the folder ``out``/allure-results."""
    folder = out / "allure-results"
    logger = AllureFileLogger(folder)
    _remove_earlier(folder)
    writer = _Writer(summary, out, logger)
    seen: set[str] = set()
    for cell in summary.cells:
        stages = summary.stages(cell)
        for name in (StageName.BUILD, StageName.PROVISION):
            if stages[name].key not in seen:
                seen.add(stages[name].key)
                writer.shared(cell, stages[name])
        writer.cell(cell, stages)
    for stage, cell in summary.upgrades.values():
        writer.shared(cell, stage)
    _write_context(summary, folder)
    return folder


def generate(out: Path, tool: Path | None) -> str:
    """Make the Allure report ``out``/allure of ``out``/allure-results with the CLI ``tool``.

    Returns what kept it from being made, as one line for the user; empty when it was made. A report that cannot be
    drawn is no reason for a run to fail.
    """
    if tool is None:
        return "no Allure report: the Allure CLI is not there; crosscloud setup installs it"
    # Without the run's mark: by that the reaper, which is at work meanwhile, ends all that the run has left running.
    environment = {name: value for name, value in os.environ.items() if name != RUN_VARIABLE}
    try:
        # The history file is read, extended and written: two runs at once would lose one another's.
        with FileLock(out / ".allure.lock", timeout=DEADLINE), (out / "allure.log").open("wb") as log:
            process = subprocess.Popen(
                [tool, "generate", "--config", paths.data("reports", "allure", "allurerc.mjs"), "allure-results"],
                cwd=out,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**environment, "NO_COLOR": "1"},
                start_new_session=True,
            )
            try:
                code = process.wait(DEADLINE)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    except (subprocess.TimeoutExpired, Timeout):
        return f"no Allure report: Allure took more than {DEADLINE:.0f} s; see {out / 'allure.log'}"
    except OSError as error:
        return f"no Allure report: {error}"
    page = out / "allure" / "index.html"
    if code != 0 or not page.exists():
        return f"no Allure report: Allure exited with {code}; see {out / 'allure.log'}"
    files.write(page, _TRACKER.sub("", page.read_text(encoding="utf-8")))
    return ""


class _Writer:
    def __init__(self, summary: RunSummary, out: Path, logger: AllureFileLogger) -> None:
        self._summary = summary
        self._out = out
        self._logger = logger
        self._listing = files.Listing(out)
        self._projects = {project.name: project for project in summary.projects}

    def shared(self, cell: Cell, stage: StageResult) -> None:
        """A build, a provision or an upgrade: a test of its own, whatever the number of cells that need it."""
        if stage.stage == StageName.BUILD:
            axes = {"project": cell.build.project, "ref": cell.build.ref, "arch": cell.build.arch}
            facts = _facts(results.ref_of(self._summary, cell))
            facts |= {f"{pin['name']} image": pin["reference"] for pin in results.pins(stage)}
        elif stage.stage == UPGRADE:
            axes = {
                "project": cell.build.project,
                "cloud": cell.cluster.cloud,
                "kubernetes": cell.cluster.kubernetes,
                "arch": cell.cluster.arch,
            }
            facts = {}
        else:
            axes = {
                "cloud": cell.cluster.cloud,
                "kubernetes": cell.cluster.kubernetes,
                "arch": cell.cluster.arch,
            }
            facts = _facts(results.kubernetes_of(self._summary, cell))
        test = self._test(f"test_{stage.stage}", stage.target, stage, axes, facts, [stage])
        test.statusDetails = _details(stage)
        test.attachments = self._attachments([stage])
        self._logger.report_result(test)

    def cell(self, cell: Cell, stages: Mapping[StageName, StageResult]) -> None:
        """A cell: its four stages are the steps."""
        axes = {
            "project": cell.build.project,
            "ref": cell.build.ref,
            "cloud": cell.cluster.cloud,
            "kubernetes": cell.cluster.kubernetes,
            "arch": cell.build.arch,
        }
        ref = results.ref_of(self._summary, cell)
        facts = _facts(ref) | {
            "kubernetes version": short_version(results.kubernetes_of(self._summary, cell)),
            "repeat": self._summary.repeat(cell),
        }
        ordered = list(stages.values())
        badge = self._summary.cell_status(cell)
        by_itself = (stage for stage in ordered if stage.status == Status.FAILED or stage.is_out_of_reach)
        reason = next(by_itself, ordered[-1])
        own = [stages[StageName.DEPLOY], stages[StageName.E2E]]
        test = self._test("test_e2e", cell.id, reason, axes, facts, own)
        test.status = _status(reason) if badge == Status.FAILED else _STATUSES[badge]
        test.statusDetails = _details(reason)
        if self._summary.is_flaky(cell):
            test.labels.append(Label(name="tag", value=FLAKY))
        test.steps = [
            TestStepResult(
                name=f"{stage.key}{', cached' if stage.cached else ''}",
                status=_status(stage),
                statusDetails=_details(stage),
                **_times(self._summary, [stage]),
                attachments=self._attachments([stage]),
            )
            for stage in ordered
        ]
        if ref.url:
            test.links.append(Link(type="link", url=ref.url, name=ref.version))
        self._logger.report_result(test)

    def _test(
        self,
        function: str,
        target: str,
        stage: StageResult,
        axes: dict[str, str],
        facts: dict[str, str],
        timed: list[StageResult],
    ) -> TestResult:
        full_name = f"{SUITE}{function}#{function}"
        project = self._projects.get(axes.get("project", ""))
        labels = {
            **axes,
            "framework": FRAMEWORK,
            "language": "python",
            "host": platform.node(),
            "parentSuite": stage.stage if function != "test_e2e" else "e2e",
            "suite": project.display_name if project else axes["cloud"],
            "epic": (project and project.cncf_relation) or "",
        }
        return TestResult(
            uuid=str(uuid.uuid5(_NAMESPACE, f"{self._summary.id} {function} {target}")),
            name=f"{function}[{target}]",
            fullName=full_name,
            titlePath=[function.removeprefix("test_"), target],
            testCaseId=md5(full_name, target),
            # What identifies the test from run to run: the axes by their names, never a version or a digest.
            historyId=md5(full_name, *(f"{name}={value}" for name, value in sorted(axes.items()))),
            status=_status(stage),
            stage="finished",
            labels=[Label(name=name, value=value) for name, value in labels.items() if value],
            parameters=[
                *(Parameter(name=name, value=value) for name, value in axes.items()),
                *(Parameter(name=name, value=value, excluded=True) for name, value in facts.items() if value),
            ],
            **_times(self._summary, timed),
        )

    def _attachments(self, stages: Iterable[StageResult]) -> list[Attachment]:
        """The stage's log; of a failed one all that lies beside it."""
        attachments = []
        for stage in stages:
            log = files.relative(stage.log, self._out)
            found = self._listing.below(files.folder(log)) if stage.status == Status.FAILED else [log]
            for path in found:
                source = self._out / path
                if not path or not source.is_file():
                    continue
                name = f"{uuid.uuid5(_NAMESPACE, path)}-attachment{source.suffix or '.txt'}"
                self._logger.report_attached_file(source, name)
                kind = mimetypes.guess_type(path)[0] or "text/plain"
                attachments.append(Attachment(name=path, source=name, type=kind))
        return attachments


def _status(stage: StageResult) -> str:
    if stage.status != Status.FAILED:
        return str(_STATUSES[Status(stage.status)])
    # Allure's words: "failed" is the product's fault, "broken" that of whatever surrounds it.
    product = stage.failure is None or stage.failure.error_class == ErrorClass.PRODUCT
    return str(AllureStatus.FAILED if product else AllureStatus.BROKEN)


def _details(stage: StageResult) -> StatusDetails | None:
    if stage.failure:
        message, _, rest = stage.failure.message.partition("\n")
        remedy = f"remedy: {stage.failure.remedy}" if stage.failure.remedy else ""
        return StatusDetails(message=f"{stage.key}: {message}", trace="\n".join(filter(None, [rest, remedy])))
    if stage.flaky and stage.status == Status.SUCCESS:
        return StatusDetails(message=f"{stage.key}: {stage.detail}", flaky=True)
    if stage.status == Status.NA and stage.upstream:
        return StatusDetails(message=f"n/a: {stage.detail}")
    return StatusDetails(message=stage.status) if stage.status in (Status.CANCELLED, Status.RUNNING) else None


def _times(summary: RunSummary, stages: list[StageResult]) -> dict[str, int]:
    """From the first stage's start to the last one's end, in milliseconds; what never ran has no duration."""
    begun = [stage for stage in stages if stage.started is not None]
    if not begun:
        moment = round(1000 * (summary.finished or summary.started))
        return {"start": moment, "stop": moment}
    start = min(stage.started or 0 for stage in begun)
    return {"start": round(1000 * start), "stop": round(1000 * max((s.started or 0) + s.seconds for s in begun))}


def _facts(ref: Ref) -> dict[str, str]:
    return {"version": ref.version, "commit": ref.commit, "note": ref.remark}


def _remove_earlier(folder: Path) -> None:
    """Remove results of this writer, and what allure-pytest wrote for the bundled suite's tests."""
    for path in folder.glob("*-result.json"):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # another process is just replacing it, or it is none of ours
        if SUITE in result.get("fullName", ""):
            for item in (result, *result.get("steps", ())):
                for attachment in item.get("attachments", ()):
                    (folder / Path(attachment["source"]).name).unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def _write_context(summary: RunSummary, folder: Path) -> None:
    """What Allure shows of the surroundings, and who ran it."""
    versions = {f"Kubernetes.{name}": ref.version for name, ref in summary.kubernetes.items()}
    facts = {"Run": summary.id, "Command": redact(summary.command), **versions, "Host": platform.platform()}
    files.write(folder / "environment.properties", "".join(f"{name}={value}\n" for name, value in facts.items()))
    executor = {"name": FRAMEWORK, "type": FRAMEWORK, "buildName": f"run {summary.id}", "reportName": "Cross-cloud CI"}
    files.write(folder / "executor.json", json.dumps(executor))
