"""The reaper with real processes: however the controller ends, nothing of its run is left, and nothing else goes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.model import StageResult, Status
from pytest_crosscloud.run import processes, reaper, reaper_process
from pytest_crosscloud.run.processes import Process
from pytest_crosscloud.run.store import Resource, RunRecord
from pytest_crosscloud.stage import RESOURCE_VARIABLE, RUN_VARIABLE

from .standin import World, eventually, sleeper


def test_what_is_released_is_destroyed_while_the_run_lives(world: World) -> None:
    run = world.new_run()
    mine = reaper.start(world.store, run)
    world.create_cluster(run, "busy")
    world.create_cluster(run, "done", state="released")
    eventually(lambda: world.states(run)["done"] == "destroyed", "destroying a released cluster")
    assert world.clusters() == {"busy"}
    assert mine.finish(lambda text: None) == []
    assert world.clusters() == set()


def test_finish_shows_what_it_destroys_and_ends_the_run(world: World) -> None:
    run = world.new_run()
    mine = reaper.start(world.store, run)
    world.create_cluster(run, "one")
    world.store.put_resource(Resource(run, "cluster", "half-made", "intended", world.create_cluster(run, "two").spec))
    world.store.record(run, StageResult("e2e", "cell", Status.RUNNING, started=time.time()))
    child = sleeper(**{RUN_VARIABLE: run})
    shown: list[str] = []

    assert mine.finish(shown.append) == []

    assert any("destroyed cluster one" in line for line in shown)
    eventually(lambda: world.is_gone(run), "the reaper's own end")
    assert child.wait(5) == -signal.SIGTERM
    assert world.store.results(run)["e2e cell"].status == Status.CANCELLED
    record = world.store.run(run)
    assert record and record.finished


@pytest.mark.parametrize("seed", range(5))
def test_kill_9_of_the_controller_leaves_nothing(world: World, seed: int) -> None:
    foreign = world.create_cluster(world.new_run(), "foreign")
    bystander = sleeper(**{RUN_VARIABLE: foreign.run})
    controller, run = world.controller()
    time.sleep(random.Random(seed).random() * 0.6)

    controller.kill()
    controller.wait()

    eventually(lambda: world.is_gone(run), "the reaper's work", 10)
    assert world.states(foreign.run) == {"foreign": "live"} and world.clusters() == {"foreign"}
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


@pytest.mark.parametrize("signals", [[signal.SIGINT, signal.SIGINT], [signal.SIGTERM], [signal.SIGHUP, signal.SIGINT]])
def test_signals_to_the_terminals_process_group_leave_nothing(world: World, signals: list[signal.Signals]) -> None:
    controller, run = world.controller()
    eventually(world.clusters, "the first cluster")
    for number in signals:
        os.killpg(controller.pid, number)
        time.sleep(0.05)
    assert controller.wait(20) != 0
    eventually(lambda: world.is_gone(run), "the reaper's work", 10)


def test_a_signal_to_the_reaper_itself_does_not_end_it(world: World) -> None:
    run = world.new_run()
    mine = reaper.start(world.store, run)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(mine.pid, number)
    world.create_cluster(run, "one", state="released")
    eventually(lambda: not world.clusters(), "the reaper's work")
    assert mine.finish(lambda text: None) == []


def test_a_destroy_that_fails_twice_is_tried_again(world: World) -> None:
    run = world.new_run()
    mine = reaper.start(world.store, run)
    world.create_cluster(run, "stubborn")
    (world.root / "fail-stubborn").write_text("2")
    assert mine.finish(lambda text: None) == []
    assert world.states(run) == {"stubborn": "destroyed"} and world.attempts("stubborn") == 3


def test_a_reaper_that_was_killed_is_replaced_at_the_end(world: World) -> None:
    run = world.new_run()
    mine = reaper.start(world.store, run)
    world.create_cluster(run, "one")
    os.kill(mine.pid, signal.SIGKILL)
    assert mine.finish(lambda text: None) == []
    eventually(lambda: world.is_gone(run), "the new reaper's own end")


def test_the_next_run_ends_what_no_reaper_could(world: World) -> None:
    controller, run = world.controller()
    eventually(world.clusters, "the first cluster")
    for process in processes.of_reaper(run):
        processes.send(process, signal.SIGKILL)
    controller.kill()
    controller.wait()

    other = world.new_run()
    mine = reaper.start(world.store, other)
    eventually(lambda: world.is_gone(run), "the other run's reaper")
    assert mine.finish(lambda text: None) == []


@pytest.fixture
def dead() -> int:
    """A pid that no process has."""
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def test_what_was_left_is_destroyed_by_a_process_of_its_own(world: World, dead: int) -> None:
    left, other = world.new_run(dead), world.new_run()
    world.create_cluster(left, "left")
    (world.root / "fail-left").write_text("1")
    mine = reaper.start(world.store, other)
    eventually(lambda: world.attempts("left"), "the first attempt")

    adopted = processes.of_reaper(left)
    assert adopted and not set(adopted) & set(processes.of_reaper(other)), "each run's reaper is known by its run"
    assert mine.finish(lambda text: None) == []

    eventually(lambda: world.is_gone(left), "the end of what was left, though the run that found it is over")


def test_a_bad_record_keeps_no_other_run_from_being_ended(world: World, dead: int) -> None:
    bad = "bad"
    world.store.create_run(RunRecord(bad, time.time() - 60, None, dead, {}))
    world.store.put_resource(Resource(bad, "cluster", "strange", "live", {}))
    left, other = world.new_run(dead), world.new_run()
    world.create_cluster(left, "left")
    mine = reaper.start(world.store, other)
    try:
        eventually(lambda: world.is_gone(left), "the other's end", 15)
        assert mine.finish(lambda text: None) == []
    finally:
        for process in processes.of_reaper(bad):
            processes.send(process, signal.SIGKILL)


def test_who_waits_for_another_that_destroys_does_not_spin(
    world: World, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = world.new_run(dead)
    world.create_cluster(run, "kept", state="kept", expires=time.time() - 1)
    assert reaper.acquire(world.store, run), "this process is the one that destroys"
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            world.store.set_resource(run, "cluster", "kept", "destroyed")

    monkeypatch.setattr(reaper_process, "time", SimpleNamespace(sleep=sleep, time=time.time))
    reaper_process._wait_for_kept(world.store, run)
    assert len(pauses) == 3 and min(pauses) >= 1


def test_what_is_kept_outlives_the_run_until_it_expires(world: World) -> None:
    run = world.new_run()
    mine = reaper.start(world.store, run)
    world.create_cluster(run, "kept", state="kept", expires=time.time() + 600)
    machine = sleeper(**{RUN_VARIABLE: run, RESOURCE_VARIABLE: "cluster/kept"})

    assert mine.finish(lambda text: None) == []

    assert world.clusters() == {"kept"} and machine.poll() is None
    waiting = Process.of(mine.pid)
    assert waiting, "the reaper waits for the kept cluster to expire"
    assert _descriptor(mine.pid, 0) == "/dev/null", "SQLite would be given it, and lose its locks over it"
    machine.kill()
    machine.wait()
    processes.end_all(lambda: [] if waiting.is_dead else [waiting])


def _descriptor(pid: int, number: int) -> str:
    path = Path(f"/proc/{pid}/fd/{number}")
    return str(path.readlink()) if path.is_symlink() else "closed"


def test_what_expires_is_destroyed_in_the_background(world: World) -> None:
    run = world.new_run()
    mine = reaper.start(world.store, run)
    world.create_cluster(run, "kept", state="kept", expires=time.time() + 0.5)
    assert mine.finish(lambda text: None) == []
    eventually(lambda: world.is_gone(run), "the kept cluster's end")


def test_a_run_has_one_reaper(world: World) -> None:
    run = world.new_run()
    mine = reaper.start(world.store, run)
    with pytest.raises(CrosscloudError, match="did not start"):
        reaper.start(world.store, run)
    assert mine.finish(lambda text: None) == []
