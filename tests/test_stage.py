from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_crosscloud.errors import DeadlineExceeded, StageError
from pytest_crosscloud.stage import RUN_VARIABLE, StageContext


@pytest.fixture
def stage(tmp_path: Path) -> StageContext:
    return StageContext(key="build demo", run="r1", directory=tmp_path, deadline=time.monotonic() + 30)


def test_lines_go_to_the_log_and_to_the_listener(stage: StageContext) -> None:
    seen: list[str] = []
    completed = stage.command(["sh", "-c", "echo one; echo two >&2; printf three"], on_line=seen.append)
    assert (completed.output, completed.errors) == ("one\nthree", "two")
    assert sorted(seen) == ["one", "three", "two"]
    assert {"one", "two", "three"} <= set(stage.log.read_text().splitlines())


def test_stdin_larger_than_a_pipe_is_passed(stage: StageContext) -> None:
    text = "x" * 300_000
    assert stage.command(["cat"], stdin=text).output == text


def test_failure_says_program_code_and_last_lines(stage: StageContext) -> None:
    with pytest.raises(StageError, match=r"sh exited with 3: no space left"):
        stage.command(["sh", "-c", "echo no space left >&2; exit 3"])
    assert stage.command(["sh", "-c", "exit 3"], check=False).code == 3


def test_missing_program_is_named_with_a_remedy(stage: StageContext) -> None:
    with pytest.raises(StageError, match="no-such-program") as caught:
        stage.command(["no-such-program"])
    assert caught.value.error_class == "configuration"
    assert caught.value.remedy


def test_secrets_do_not_reach_the_log(stage: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_TOKEN", "very-secret-value")
    completed = stage.command(["sh", "-c", "echo $DEMO_TOKEN"])
    assert "very-secret-value" not in stage.log.read_text() + completed.output


def test_children_carry_the_run(stage: StageContext) -> None:
    assert stage.command(["sh", "-c", f"echo ${RUN_VARIABLE}"]).output == "r1"


def test_deadline_ends_the_whole_process_group_and_says_what_it_waited_for(stage: StageContext, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    stage.deadline = time.monotonic() + 1
    stage.progress("compiling 3 of 4 packages")
    with pytest.raises(DeadlineExceeded, match="compiling 3 of 4 packages"):
        stage.command(["sh", "-c", f"sleep 600 & echo $! > {pid_file}; wait"])
    assert _gone(int(pid_file.read_text()))


def test_interrupt_ends_the_process_group(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from pytest_crosscloud.stage import StageContext\n"
        "stage = StageContext(key='build x', run='r', directory=pathlib.Path(sys.argv[1]))\n"
        "stage.command(['sh', '-c', 'sleep 600 & echo $! > pid; echo started; wait'],\n"
        "              cwd=pathlib.Path(sys.argv[1]), on_line=lambda line: print(line, flush=True))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"started\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) != 0
    assert _gone(int((tmp_path / "pid").read_text()))


def test_wait_until_polls_and_names_what_it_waits_for(stage: StageContext) -> None:
    answers = iter([False, False, True])
    stage.wait_until(lambda: next(answers), "the API", interval=0)
    with pytest.raises(DeadlineExceeded, match="waiting for node Ready"):
        stage.wait_until(lambda: False, "node Ready", timeout=0, interval=0)


def _gone(pid: int) -> bool:
    limit = time.monotonic() + 10
    while time.monotonic() < limit:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False
