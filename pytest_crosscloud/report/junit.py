"""Writes a JUnit XML file from what the store knows of a run: for CI systems, also when pytest was killed.

By the schema of Jenkins' xUnit plugin (junit-10.xsd), which others read, too. It has properties on suites only: so
each build, each cluster and each cell is a suite, and its stages are the test cases.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from ..model import Cell, ErrorClass, StageName, StageResult, Status, TestOutcome, TestResult
from ..redact import redact
from ..run.summary import RunSummary
from . import files, results

#: What no XML 1.0 document may have, escaped or not.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(summary: RunSummary, path: Path) -> Path:
    """Write ``path`` and return it."""
    files.write(path, render(summary))
    return path


def render(summary: RunSummary) -> str:
    """The document, with its declaration."""
    root = ET.Element("testsuites", name=f"crosscloud run {summary.id}")
    root.extend(_suites(summary))
    _count(root, root.iter("testcase"))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suites(summary: RunSummary) -> Iterator[ET.Element]:
    seen: set[str] = set()
    for cell in summary.cells:
        stages = summary.stages(cell)
        build, provision = stages[StageName.BUILD], stages[StageName.PROVISION]
        axes = _axes(summary, cell)
        for result, names in (
            (build, ("project", "ref", "version", "arch")),
            (provision, ("cloud", "kubernetes", "arch")),
        ):
            if result.key not in seen:
                seen.add(result.key)
                yield _suite(summary, result.key, {name: axes[name] for name in names}, [_stage(result)])
        own = [_stage(stages[name]) for name in (StageName.DEPLOY, StageName.E2E)]
        yield _suite(summary, cell.id, {**axes, "repeat": summary.repeat(cell)}, own)
    if own_tests := [_test(test) for test in summary.tests if not test.bundled]:
        yield _suite(summary, "tests", {}, own_tests)


def _axes(summary: RunSummary, cell: Cell) -> dict[str, str]:
    return {
        "project": cell.build.project,
        "ref": cell.build.ref,
        "version": results.ref_of(summary, cell).version,
        "cloud": cell.cluster.cloud,
        "kubernetes": results.kubernetes_of(summary, cell).version or cell.cluster.kubernetes,
        "arch": cell.build.arch,
    }


def _suite(summary: RunSummary, name: str, facts: Mapping[str, str], cases: list[ET.Element]) -> ET.Element:
    started = datetime.fromtimestamp(summary.started, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    suite = ET.Element("testsuite", name=_clean(name), timestamp=started, hostname=platform.node())
    _count(suite, cases)
    properties = ET.SubElement(suite, "properties")
    for key, value in {"run": summary.id, **facts}.items():
        ET.SubElement(properties, "property", name=key, value=_clean(value))
    suite.extend(cases)
    return suite


def _stage(result: StageResult) -> ET.Element:
    case = _case(f"crosscloud.{result.stage}", result.key, result.seconds)
    match result.status:
        case Status.FAILED:
            failure = result.failure
            fault = failure.error_class if failure else ErrorClass.INFRASTRUCTURE
            said = f"{failure.message}\n{failure.remedy}".strip() if failure else ""
            # As pytest has it: a failure is the verdict on what was tested, an error that there is none.
            _bad(case, "failure" if fault == ErrorClass.PRODUCT else "error", fault, said)
        case Status.NA if result.upstream or result.failure:
            why = result.failure.message.partition("\n")[0] if result.failure else result.detail
            ET.SubElement(case, "skipped", message=_clean(f"n/a: {why}"))
        case Status.SUCCESS:
            pass
        case _:
            ET.SubElement(case, "skipped", message=result.status if result.started else f"{result.status}: never ran")
    _output(case, [f"log: {result.log}"] if result.log else [], result.resumed_from)
    return case


def _test(test: TestResult) -> ET.Element:
    # As pytest writes it: the file and the classes as a dotted name.
    file, *names = re.sub(r"\[.*", "", test.nodeid, flags=re.DOTALL).split("::")
    parameters = test.nodeid[len("::".join([file, *names])) :]
    classes = [file.removesuffix(".py").replace("/", "."), *names[:-1]]
    case = _case(".".join(classes), (names[-1] if names else file) + parameters, test.seconds)
    match test.outcome:
        case TestOutcome.FAILED:
            _bad(case, "failure", "", test.message)
        case TestOutcome.ERROR:
            _bad(case, "error", "", test.message)
        case TestOutcome.SKIPPED:
            ET.SubElement(case, "skipped", message=_clean(test.message))
    _output(case, [], test.resumed_from)
    return case


def _case(classname: str, name: str, seconds: float) -> ET.Element:
    return ET.Element("testcase", classname=_clean(classname), name=_clean(name), time=f"{seconds:.3f}")


def _bad(case: ET.Element, kind: str, fault: str, message: str) -> None:
    message = _clean(redact(message))
    element = ET.SubElement(case, kind, {"message": message.partition("\n")[0]} | ({"type": fault} if fault else {}))
    element.text = message


def _output(case: ET.Element, lines: list[str], resumed_from: str) -> None:
    lines = lines + ([f"from run {resumed_from}"] if resumed_from else [])
    if lines:
        ET.SubElement(case, "system-out").text = _clean("\n".join(lines))


def _count(parent: ET.Element, cases: Iterable[ET.Element]) -> None:
    cases = list(cases)
    parent.set("tests", str(len(cases)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        if attribute != "skipped" or parent.tag == "testsuite":  # the schema's <testsuites> does not know it
            parent.set(attribute, str(sum(case.find(tag) is not None for case in cases)))
    parent.set("time", f"{sum(float(case.get('time', 0)) for case in cases):.3f}")


def _clean(text: str) -> str:
    """What XML cannot say is written as ``#x1B``, as pytest does."""
    return _ILLEGAL.sub(lambda match: f"#x{ord(match[0]):02X}", text)
