"""The page as HTML: complete without a script, self-contained, and nobody's text can run on it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud.model import ErrorClass, Failure, Ref, StageResult, Status
from pytest_crosscloud.paths import data
from pytest_crosscloud.report import dashboard
from pytest_crosscloud.run.summary import RunSummary

from .sample import CLOUDS, finished, one_cell, sample, write_files


class Page(HTMLParser):
    """Elements, the text of each badge by its address, and the embedded data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.badges: dict[str, list[str]] = {}
        self.data: Any = None
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        if tag == "a" and attributes.get("class", "").startswith("badge"):
            self._inside = attributes["href"]
        elif attributes.get("id") == "data":
            self._inside = "data"

    def handle_data(self, data: str) -> None:
        if self._inside == "data":
            self.data = json.loads(data)
        elif self._inside:
            self.badges.setdefault(self._inside, []).append(data)
        self._inside = ""


def page(summary: RunSummary, out: Path) -> Page:
    return Page(dashboard.write(summary, out).read_text())


@pytest.mark.parametrize("summary", [sample(), finished(sample(("stable", "head"), ("amd64", "arm64"))), one_cell()])
def test_every_cell_and_build_is_in_the_table_with_its_status(summary: RunSummary, tmp_path: Path) -> None:
    badges = page(summary, tmp_path).badges
    for cell in summary.cells:
        assert badges[f"#cell={cell.id}"] == [summary.cell_status(cell)]
        assert set(badges[f"#build={cell.build.id}"]) == {summary.results[f"build {cell.build.id}"].status}
    assert len([href for href in badges if href.startswith("#cell=")]) == len(summary.cells)


def test_it_is_a_table_to_assistive_technology(tmp_path: Path) -> None:
    elements = page(sample(), tmp_path).elements
    tags = [tag for tag, _ in elements]
    assert tags.count("caption") == 1
    headers = [attributes for tag, attributes in elements if tag == "th"]
    assert all("scope" in attributes for attributes in headers)
    assert [attributes["data-sort"] for attributes in headers if attributes["scope"] == "col"] == [
        "project",
        "release",
        "build",
        *CLOUDS,
    ]
    assert tags.count("h1") == 1


def test_the_page_asks_no_server_for_anything(tmp_path: Path) -> None:
    text = dashboard.write(sample(), tmp_path).read_text()
    for tag, attributes in Page(text).elements:
        assert tag not in {"iframe", "object", "embed", "base", "audio", "video"}
        if tag in {"script", "img", "link", "source"}:
            loaded = attributes.get("src") or attributes.get("href") or ""
            assert not loaded or loaded.startswith("data:")
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    assert re.findall(r"url\((?!\"data:)[^)]*\)|@import", text) == []
    (policy,) = [
        item["content"]
        for tag, item in Page(text).elements
        if "content-security-policy" in item.get("http-equiv", "").lower()
    ]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u2028\u2029 &amp; \"'`"


def test_text_of_others_is_text(tmp_path: Path) -> None:
    failure = Failure(ErrorClass.PRODUCT, HOSTILE, HOSTILE)
    e2e = StageResult("e2e", "coredns-stable-local", Status.FAILED, 1.0, 2.0, HOSTILE, failure=failure, log="a/b.log")
    summary = one_cell(e2e=e2e)
    summary = replace(
        summary,
        command=HOSTILE,
        projects=(
            replace(summary.projects[0], display_name=HOSTILE, project_url="javascript:alert(3)", logo_url=HOSTILE),
        ),
        clouds=(replace(summary.clouds[0], display_name=HOSTILE),),
        refs={"coredns-stable": Ref(HOSTILE, HOSTILE, HOSTILE, "javascript:alert(4)", HOSTILE)},
    )
    text = dashboard.write(summary, tmp_path).read_text()
    found = Page(text)
    assert found.data["stages"]["e2e coredns-stable-local"]["error"]["message"] == HOSTILE
    assert [tag for tag, _ in found.elements].count("script") == 2
    assert [tag for tag, _ in found.elements if tag == "img"] == []
    assert not any(item.get("href", "").startswith("javascript:") for _, item in found.elements)
    assert "alert(" not in text[text.index("<style>") : text.index("</style>")]
    data = text[text.index('id="data">') : text.index("</script>", text.index('id="data">'))]
    assert not set("<&\u2028\u2029") & set(data.removeprefix('id="data">'))


