"""A container's log of limited size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_crosscloud.deploy.container_log import follow


def test_a_flood_keeps_its_beginning_and_its_end_and_says_what_is_missing(tmp_path: Path) -> None:
    log = tmp_path / "log"

    follow((f"line {number:05}" for number in range(10_000)), log, head=1000, tail=500)

    lines = log.read_text().splitlines()
    assert lines[0] == "line 00000"
    assert lines[-1] == "line 09999"
    assert sum("left out" in line for line in lines) == 1
    assert log.stat().st_size < 2000


def test_a_short_log_is_complete_and_redacted(tmp_path: Path) -> None:
    log = tmp_path / "log"

    follow(["hello", "Authorization: Bearer abcdefghijklmnopqrstuvwxyz"], log)

    assert log.read_text() == "hello\nAuthorization: Bearer [redacted]\n"


def test_what_was_read_before_the_log_broke_off_is_kept(tmp_path: Path) -> None:
    def breaking() -> Iterator[str]:
        yield from ("first", "second", "third")
        raise ConnectionError

    log = tmp_path / "log"
    with pytest.raises(ConnectionError):
        follow(breaking(), log, head=1)

    assert log.read_text() == "first\nsecond\nthird\n"
