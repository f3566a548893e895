"""The terminal: the table at the end, and the lines while the run goes on."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_crosscloud.model import ErrorClass, Failure, Ref, StageResult, Status
from pytest_crosscloud.report import terminal

from .sample import STARTED, finished, one_cell, sample


class Screen:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.live = terminal.Live(self.lines.append, color=False)

    def take(self) -> list[str]:
        lines, self.lines[:] = list(self.lines), []
        return lines


@pytest.fixture
def screen() -> Screen:
    return Screen()


def stage(name: str, target: str, status: Status, **values: object) -> StageResult:
    return replace(StageResult(name, target, status, STARTED), **values)  # type: ignore[arg-type]


# -- the table ----------------------------------------------------------------------------------------------


def test_all_green_is_one_line_a_release(tmp_path: Path) -> None:
    assert terminal.table(one_cell(), tmp_path, color=False, width=80) == (
        "         release         build      local\nCoreDNS  stable v1.14.7  success    success\n"
    )


def test_below_a_failed_cell_is_why_where_and_how_to_repeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    failure = Failure(ErrorClass.PRODUCT, "2 of 9 checks failed: reverse lookup\nmore", "read the log")
    e2e = stage("e2e", "coredns-stable-local", Status.FAILED, failure=failure, log="cells/coredns-stable-local/e2e.log")
    out = tmp_path / "reports" / "out"
    text = terminal.table(one_cell(e2e=e2e), out, color=False, width=100)
    assert text.splitlines()[1:] == [
        "CoreDNS  stable v1.14.7  success    failed",
        "    e2e coredns-stable-local (product): 2 of 9 checks failed: reverse lookup",
        "    remedy    read the log",
        "    evidence  reports/out/cells/coredns-stable-local/",
        "    repeat    pytest --clouds=local --projects=coredns --refs=stable",
    ]


def test_a_flaky_cell_is_never_silent(tmp_path: Path) -> None:
    detail = "9 checks passed (flaky at attempt 2; before: 2 of 9 checks failed)"
    e2e = stage("e2e", "coredns-stable-local", Status.SUCCESS, attempts=2, flaky=True, detail=detail)
    assert terminal.table(one_cell(e2e=e2e), tmp_path, color=False, width=120).splitlines()[1:] == [
        "CoreDNS  stable v1.14.7  success    flaky",
        f"    e2e coredns-stable-local: {detail}",
        "",
        "1 flaky cell: red at first, and green when the e2e was run again",
    ]


def test_a_stage_that_many_cells_share_is_explained_once(tmp_path: Path) -> None:
    text = terminal.table(finished(sample()), tmp_path, color=False, width=200)
    assert text.count("provision packet (infrastructure): terraform apply") == 1
    assert text.count("build prometheus-head (product): go build") == 1


@pytest.mark.parametrize("width", [60, 80, 120, 240])
def test_clouds_that_do_not_fit_go_into_another_table(tmp_path: Path, width: int) -> None:
    summary = finished(sample())
    lines = terminal.table(summary, tmp_path, color=False, width=width).splitlines()
    table = [line for line in lines if not line.startswith("    ") or "release" in line]
    assert max(map(len, table)) <= width
    heads = [line for line in lines if "release" in line and "build" in line]
    assert [name for line in heads for name in line.split()[2:]] == [cloud.name for cloud in summary.clouds]


def test_colour_does_not_move_columns(tmp_path: Path) -> None:
    plain = terminal.table(sample(), tmp_path, color=False, width=120)
    coloured = terminal.table(sample(), tmp_path, color=True, width=120)
    assert "\x1b[32msuccess\x1b[0m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_where_the_reports_are_is_said_of_those_that_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "index.html").touch()
    assert terminal.table(one_cell(), tmp_path, color=False, width=80).endswith("\n\npage index.html\n")


# -- while it runs ------------------------------------------------------------------------------------------


def test_the_header_says_what_is_going_to_happen(screen: Screen) -> None:
    screen.live.header(one_cell())
    assert screen.take() == ["run 7f3a  1 cell: coredns {stable v1.14.7} × local × kubernetes v1.36.3   4 stages"]
    screen.live.header(sample())
    assert screen.take() == ["run 7f3a  112 cells: 7 projects × 8 clouds × kubernetes v1.36.3   246 stages"]


def test_two_names_of_one_kubernetes_are_noted(screen: Screen) -> None:
    same = {name: Ref(name, "v1.36.3") for name in ("stable", "head", "old")}
    screen.live.header(replace(one_cell(), kubernetes={**same, "old": Ref("old", "v1.35.4")}))
    _, note = screen.take()
    assert note.startswith("  note: kubernetes stable and head are the same version, v1.36.3: ")
    assert "stable: auto is" in note
    screen.live.header(replace(one_cell(), kubernetes=same))
    assert "kubernetes stable, head and old are" in screen.take()[1]


def test_a_stage_is_one_line_at_its_start_and_one_at_its_end(screen: Screen) -> None:
    running = stage("build", "coredns-head", Status.RUNNING, detail="cloning")
    screen.live.update([running], STARTED)
    screen.live.update([], STARTED + 1.5)
    screen.live.update([], STARTED + 2)
    screen.live.update(
        [replace(running, status=Status.SUCCESS, seconds=41, detail="coredns@sha256:9f1c")], STARTED + 41
    )
    screen.live.update([], STARTED + 100)
    assert screen.take() == [
        "  build      coredns-head  running      0:01  cloning",
        "  build      coredns-head  success      0:41  coredns@sha256:9f1c",
    ]


def test_a_stage_that_is_over_at_once_is_one_line(screen: Screen) -> None:
    screen.live.update([stage("build", "coredns-stable", Status.RUNNING)], STARTED)
    screen.live.update([stage("build", "coredns-stable", Status.SUCCESS, cached=True)], STARTED + 0.4)
    assert screen.take() == ["  build      coredns-stable  success    cached"]


def test_a_long_stage_is_heard_of_again_with_its_newest_progress(screen: Screen) -> None:
    for second in range(100):
        running = stage("build", "coredns-head", Status.RUNNING, detail=f"compiling {second} of 690 packages")
        screen.live.update([running] if second < 61 else [], STARTED + second)
    assert screen.take() == [
        "  build      coredns-head  running      0:01  compiling 1 of 690 packages",
        "  build      coredns-head  running      0:31  compiling 31 of 690 packages",
        "  build      coredns-head  running      1:01  compiling 60 of 690 packages",
        "  build      coredns-head  running      1:31  compiling 60 of 690 packages",
    ]


def test_a_failure_is_told_by_its_first_line(screen: Screen) -> None:
    failure = Failure(ErrorClass.INFRASTRUCTURE, "no capacity\nTraceback: …")
    screen.live.update([stage("provision", "packet", Status.FAILED, seconds=61, failure=failure)], STARTED)
    assert screen.take() == ["  provision  packet  failed       1:01  no capacity"]


def test_what_one_failure_took_along_is_one_line(screen: Screen) -> None:
    said = {"detail": "build coredns-head failed", "upstream": "build coredns-head"}
    results = [stage("deploy", f"coredns-head-{n}", Status.NA, **said) for n in range(9)]
    screen.live.update(results, STARTED)
    assert screen.take() == [
        "  deploy     coredns-head-0  n/a                build coredns-head failed; so are 8 more stages"
    ]


def test_control_characters_of_a_program_do_not_reach_the_screen(screen: Screen) -> None:
    detail = "\x1b[31mred\x1b[0m\rover\x1b]0;title\x07\nnext\x9b2J"
    screen.live.update([stage("build", "x", Status.SUCCESS, detail=detail)], STARTED)
    (line,) = screen.take()
    assert line.isprintable()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (41.9, "0:41"), (725, "12:05"), (3723, "1:02:03"), (-1, "0:00")]
)
def test_clock(seconds: float, text: str) -> None:
    assert terminal.clock(seconds) == text


def test_another_attempt_is_said_at_once(screen: Screen) -> None:
    first = stage("provision", "local", Status.RUNNING)
    screen.live.update([first], STARTED + 2)
    assert len(screen.take()) == 1
    screen.live.update([replace(first, attempts=2, detail="attempt 2 of 3 in 9 s: quota exceeded")], STARTED + 3)
    [line] = screen.take()
    assert line.endswith("running      0:03  attempt 2 of 3 in 9 s: quota exceeded")
    screen.live.update([replace(first, attempts=2, detail="terraform apply")], STARTED + 4)
    assert screen.take() == []
    screen.live.update([stage("e2e", "a", Status.SUCCESS, attempts=2, flaky=True, seconds=5, detail="")], STARTED + 9)
    assert screen.take() == ["  e2e        a  flaky        0:05"]