def test_what_failed_is_above_the_table_each_stage_once(tmp_path: Path) -> None:
    text = dashboard.write(sample(), tmp_path).read_text()
    section = text[text.index('<section class="failures"') : text.index('id="controls"')]
    assert section.count("<li") == 4
    assert "14 deployments n/a" in section
    assert section.count("no capacity: c3.small.x86") == 1
    assert 'href="#cluster=packet"' in section
    green = dashboard.write(one_cell(), tmp_path).read_text()
    assert '<section class="failures"' not in green


def test_toggles_are_there_only_for_what_can_be_chosen(tmp_path: Path) -> None:
    assert 'data-toggle="kubernetes"' not in dashboard.write(sample(), tmp_path).read_text()
    wide = dashboard.write(sample(("stable", "head"), ("amd64", "arm64")), tmp_path).read_text()
    assert 'data-toggle="kubernetes"' in wide
    assert 'data-toggle="arch"' in wide


def test_details_have_pins_evidence_and_the_command_that_repeats(tmp_path: Path) -> None:
    summary = sample()
    write_files(summary, tmp_path)
    data = page(summary, tmp_path).data
    cell = data["cells"]["coredns-head-azure"]
    assert cell["repeat"] == "pytest --clouds=azure --projects=coredns --refs=head"
    assert "cells/coredns-head-azure/pods/coredns-7d9f.log" in cell["files"]
    assert data["builds"][cell["build"]]["pins"][0]["digest"].startswith("sha256:")
    assert data["stages"]["e2e coredns-head-azure"]["error"]["class"] == "product"


def test_the_allure_report_is_linked_once_it_is_there(tmp_path: Path) -> None:
    assert "allure/index.html" not in dashboard.write(one_cell(), tmp_path).read_text()
    (tmp_path / "allure").mkdir()
    (tmp_path / "allure" / "index.html").touch()
    assert 'href="allure/index.html"' in dashboard.write(one_cell(), tmp_path).read_text()


def test_a_run_of_which_nothing_is_known_yet_has_a_page(tmp_path: Path) -> None:
    summary = replace(one_cell(), results={}, refs={}, kubernetes={}, finished=None)
    assert page(summary, tmp_path).badges["#cell=coredns-stable-local"] == ["n/a"]


# -- colours ------------------------------------------------------------------------------------------------

STYLE = data("reports", "templates", "page.css").read_text()
COLOURS = {
    name: (light, dark) for name, light, dark in re.findall(r"--([a-z-]+): light-dark\((#\w{6}), (#\w{6})\)", STYLE)
}


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        *(
            (name, ground)
            for name in ("text", "muted", "link", "success", "failed", "na")
            for ground in ("page", "raised")
        ),
        *((name, f"{name}-ground") for name in ("failed", "running", "cancelled")),
        ("text", "failed-ground"),
        ("link", "failed-ground"),
    ],
)
def test_contrast_is_at_least_aa(text: str, ground: str, scheme: int) -> None:
    lighter, darker = sorted((luminance(COLOURS[name][scheme]) for name in (text, ground)), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def test_a_flaky_cell_is_no_plain_success(tmp_path: Path) -> None:
    detail = "9 checks passed (flaky at attempt 2; before: 1 of 9 checks failed)"
    e2e = StageResult("e2e", "coredns-stable-local", Status.SUCCESS, started=1.0, attempts=2, flaky=True, detail=detail)
    found = page(one_cell(e2e=e2e), tmp_path)
    assert found.badges["#cell=coredns-stable-local"] == ["flaky"]
    [link] = [attributes for _, attributes in found.elements if attributes.get("class") == "badge flaky"]
    assert detail in link["title"]
    chips = {attributes["data-status"] for _, attributes in found.elements if "data-status" in attributes}
    assert chips == {"flaky"}
    assert found.data["cells"]["coredns-stable-local"]["flaky"] is True
    assert found.data["stages"]["e2e coredns-stable-local"]["flaky"] is True
