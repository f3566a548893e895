"""Made once, whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from pytest_crosscloud.errors import DeadlineExceeded
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.toolchain.cached import made


def test_it_is_made_once(stage: StageContext, cache: Path) -> None:
    first = made(stage, "things", "key", "a thing", lambda directory: put_file(directory))
    again = made(stage, "things", "key", "a thing", lambda _: pytest.fail("made twice"))
    assert first == again == cache / "things" / "key"
    assert (first / "file").read_text() == "whole"


def put_file(directory: Path) -> None:
    (directory / "file").write_text("whole")


def test_what_fails_leaves_nothing_and_can_be_made_later(stage: StageContext, cache: Path) -> None:
    def fail(directory: Path) -> None:
        put_file(directory)
        locked = directory / "read-only"
        locked.mkdir()
        (locked / "file").write_text("")
        locked.chmod(0o555)  # as Go unpacks modules
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        made(stage, "things", "key", "a thing", fail)
    assert [path.name for path in (cache / "things").iterdir()] == [".key.lock"]
    assert (made(stage, "things", "key", "a thing", put_file) / "file").exists()


#: Makes things/key when told to by a line on its standard input, and says when it starts to.
OTHER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from pytest_crosscloud.stage import StageContext
    from pytest_crosscloud.toolchain.cached import made

    def make(directory):
        (directory / "half").write_text("")
        print("making", flush=True)
        sys.stdin.readline()
        (directory / "half").rename(directory / "whole")

    stage = StageContext("setup", "", Path(sys.argv[1]), on_progress=lambda text: print(text, flush=True))
    made(stage, "things", "key", "a thing", make)
    print("there", flush=True)
    """
)


def other(tmp_path: Path) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", OTHER, str(tmp_path)]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate("go on\n", timeout=30)
    return output


def test_a_second_process_waits_for_the_first_and_says_so(tmp_path: Path) -> None:
    first = other(tmp_path)
    assert read_line(first) == "making"
    second = other(tmp_path)
    waiting = read_line(second)
    assert waiting.startswith(f"waiting for process {first.pid} ")
    assert waiting.endswith("which is making a thing")
    assert finish(first) == "there\n"
    assert finish(second) == "there\n", "it did not make it again"


def test_after_a_kill_half_way_it_is_made_anew(tmp_path: Path, cache: Path, stage: StageContext) -> None:
    first = other(tmp_path)
    assert read_line(first) == "making"
    os.kill(first.pid, signal.SIGKILL)
    first.communicate(timeout=30)
    assert not (cache / "things" / "key").exists()
    directory = made(stage, "things", "key", "a thing", put_file)
    assert [path.name for path in directory.iterdir()] == ["file"], "nothing of the killed process is in it"


def test_waiting_ends_with_the_deadline(tmp_path: Path, stage: StageContext) -> None:
    first = other(tmp_path)
    assert read_line(first) == "making"
    stage.deadline = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=f"process {first.pid}"):
        made(stage, "things", "key", "a thing", put_file)
    finish(first)
