"""Who may collect, and who may compute: one worker to a processor."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from pytest_crosscloud.run import worker
from pytest_crosscloud.run.worker import _Turn


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Turn:
    """The only place that there is, taken."""
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0})
    turn = _Turn(tmp_path)
    assert turn.wait()
    return turn


def others(directory: Path) -> threading.Event:
    """Is set as soon as another worker has the place."""
    had = threading.Event()

    def take() -> None:
        if _Turn(directory).wait():
            had.set()

    threading.Thread(target=take, daemon=True).start()
    return had


def test_who_computes_keeps_its_place_until_it_waits(tmp_path: Path, mine: _Turn) -> None:
    other = others(tmp_path)
    mine.end_when_idle()
    mine.enter(is_test=True)
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        sum(range(10_000))
    mine.enter(is_test=False)
    assert not other.wait(1.0), "it has nothing to do, so neither would another"
    mine.enter(is_test=True)
    assert other.wait(20), "its test waits"


def test_who_is_sent_no_test_makes_room(tmp_path: Path, mine: _Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_PATIENCE", 0.1)
    other = others(tmp_path)
    mine.end_when_idle()
    assert other.wait(20)


def test_nobody_waits_when_all_is_over(tmp_path: Path, mine: _Turn) -> None:
    worker.dismiss(tmp_path)
    assert not _Turn(tmp_path).wait()
