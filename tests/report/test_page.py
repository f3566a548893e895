"""The page in a real browser: filter, toggles, details, address, keyboard, phone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from pytest_crosscloud.report import dashboard

from .browser import CHROMIUM, Browser
from .sample import one_cell, sample, write_files

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wide")
    summary = sample(("stable", "head"), ("amd64", "arm64"))
    write_files(sample(), out)
    return dashboard.write(summary, out)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("table")
    write_files(sample(), out)
    return dashboard.write(sample(), out)


@pytest.fixture(autouse=True)
def no_error_no_request(browser: Browser) -> Iterator[None]:
    browser.resize(1280, 900)
    browser.requests.clear()
    browser.errors.clear()
    yield
    assert browser.errors == []
    assert [url for url in browser.requests if not url.startswith(("file:", "data:", "about:"))] == []


ROWS = "[...document.querySelectorAll('#matrix tbody tr')].filter(row => row.offsetParent !== null)"


def visible(browser: Browser) -> int:
    return int(browser.run(f"{ROWS}.filter(row => row.closest('[data-project]')).length"))


def address(browser: Browser) -> dict[str, list[str]]:
    return parse_qs(browser.run("location.hash.slice(1)"))


def click(browser: Browser, selector: str) -> None:
    browser.run(f"document.querySelector({selector!r}).click()")


def test_text_filters_rows_and_stays_in_the_address(browser: Browser, table: Path) -> None:
    browser.open(table)
    assert visible(browser) == 14
    browser.run("q.value = 'core head', q.dispatchEvent(new Event('input'))")
    assert visible(browser) == 1
    assert address(browser) == {"q": ["core head"]}
    assert browser.run("found.textContent") == "1 of 14 releases"
    # The project's name spans what is left of its rows.
    assert browser.run("document.querySelector('[data-project=coredns] [scope=rowgroup]').rowSpan") == 1
    assert browser.run(f"{ROWS}[1].cells[0].innerText").startswith("C") is True
    browser.open(table, "#q=core+head")
    assert visible(browser) == 1
    browser.run("q.value = 'nothing', q.dispatchEvent(new Event('input'))")
    assert browser.run("document.getElementById('empty').hidden") is False
    click(browser, "#empty a")
    assert visible(browser) == 14
    assert browser.run("document.querySelector('[data-project=coredns] [scope=rowgroup]').rowSpan") == 2


def test_status_chips_show_releases_that_have_it(browser: Browser, table: Path) -> None:
    browser.open(table)
    click(browser, "[data-status=failed]")
    assert address(browser) == {"status": ["failed"]}
    assert browser.run("document.querySelector('[data-status=failed]').getAttribute('aria-pressed')") == "true"
    assert visible(browser) == 3  # Prometheus head (build), CoreDNS head, Fluentd stable
    click(browser, "[data-status=running]")
    assert visible(browser) == 5
    browser.run("history.back()")
    browser.until(f"{ROWS}.filter(row => row.closest('[data-project]')).length === 3")


def test_toggles_choose_kubernetes_and_arch(browser: Browser, wide: Path) -> None:
    browser.open(wide)
    assert visible(browser) == 56
    click(browser, "[data-toggle=kubernetes] [data-value=head]")
    click(browser, "[data-toggle=arch] [data-value=arm64]")
    assert visible(browser) == 14
    assert address(browser) == {"kubernetes": ["head"], "arch": ["arm64"]}
    browser.open(wide, "#kubernetes=head&arch=arm64&q=coredns")
    assert visible(browser) == 2


def test_columns_sort_with_what_failed_first(browser: Browser, table: Path) -> None:
    browser.open(table)
    first = "document.querySelector('#matrix tbody[data-project]').dataset.project"
    click(browser, "[data-sort=azure] button")
    assert browser.run("document.querySelector('[data-sort=azure]').getAttribute('aria-sort')") == "ascending"
    assert browser.run(first) == "coredns"
    assert address(browser) == {"sort": ["azure:ascending"]}
    click(browser, "[data-sort=project] button")
    assert browser.run("document.querySelectorAll('[aria-sort]').length") == 1
    assert browser.run(first) == "coredns"  # Graduated stay together, in the order of their names
    click(browser, "[data-sort=project] button")
    assert browser.run(first) == "prometheus"
    click(browser, "[data-sort=project] button")
    assert browser.run(first) == "kubernetes"
    assert browser.run("document.querySelectorAll('[aria-sort]').length") == 0


def test_of_thousands_of_rows_the_first_are_shown_until_all_are_asked_for(browser: Browser, tmp_path: Path) -> None:
    names = [f"p{number:04}" for number in range(600)]
    small = one_cell()
    (cell,) = small.cells
    cells = [replace(cell, id=f"{name}-local", build=replace(cell.build, project=name, id=name)) for name in names]
    projects = tuple(replace(small.projects[0], name=name, display_name=name) for name in names)
    browser.open(dashboard.write(replace(small, cells=tuple(cells), projects=projects, results={}), tmp_path))
    assert visible(browser) == 400
    assert browser.run("found.textContent") == "600 releases"
    click(browser, "[data-sort=project] button")
    click(browser, "[data-sort=project] button")
    assert browser.run(f"{ROWS}[0].innerText.includes('p0599')")
    assert visible(browser) == 400
    browser.run("q.value = 'p0001', q.dispatchEvent(new Event('input'))")
    assert visible(browser) == 1
    browser.run("q.value = '', q.dispatchEvent(new Event('input'))")
    click(browser, "#rest a")
    assert visible(browser) == 600


def test_a_badge_opens_its_deployment(browser: Browser, table: Path) -> None:
    browser.open(table, "#q=coredns")
    click(browser, "a[href='#cell=coredns-head-azure']")
    assert address(browser) == {"q": ["coredns"], "cell": ["coredns-head-azure"]}
    assert browser.run("details.open") is True
    text = browser.run("details.innerText")
    for expected in (
        "CoreDNS head on Azure",
        "2 of 9 checks failed",
        "the e2e container's log has every query",
        "7 passed, 2 failed",
        "sha256:",
        "pytest --clouds=azure --projects=coredns --refs=head",
        "builds/coredns-head/release.env",
        "1:36",
    ):
        assert expected in text
    log = "[...details.querySelectorAll('a')].find(a => a.textContent.endsWith('coredns-7d9f.log')).href"
    assert browser.run(log) == (table.parent / "cells/coredns-head-azure/pods/coredns-7d9f.log").as_uri()
    browser.press("Escape", 27)
    browser.until("!details.open")
    assert address(browser) == {"q": ["coredns"]}
    assert browser.run("document.activeElement.getAttribute('href')") == "#cell=coredns-head-azure"


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ("#cell=prometheus-head-aws", "build prometheus-head failed (product)"),
        ("#cell=onap-stable-oci", "waiting for the e2e Job"),
        ("#build=prometheus-head", "undefined: labels.FromSlice"),
        ("#cluster=packet", "no capacity"),
        ("#cluster=aws", "198.19.0.11, worker"),
        ("#cell=gone", "This run has no cell gone"),
    ],
)
def test_details_have_an_address_of_their_own(browser: Browser, table: Path, fragment: str, expected: str) -> None:
    browser.open(table, fragment)
    assert browser.run("details.open") is True
    assert expected in browser.run("details.innerText")


def test_a_project_has_a_page(browser: Browser, table: Path) -> None:
    browser.open(table)
    click(browser, "[data-project=coredns] .project")
    assert address(browser) == {"project": ["coredns"]}
    assert visible(browser) == 2
    assert browser.run("document.querySelector('#project h1').textContent") == "CoreDNS"
    assert browser.run("document.querySelector('#failures h2').textContent") == "1 failed stage"
    click(browser, ".back")
    assert visible(browser) == 14


def test_it_works_by_keyboard(browser: Browser, table: Path) -> None:
    browser.open(table)
    browser.run("document.querySelector(\"a[href='#build=coredns-head']\").focus()")
    browser.press("Enter", 13)
    browser.until("details.open")
    assert browser.run("details.contains(document.activeElement)")
    browser.press("Escape", 27)
    browser.until("!details.open")
    assert browser.run("document.activeElement.getAttribute('href')") == "#build=coredns-head"


@pytest.mark.parametrize("fragment", ["", "#cell=coredns-head-azure", "#project=coredns", "#build=coredns-head"])
def test_a_phone_needs_no_sideways_scrolling(browser: Browser, wide: Path, table: Path, fragment: str) -> None:
    browser.resize(390, 844)
    for page in (wide, table):
        browser.open(page, fragment)
        assert browser.run("document.documentElement.scrollWidth") <= 390
        assert browser.run("details.scrollWidth") <= 390
        over = "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > 391).length"
        assert browser.run(over) == 0
        label = "getComputedStyle(document.querySelector('#matrix tbody td:last-child'), '::before').content"
        assert browser.run(label) == '"Oracle Cloud Infrastructure"'


def test_dark_and_light_can_be_chosen(browser: Browser, table: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    browser.resize(1280, 900, dark=True)
    browser.open(table)
    dark = browser.run(ground)
    click(browser, "#theme")
    assert browser.run(ground) == "rgb(255, 255, 255)" != dark
    browser.open(table)
    assert browser.run(ground) == "rgb(255, 255, 255)"
    browser.run("localStorage.clear()")


def test_the_table_is_there_without_a_script(browser: Browser, table: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(table)
        assert visible(browser) == 14
        assert browser.run("getComputedStyle(document.getElementById('controls')).display") == "none"
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def test_times_are_relative_with_the_absolute_one_beside(browser: Browser, tmp_path: Path) -> None:
    browser.open(dashboard.write(one_cell(), tmp_path))
    assert browser.run("document.querySelector('.updated time').title") == "2026-11-22 00:01:01 UTC"
    assert browser.run("/ago$|^in |just now/.test(document.querySelector('.updated time').textContent)")
