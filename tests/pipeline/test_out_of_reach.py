"""A project whose images are in a registry that is not to be reached: n/a and not failed, and never green for that."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from benchmarks import junit_schema
from pytest_crosscloud.cli import main

from .conftest import Rootdir

REASON = "registry unreachable: far.test: no route"

SELECT = ("--clouds=here", "--projects=demo,other", "--refs=stable")

#: Refs are asked for before a run; a build asks again.
WHERE = pytest.mark.parametrize(("what", "how"), [("resolve other", ""), ("build other-stable", "out of reach")])


def document(rootdir: Rootdir) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((rootdir.out / "results.json").read_text())
    return read


@WHERE
@pytest.mark.parametrize("workers", ["0", "2"])
def test_it_is_na_with_the_reason_and_the_others_are_green(rootdir: Rootdir, what: str, how: str, workers: str) -> None:
    rootdir.make(what, how)
    result = rootdir.run("-n", workers, *SELECT, "--junitxml=junit.xml")
    assert result.ret == 0, "a skip to CI, as long as something else was tested"
    result.assert_outcomes(passed=3, skipped=2)
    found = document(rootdir)
    assert (found["run"]["status"], found["run"]["counts"]["n/a"]) == ("success", 1)
    far = next(cell for cell in found["cells"] if cell["project"] == "other")
    assert [stage["status"] for stage in far["stages"].values()] == ["n/a", "success", "n/a", "n/a"]
    error = far["stages"]["build"]["error"]
    assert error == {"class": "infrastructure", "message": REASON, "remedy": "check the network"}
    assert {far["stages"][name]["upstream"] for name in ("deploy", "e2e")} == {"build other-stable"}
    assert far["stages"]["build"]["attempts"] <= 3
    assert (far["status"], far["repeat"].split()[0]) == ("n/a", "pytest"), "there is nothing to pack"
    assert not list(rootdir.out.rglob("bundle*"))
    said = " ".join(result.stdout.str().split())  # lines are as long as the terminal is wide
    assert f"build other-stable (infrastructure): {REASON}" in said
    assert "check the network" in said
    skips = [case.get("message", "") for case in ET.parse(rootdir.path / "junit.xml").iter("skipped")]
    assert len(skips) == 2 and all(REASON in skip for skip in skips)


@WHERE
def test_a_run_of_which_nothing_is_in_reach_is_not_green(rootdir: Rootdir, what: str, how: str) -> None:
    rootdir.make(what, how)
    result = rootdir.run("--clouds=here", "--projects=other", "--refs=stable")
    assert result.ret == 1
    assert document(rootdir)["run"]["status"] == "n/a"
    result.stdout.fnmatch_lines(["*not green: no build of this run could be had*"])


def test_another_projects_failure_is_red_all_the_same(rootdir: Rootdir) -> None:
    rootdir.make("resolve other", "")
    rootdir.make("e2e demo-stable-here-red", "")
    assert rootdir.run(*SELECT).ret == 1
    assert document(rootdir)["run"]["status"] == "failed"


def test_every_report_tells_the_reason(rootdir: Rootdir) -> None:
    rootdir.make("resolve other", "")
    rootdir.run(*SELECT)
    main(["report", "--junit", str(rootdir.path / "junit.xml")])
    root = junit_schema.check(rootdir.path / "junit.xml")
    cases = {case.get("name"): case for case in root.iter("testcase")}
    skips = {str(name): case.find("skipped") for name, case in cases.items()}
    reasons = {name: skip.get("message") for name, skip in skips.items() if skip is not None}
    assert reasons == {
        "build other-stable": f"n/a: {REASON}",
        "deploy other-stable-here": "n/a: build other-stable is n/a",
        "e2e other-stable-here": "n/a: build other-stable is n/a",
    }
    allure = [json.loads(path.read_text()) for path in (rootdir.out / "allure-results").glob("*-result.json")]
    details = {item["name"]: (item["status"], item.get("statusDetails", {}).get("message")) for item in allure}
    assert details["test_build[other-stable]"] == ("skipped", f"build other-stable: {REASON}")
    assert details["test_e2e[other-stable-here]"] == ("skipped", f"build other-stable: {REASON}")
    page = (rootdir.out / "index.html").read_text()
    assert f'title="{REASON}"' in page, "the badge of the build"
    assert f'title="build other-stable: {REASON}"' in page, "the badge of the cell"
    assert 'class="failures"' not in page


@WHERE
def test_a_run_that_goes_on_with_it_asks_again(rootdir: Rootdir, what: str, how: str) -> None:
    rootdir.make(what, how)
    assert rootdir.run(*SELECT).ret == 0
    (rootdir.path / what.replace(" ", "-")).unlink()
    before = rootdir.ledger("start")
    result = rootdir.run("--resume")
    assert result.ret == 0
    assert [cell["status"] for cell in document(rootdir)["cells"]] == ["success", "success"]
    again = rootdir.ledger("start")[len(before) :]
    assert again == [
        "start build other-stable",
        "start provision here",
        "start deploy other-stable-here",
        "start e2e other-stable-here",
    ]
