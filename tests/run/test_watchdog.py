"""Who ends a stage whose hook does not: the words are those of tests/pipeline/test_deadlines.py."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pytest_crosscloud.errors import DeadlineExceeded
from pytest_crosscloud.run import watchdog
from pytest_crosscloud.stage import StageContext


def late(directory: Path) -> StageContext:
    return StageContext("e2e a-b", "0123abcd", directory, deadline=time.monotonic() - 1)


def test_what_collects_evidence_after_its_deadline_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "GRACE", 0.0)
    stage = late(tmp_path)
    with pytest.raises(DeadlineExceeded):
        stage.remaining()
    with watchdog.watching(stage):
        for guard in [thread for thread in threading.enumerate() if thread.name == "crosscloud-watchdog"]:
            guard.join(60)
            assert not guard.is_alive(), "it has gone without a word"


def test_a_wait_with_less_time_than_the_stage_says_nothing_of_the_stages(tmp_path: Path) -> None:
    stage = StageContext("e2e a-b", "0123abcd", tmp_path)
    with pytest.raises(DeadlineExceeded):
        stage.wait_until(lambda: False, "nothing", timeout=0.0)
    assert not stage.is_over


def test_nobody_is_interrupted_after_the_block(tmp_path: Path) -> None:
    with watchdog.watching(late(tmp_path)), pytest.raises(DeadlineExceeded, match="still waited"):
        signal.raise_signal(watchdog._SIGNAL)
    signal.raise_signal(watchdog._SIGNAL)  # one that was on its way


#: Where no signal reaches the stage: it is made in another thread.
DEAF = """
import pathlib, sys, threading, time
from pytest_crosscloud.run import watchdog
from pytest_crosscloud.stage import StageContext

watchdog.GRACE = watchdog.LAST = 0.1
def make():
    with watchdog.watching(StageContext("e2e a-b", "0123abcd", pathlib.Path(sys.argv[1]), deadline=time.monotonic())):
        time.sleep(600)
threading.Thread(target=make).start()
"""


def test_a_process_that_cannot_be_interrupted_ends(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", DEAF, tmp_path], timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    assert "cannot be interrupted" in (tmp_path / "e2e.log").read_text()
