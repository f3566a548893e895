"""Limits on clusters as the engine keeps them: strictly, whoever asks, and with a word for who waits."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, cast

import pytest

from pytest_crosscloud.errors import DeadlineExceeded, StageError
from pytest_crosscloud.run import context, slots
from pytest_crosscloud.run.context import Run
from pytest_crosscloud.run.limits import Limit
from pytest_crosscloud.run.store import Resource
from pytest_crosscloud.stage import StageContext

from .standin import World, eventually


class Slots:
    """A run with clusters a, b and c, of which a limit lets two be there."""

    def __init__(self, world: World, tmp_path: Path) -> None:
        self.world = world
        self.id = world.new_run()
        self.directory = context.directory(self.id)
        (self.directory / "locks").mkdir(parents=True)
        self.store = world.store
        self.limits = (Limit(2, "--max-clusters", frozenset("abc")),)
        self.said: list[str] = []
        self.out = tmp_path

    def take(self, name: str, seconds: float = 30.0) -> None:
        intent = Resource(self.id, "cluster", f"xc-{name}", "intended", {"target": name})
        stage = StageContext(f"provision {name}", self.id, self.out, time.monotonic() + seconds, self.said.append)
        try:
            slots.take(cast(Run, self), intent, stage)
        finally:
            if threading.current_thread() is not threading.main_thread():
                self.store.close()

    def set(self, name: str, state: str) -> None:
        self.store.set_resource(self.id, "cluster", f"xc-{name}", state)

    @property
    def states(self) -> dict[str, Any]:
        return {resource.name: resource.state for resource in self.store.resources(self.id)}


@pytest.fixture
def limited(world: World, tmp_path: Path) -> Slots:
    return Slots(world, tmp_path)


def test_a_cluster_counts_until_it_is_destroyed(limited: Slots) -> None:
    limited.take("a")
    limited.take("b")
    limited.set("a", "released")
    waiting = threading.Thread(target=limited.take, args=("c",))
    waiting.start()
    eventually(lambda: limited.said, "a word for who waits")
    assert limited.said[0] == "waiting for 2 of 3 at a time (--max-clusters): xc-a, xc-b must be destroyed first"
    assert limited.states == {"xc-a": "released", "xc-b": "intended"}
    limited.set("a", "destroyed")
    waiting.join(20)
    assert limited.states["xc-c"] == "intended"


def test_what_is_kept_counts_not(limited: Slots) -> None:
    limited.take("a")
    limited.take("b")
    limited.set("b", "kept")
    limited.take("c", seconds=5.0)
    assert limited.states["xc-c"] == "intended"


def test_another_attempt_at_a_cluster_needs_no_second_slot(limited: Slots) -> None:
    limited.take("a")
    limited.take("b")
    limited.take("b", seconds=5.0)


def test_the_deadline_names_what_was_in_the_way(limited: Slots) -> None:
    limited.take("a")
    limited.take("b")
    with pytest.raises(DeadlineExceeded, match=r"deadline exceeded while waiting for .*: xc-a, xc-b must be destroyed"):
        limited.take("c", seconds=0.3)
    assert "xc-c" not in limited.states


def test_nobody_waits_for_what_cannot_be_destroyed(limited: Slots) -> None:
    for name in "ab":
        limited.take(name)
        limited.set(name, "failed")
    with pytest.raises(StageError, match="xc-a, xc-b could not be destroyed") as error:
        limited.take("c")
    assert "crosscloud clean" in error.value.remedy


def test_many_at_once_get_no_more_than_there_are(limited: Slots) -> None:
    limited.limits = (Limit(3, "--max-clusters", frozenset("abcdefgh")),)
    threads = [threading.Thread(target=limited.take, args=(name,), daemon=True) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for _ in threads:
        eventually(lambda: "intended" in limited.states.values(), "a cluster")
        there = [name for name, state in limited.states.items() if state == "intended"]
        assert len(there) <= 3
        limited.set(there[0].removeprefix("xc-"), "destroyed")
    for thread in threads:
        thread.join(20)
    assert len(limited.states) == 8
