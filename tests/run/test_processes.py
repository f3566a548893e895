"""Processes: which one a pid means, whose it is, and ending exactly those."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pytest_crosscloud.run import processes
from pytest_crosscloud.run.processes import REAPER_VARIABLE, Process, Program
from pytest_crosscloud.stage import RESOURCE_VARIABLE, RUN_VARIABLE

from .standin import eventually

RUN = f"test{os.getpid()}"

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process of the run ``RUN``, by default one that sleeps; it is gone after the test."""
    with ExitStack() as stack:

        def run(*argv: str, **variables: str) -> subprocess.Popen[bytes]:
            child = subprocess.Popen(
                argv or ("sleep", "600"), env={**os.environ, RUN_VARIABLE: RUN, **variables}, start_new_session=True
            )
            stack.callback(child.wait)
            stack.callback(child.kill)
            # Between fork and exec it still has our environment.
            eventually(lambda: child.poll() is not None or RUN in _environ(child.pid), "the child's start")
            return child

        yield run


def _environ(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_text()
    except OSError:
        return ""


def found() -> set[int]:
    return {process.pid for process in processes.of_run(RUN)}


def test_a_process_is_the_same_only_with_its_start_time(start: Start) -> None:
    process = Process.of(start().pid)
    assert process and not process.is_dead
    assert Process.parse(str(process)) == process
    assert Process(process.pid, process.start - 1, process.host).is_dead


def test_of_another_host_nothing_is_known() -> None:
    assert not Process(2**22, 1, "another-boot/pid:[1]").is_dead


@pytest.mark.parametrize("text", ["", "me", "12", "12:x@host", "12:34@", "-1:2@host"])
def test_an_owner_that_is_no_process_is_none(text: str) -> None:
    assert Process.parse(text) is None


def test_a_zombie_is_dead(start: Start) -> None:
    child = start("true")
    eventually(lambda: Process.of(child.pid) is None, "the child's end")  # nobody has waited for it


def test_a_name_with_spaces_and_parentheses_does_not_confuse(start: Start, tmp_path: Path) -> None:
    odd = tmp_path / "a) S 1 (b"
    odd.symlink_to("/bin/sleep")
    process = Process.of(start(str(odd), "600").pid)
    assert process and process.start > 1


def test_a_runs_processes_are_found_and_no_others(start: Start) -> None:
    mine = start()
    start(**{RUN_VARIABLE: f"{RUN}x"})
    start(**{RESOURCE_VARIABLE: "registry/registry"})
    reaper = start(**{REAPER_VARIABLE: RUN})
    assert found() == {mine.pid}
    assert {process.pid for process in processes.of_reaper(RUN)} == {reaper.pid}


def test_started_at_is_in_seconds_since_the_epoch(start: Start) -> None:
    before = time.time()
    started = processes.started_at(start().pid)
    assert started and before - 1 < started < time.time() + 1


def test_ending_waits_until_they_are_gone(start: Start) -> None:
    polite = start()
    assert processes.end_all(lambda: processes.of_run(RUN)) == []
    assert polite.wait(5) == -signal.SIGTERM


def test_who_ignores_sigterm_is_killed_and_so_is_what_it_starts(start: Start) -> None:
    """It forks for ever and ignores SIGTERM: what it starts while it is being ended must end, too."""
    start("sh", "-c", "trap '' TERM; while :; do sleep 600 & sleep 0.02; done")
    eventually(lambda: len(found()) > 3, "the first children")
    assert processes.end_all(lambda: processes.of_run(RUN), grace=0.3) == []
    assert found() == set()


def test_a_signal_does_not_reach_a_later_process_with_the_same_pid(start: Start) -> None:
    child = start()
    now = Process.of(child.pid)
    assert now
    assert not processes.send(Process(now.pid, now.start - 1, now.host), signal.SIGKILL)
    assert child.poll() is None


def test_what_terraform_started_is_left_to_terraform(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Terraform ends its providers itself, after it has written its state: they get no signal from us before."""
    monkeypatch.chdir(tmp_path)
    terraform = tmp_path / "terraform"
    terraform.symlink_to(sys.executable)
    script = tmp_path / "script.py"
    script.write_text(
        "import signal, subprocess, sys, time\n"
        "from pathlib import Path\n"
        "here = Path(__file__).parent\n"
        "provider = subprocess.Popen(['sleep', '600'])\n"
        "def stop(*args):\n"
        "    time.sleep(0.5)\n"
        "    (here / 'state').write_text('alive' if provider.poll() is None else 'dead')\n"
        "    provider.kill()\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "(here / 'ready').touch()\n"
        "time.sleep(600)\n"
    )
    start(str(terraform), str(script))
    eventually((tmp_path / "ready").exists, "the stand-in for terraform")
    assert processes.end_all(lambda: processes.of_run(RUN), grace=0.1) == []
    assert (tmp_path / "state").read_text() == "alive"


def test_terraform_is_asked_once_also_by_the_next_who_comes_to_end_it(start: Start, tmp_path: Path) -> None:
    """At the second signal it gives up what it is creating. Whoever sent the first may have been killed since."""
    terraform = tmp_path / "terraform"
    terraform.symlink_to(sys.executable)
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal, time\n"
        "from pathlib import Path\n"
        "here = Path(__file__).parent\n"
        "os.chdir(here)\n"
        "signal.signal(signal.SIGTERM, lambda *args: print('asked', file=(here / 'asked').open('a')))\n"
        "(here / 'ready').touch()\n"
        "while not (here / 'created').exists(): time.sleep(0.05)\n"
    )
    start(str(terraform), str(script))
    eventually((tmp_path / "ready").exists, "the stand-in for terraform")
    first = "from pytest_crosscloud.run import processes; processes.end_all(lambda: processes.of_run({!r}))"
    with subprocess.Popen([sys.executable, "-c", first.format(RUN)], env={**os.environ, RUN_VARIABLE: ""}) as asker:
        eventually((tmp_path / "asked").exists, "the first signal")
        asker.kill()
    rounds = 0

    def find() -> list[Process]:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            (tmp_path / "created").touch()
        return processes.of_run(RUN)

    assert processes.end_all(find) == []
    assert (tmp_path / "asked").read_text().splitlines() == ["asked"]


def test_a_process_is_found_while_it_executes_another_program(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel shows no environment then; a program that comes from a slow disk takes its time."""
    child, looks = start(), 0
    read = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        nonlocal looks
        if path != Path(f"/proc/{child.pid}/environ"):
            return read(path)
        looks += 1
        return read(path) if looks > 50 else b""

    stat = processes._stat

    def is_executing(pid: int) -> processes._Stat | None:
        seen = stat(pid)
        return dataclasses.replace(seen, has_environment=False) if seen and pid == child.pid and looks <= 50 else seen

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    monkeypatch.setattr(processes, "_stat", is_executing)
    assert found() == {child.pid}


def test_a_process_without_any_environment_holds_nobody_up() -> None:
    child = subprocess.Popen(["sleep", "600"], env={})
    try:
        eventually(lambda: processes._environ(child.pid) == [b""], "the empty environment")
    finally:
        child.kill()
        child.wait()


def test_the_forks_of_a_process_are_its_own(start: Start) -> None:
    """Of a process that is itself a fork nobody can tell whose the others are."""
    server = "import os, signal\nfor _ in range(2):\n    os.fork() or signal.pause()\nsignal.pause()"
    process = Process.of(start(sys.executable, "-c", server).pid)
    assert process
    program = Program.of(process)
    assert program
    try:
        eventually(lambda: len(processes.forks_of(program, process)) == 2, "two forks")
        one, other = processes.forks_of(program, process)
        assert Program.of(one) is None
        assert Program.of(process) == program
        processes.send(process, signal.SIGKILL)
        eventually(lambda: process.is_dead, "the end of their parent")
        assert set(processes.forks_of(program, process)) == {one, other}
    finally:
        for fork in processes.forks_of(program, process):
            processes.send(fork, signal.SIGKILL)
