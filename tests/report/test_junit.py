"""The JUnit file: valid by the common schema, and every stage and test with what became of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.junit_schema import check
from pytest_crosscloud.model import ErrorClass, Failure, StageResult, Status, TestOutcome, TestResult
from pytest_crosscloud.report import junit
from pytest_crosscloud.run.summary import RunSummary

from .sample import finished, one_cell, sample


def written(summary: RunSummary, path: Path) -> ET.Element:
    return check(junit.write(summary, path / "junit.xml"))


def case(root: ET.Element, name: str) -> ET.Element:
    (found,) = (case for case in root.iter("testcase") if case.get("name") == name)
    return found


def verdict(root: ET.Element, name: str) -> list[tuple[str, str, str]]:
    return [
        (child.tag, child.get("type", ""), child.get("message", ""))
        for child in case(root, name)
        if child.tag != "system-out"
    ]


@pytest.mark.parametrize("summary", [sample(), finished(sample(("stable", "head"), ("amd64", "arm64"))), one_cell()])
def test_it_is_valid_and_has_every_stage_once(summary: RunSummary, tmp_path: Path) -> None:
    root = written(summary, tmp_path)
    names = [case.get("name") for case in root.iter("testcase")]
    assert len(names) == len(set(names))
    assert set(names) == {stage.key for cell in summary.cells for stage in summary.stages(cell).values()}


def test_whose_fault_a_failure_is_tells_failure_from_error(tmp_path: Path) -> None:
    root = written(sample(), tmp_path)
    ((tag, fault, message),) = verdict(root, "build prometheus-head")
    assert (tag, fault) == ("failure", "product") and message.startswith("go build exited with 1")
    assert "see the build's log" in (case(root, "build prometheus-head")[0].text or "")
    ((tag, fault, _),) = verdict(root, "provision packet")
    assert (tag, fault) == ("error", "infrastructure")
    assert verdict(root, "e2e coredns-stable-packet") == [("skipped", "", "n/a: provision packet failed")]
    assert verdict(root, "deploy linkerd-head-oci") == [("skipped", "", "cancelled")]
    assert verdict(root, "build coredns-stable") == []


def test_a_suite_says_what_it_is_of(tmp_path: Path) -> None:
    root = written(one_cell(), tmp_path)
    suites = {
        suite.get("name"): {found.get("name"): found.get("value") for found in suite.iter("property")} for suite in root
    }
    assert suites["coredns-stable-local"] == {
        "run": "7f3a",
        "project": "coredns",
        "ref": "stable",
        "version": "v1.14.7",
        "cloud": "local",
        "kubernetes": "v1.36.3",
        "arch": "amd64",
        "repeat": "pytest --clouds=local --projects=coredns --refs=stable",
    }
    assert "project" not in suites["provision local"]


def test_what_no_xml_may_have_and_secrets_do_not_get_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_TOKEN", "hunter2222")
    failure = Failure(ErrorClass.PRODUCT, "\x1b[31mred\x1b[0m & <b>\x00 \ud800 hunter2222")
    failed = StageResult("e2e", "coredns-stable-local", Status.FAILED, 1.0, 2.0, failure=failure)
    root = written(one_cell(e2e=failed), tmp_path)
    ((_, _, message),) = verdict(root, "e2e coredns-stable-local")
    assert message == "#x1B[31mred#x1B[0m & <b>#x00 #xD800 [redacted]"


def test_own_tests_are_named_as_pytest_does_and_bundled_ones_are_their_stages(tmp_path: Path) -> None:
    tests = (
        TestResult("tests/test_a.py::TestX::test_y[a::b/c.py]", TestOutcome.PASSED, 0.25, 1.0, resumed_from="beef"),
        TestResult("test_b.py::test_z", TestOutcome.FAILED, 1.0, 1.0, "assert 1 == 2\n +  where"),
        TestResult("test_b.py::test_e", TestOutcome.ERROR, 0.0, 1.0, "no fixture"),
        TestResult("test_b.py::test_s", TestOutcome.SKIPPED, 0.0, 1.0, "Skipped: n/a"),
        TestResult("test_e2e.py::test_e2e[coredns-stable-local]", TestOutcome.PASSED, 0.0, 1.0, bundled=True),
    )
    root = written(replace(one_cell(), tests=tests), tmp_path)
    (suite,) = (suite for suite in root if suite.get("name") == "tests")
    first = case(root, "test_y[a::b/c.py]")
    assert (first.get("classname"), first.get("time")) == ("tests.test_a.TestX", "0.250")
    assert first.findtext("system-out") == "from run beef"
    assert verdict(root, "test_z") == [("failure", "", "assert 1 == 2")]
    assert verdict(root, "test_e") == [("error", "", "no fixture")]
    assert verdict(root, "test_s") == [("skipped", "", "Skipped: n/a")]
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["4", "1", "1", "1"]
    assert "test_e2e[" not in (tmp_path / "junit.xml").read_text()
