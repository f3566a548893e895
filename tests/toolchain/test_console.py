"""Set-up as a person and as a log see it."""

from __future__ import annotations

import io
import re

import pytest

from pytest_crosscloud.toolchain import console
from pytest_crosscloud.toolchain.console import Item


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_plain_lines_with_times(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    with Item("node", stream) as item:
        item.progress("node: compiling 1 of 690 packages")
        item.progress("compiling 2 of 690 packages")
        monkeypatch.setattr(console, "QUIET", 0)
        item.progress("compiling 3 of 690 packages")
        item.end("done", "v1.36.3 built")
    lines = stream.getvalue().splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d node: ", line) for line in lines)
    assert [line.split(": ", 1)[1] for line in lines] == [
        "compiling 1 of 690 packages (0:00)",
        "compiling 3 of 690 packages (0:00)",
        "done: v1.36.3 built",
    ]
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_gets_one_line_that_changes_and_never_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    stream = Terminal()
    with Item("node", stream) as item:
        item.progress("x" * 200 + "\nsecond line")
        item.end("failed", "no disk")
    progress, end = stream.getvalue().split("\r")[1:]
    assert len(re.sub(r"\x1b\[[0-9;]*[mK]", "", progress)) < 60
    assert "✗" in end
    assert end.endswith("no disk\x1b[2m\x1b[0m\n")
    assert stream.getvalue().count("\n") == 1


def test_it_goes_on_saying_what_it_waits_for() -> None:
    """A long silent step must not look hung: the item itself repeats the last word."""
    stream = Terminal()
    with Item("node", stream) as item:
        item.progress("linking")
        item._shown = 0.0  # as if a second had passed
        item._show(item._started + 61)
    assert "linking  \x1b[2m1:01" in stream.getvalue()


def test_two_at_a_time_share_the_line_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    with Item("kubernetes", stream) as one, Item("terraform", stream) as other:
        one.progress("compiling 1 of 2909 packages " * 5)
        other.progress("linking " * 20)
        other.end("done", "1.12.6 built")
        one._shown = 0.0
        one._show(one._started + 61)
    lines = [re.sub(r"\x1b\[[0-9;]*[mK]", "", line) for line in stream.getvalue().split("\r")]
    both = next(line for line in lines if "kubernetes" in line and "terraform" in line)
    assert len(both) < 80
    assert [line for line in lines if line.endswith("\n")] == ["✓ terraform    1.12.6 built\n"]
    assert "terraform" not in lines[-1], "what has ended is not shown any more"
