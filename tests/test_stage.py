from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_crosscloud.errors import DeadlineExceeded, StageError
from pytest_crosscloud.lock import held
from pytest_crosscloud.run import processes
from pytest_crosscloud.stage import RUN_VARIABLE, STAGE_VARIABLE, StageContext


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
    assert stage.command(["sh", "-c", f"echo ${RUN_VARIABLE} ${STAGE_VARIABLE}"]).output == "r1 build demo"


def test_deadline_ends_the_whole_process_group_and_says_what_it_waited_for(stage: StageContext, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    stage.deadline = time.monotonic() + 1
    stage.progress("compiling 3 of 4 packages")
    with pytest.raises(DeadlineExceeded, match="compiling 3 of 4 packages"):
        stage.command(["sh", "-c", f"sleep 600 & echo $! > {pid_file}; wait"])
    assert _gone(int(pid_file.read_text()))


def test_a_deadline_names_the_program_and_its_last_line(stage: StageContext) -> None:
    stage.deadline = time.monotonic() + 1
    stage.progress("fetching demo v1")
    with pytest.raises(DeadlineExceeded) as caught:
        stage.command(["sh", "-c", "echo connecting to the mirror; echo; exec sleep 600"])
    expected = "fetching demo v1; sh still ran, and said at last: connecting to the mirror"
    assert caught.value.message == f"build demo: deadline exceeded while {expected}"


def test_a_deadline_does_not_repeat_a_secret(stage: StageContext) -> None:
    stage.deadline = time.monotonic() + 0.5
    with pytest.raises(DeadlineExceeded, match=r"while starting; sh still ran\n"):
        stage.command(["sh", "-c", "echo key; exec sleep 600"], log=False)


def test_a_pause_that_does_not_fit_is_not_begun(stage: StageContext) -> None:
    with pytest.raises(DeadlineExceeded):
        stage.wait(600)


def test_a_lock_that_is_not_given_back_is_named(stage: StageContext, tmp_path: Path) -> None:
    other = replace(stage)
    stage.deadline = time.monotonic() + 0.3
    with (
        held(tmp_path / "locks" / "x", other, "nobody"),
        pytest.raises(DeadlineExceeded, match="waiting for another Go build"),
        held(tmp_path / "locks" / "x", stage, "another Go build"),
    ):
        pass


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


def test_what_a_program_leaves_running_neither_holds_it_up_nor_stays(stage: StageContext, tmp_path: Path) -> None:
    completed = stage.command(["sh", "-c", f"sleep 600 & echo $! > {tmp_path}/pid; echo done"])
    assert (completed.code, completed.output) == (0, "done")
    assert _gone(int((tmp_path / "pid").read_text()))


def test_output_that_is_a_secret_is_neither_logged_nor_changed(stage: StageContext) -> None:
    completed = stage.command(["echo", "password: 0123456789abcdef0123"], log=False)
    assert completed.output == "password: 0123456789abcdef0123"
    assert completed.output not in stage.log.read_text().replace("$ echo", "")
    with pytest.raises(StageError) as error:
        stage.command(["sh", "-c", "cat; exit 1"], stdin="password: 0123456789abcdef0123", log=False)
    assert "0123456789abcdef" not in error.value.message


#: Stands in for Terraform: it has a provider, and when it is asked to stop, it writes its state before it ends that.
TERRAFORM = """
import signal, subprocess, sys, time
from pathlib import Path
provider = subprocess.Popen(["sleep", "600"])
def stop(*args):
    with open("asked", "a") as asked:
        asked.write("once\\n")
    print("stopping", flush=True)
    time.sleep(0.5)
    Path("state").write_text("dead" if provider.poll() else "alive")
    provider.kill()
    sys.exit(1)
signal.signal(signal.SIGTERM, stop)
Path("provider").write_text(str(provider.pid))
print("ready", flush=True)
while True:
    time.sleep(0.1)
    print("still creating", flush=True)
"""


@pytest.fixture
def terraform(tmp_path: Path) -> list[str]:
    (tmp_path / "terraform").symlink_to(sys.executable)
    return [str(tmp_path / "terraform"), "-c", TERRAFORM]


def test_a_deadline_lets_terraform_write_its_state_before_its_providers_end(
    stage: StageContext, terraform: list[str], tmp_path: Path
) -> None:
    def expire(line: str) -> None:
        stage.deadline = time.monotonic()

    with pytest.raises(DeadlineExceeded):
        stage.command(terraform, cwd=tmp_path, on_line=expire)
    assert (tmp_path / "state").read_text() == "alive"
    assert (tmp_path / "asked").read_text() == "once\n"
    assert _gone(int((tmp_path / "provider").read_text()))


def test_terraform_outlives_a_killed_worker_until_the_reaper_asks_it(
    terraform: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script = (
        "import sys, pathlib\n"
        "from pytest_crosscloud.stage import StageContext\n"
        "here = pathlib.Path(sys.argv[1])\n"
        "stage = StageContext(key='provision x', run=sys.argv[2], directory=here)\n"
        "stage.command(sys.argv[3:], cwd=here, on_line=lambda line: print(line, flush=True))\n"
    )
    run = f"test{os.getpid()}"
    argv = [sys.executable, "-c", script, str(tmp_path), run, *terraform]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as worker:
        assert worker.stdout and worker.stdout.readline() == b"ready\n"
        worker.kill()
    writes = stage_output(tmp_path)
    limit = time.monotonic() + 10
    while stage_output(tmp_path) == writes and time.monotonic() < limit:
        time.sleep(0.05)
    assert processes.end_all(lambda: processes.of_run(run)) == []
    assert (tmp_path / "state").read_text() == "alive"
    assert _gone(int((tmp_path / "provider").read_text()))


def stage_output(directory: Path) -> int:
    """How far the stand-in's output is: its file is nobody's but its own now."""
    provider = int((directory / "provider").read_text())
    return Path(f"/proc/{provider}/fd/1").stat().st_size


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
