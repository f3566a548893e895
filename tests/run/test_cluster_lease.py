"""The lease of a cluster: who works on it or destroys it proves that it is the run's, and stops when it is not."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.model import ErrorClass
from pytest_crosscloud.run import cluster_lease
from pytest_crosscloud.run.cluster_lease import Guard, Keeper, owning, prove, recorded, take, to_spec
from pytest_crosscloud.run.destroy import Destruction, Owner, left
from pytest_crosscloud.run.leases import Lease, LeaseLost, Leases
from pytest_crosscloud.run.registers import RegisterLeases
from pytest_crosscloud.run.store import Resource
from pytest_crosscloud.stage import StageContext

from .standin import World, eventually


@pytest.fixture
def leases(world: World) -> Leases:
    return world.store.leases()


def lose(leases: Leases, lease: Lease, to: str = "run/another") -> Lease:
    """Another run has the lease now."""
    leases.release(lease)
    theirs = leases.acquire(lease.name, to, 3600)
    assert theirs
    return theirs


def leased(world: World, run: str, name: str, lease: Lease, state: str = "live") -> Resource:
    resource = world.create_cluster(run, name)
    resource = Resource(run, "cluster", name, state, {**resource.spec, "lease": to_spec(lease)})
    world.store.put_resource(resource)
    return resource


def test_a_run_takes_its_lease_on_from_its_own_process_and_from_no_other_run(leases: Leases) -> None:
    first = take(leases, "ours", "cluster/a")
    assert first.owner == "run/ours"
    assert take(leases, "ours", "cluster/a").token == first.token, "an attempt after one whose worker died"
    with pytest.raises(LeaseLost, match="cluster/a belongs to run/ours now") as caught:
        take(leases, "theirs", "cluster/a")
    assert caught.value.is_final and caught.value.error_class == ErrorClass.INFRASTRUCTURE


def test_what_was_cut_off_between_two_steps_is_still_the_runs(leases: Leases, world: World) -> None:
    run = world.new_run()
    lease = take(leases, run, "cluster/a")
    resource = leased(world, run, "a", lease)
    leases.release(lease)  # and killed before it was taken anew
    again = prove(leases, resource)
    assert again and again.token > lease.token
    # Taken anew, and killed before that was recorded.
    assert prove(leases, resource) == leases.holder("cluster/a")


def test_what_has_no_lease_needs_no_proof(leases: Leases, world: World) -> None:
    assert prove(leases, world.create_cluster(world.new_run(), "a")) is None


# -- a stage at work ------------------------------------------------------------------------------------------


@pytest.fixture
def stage(tmp_path: Path) -> StageContext:
    return StageContext("deploy a", "ours", tmp_path, time.monotonic() + 60)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_lease, "LOOK", 0.02)


@pytest.mark.parametrize("work", ["program", "wait"])
def test_a_stage_that_lost_its_lease_stops_by_itself(leases: Leases, stage: StageContext, work: str) -> None:
    lease = take(leases, "ours", "cluster/a")
    began = threading.Event()

    def waiting() -> bool:
        began.set()
        return False

    def steal() -> None:
        began.wait(30)
        lose(leases, lease)

    thief = threading.Thread(target=steal)
    thief.start()
    with Guard(leases, lease) as guard, pytest.raises(LeaseLost, match="cluster/a"):
        stage.guard = guard.check
        if work == "program":
            stage.command(["sh", "-c", "echo began; sleep 600"], on_line=lambda line: began.set())
        else:
            stage.wait_until(waiting, "nothing", interval=0.01)
    thief.join()


def test_a_guard_renews_what_nobody_does(leases: Leases) -> None:
    lease = leases.acquire("cluster/a", "run/ours", 0.001)
    assert lease
    with Guard(leases, lease) as guard:
        eventually(lambda: leases.holder("cluster/a"), "a renewal")
        guard.check()


def test_a_lease_that_cannot_be_confirmed_is_lost_after_its_time(
    leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_lease, "TTL", 0.2)
    lease = take(leases, "ours", "cluster/a")

    class Unreachable(RegisterLeases):
        def __init__(self) -> None:
            self.close = leases.close  # type: ignore[method-assign]

        def holder(self, name: str) -> Lease | None:
            raise CrosscloudError("no answer")

    with Guard(Unreachable(), lease) as guard:
        guard.check()  # at once it is no reason to stop
        with pytest.raises(LeaseLost, match="could not be confirmed: no answer"):
            eventually(guard.check, "the end of its time")


# -- the reaper -----------------------------------------------------------------------------------------------


def test_the_keeper_renews_what_the_run_owns(leases: Leases, world: World) -> None:
    run = world.new_run()
    names = ("live", "kept", "destroyed")
    held: dict[str, Lease] = {}
    for name in names:
        lease = leases.acquire(f"cluster/{name}", f"run/{run}", 1)
        assert lease
        held[name] = lease
        leased(world, run, name, lease, state=name)

    Keeper(world.store, leases, run, print).look()

    renewed = {name: lease for name in names if (lease := leases.holder(f"cluster/{name}"))}
    assert {name for name in renewed if renewed[name].expires > held[name].expires + 30} == {"live", "kept"}


def test_what_is_lost_is_neither_destroyed_nor_asked_for_again(leases: Leases, world: World) -> None:
    run = world.new_run()
    lease = take(leases, run, "cluster/a")
    leased(world, run, "a", lease)
    theirs = lose(leases, lease)
    said: list[str] = []

    Keeper(world.store, leases, run, said.append).look()

    assert world.states(run) == {"a": "lost"}
    assert any("cluster a" in line for line in said)
    assert left(world.store, run, kept=True) == []
    assert leases.holder("cluster/a") == theirs


def test_the_destroyer_leaves_alone_what_another_token_owns(leases: Leases, world: World) -> None:
    run = world.new_run()
    lease = take(leases, run, "cluster/a")
    resource = leased(world, run, "a", lease, state="released")
    lose(leases, lease)
    record = world.store.run(run)
    assert record
    said: list[str] = []
    destruction = Destruction(world.store, Owner(record, world.store), said.append, backoff=(0.0,))
    destruction.add(resource)
    destruction.finish()
    assert world.clusters() == {"a"}, "it is another's"
    assert world.attempts("a") == 0
    assert world.states(run) == {"a": "lost"}
    assert any("belongs to run/another" in line for line in said)


def test_a_cluster_that_is_destroyed_gives_its_lease_back(leases: Leases, world: World) -> None:
    run = world.new_run()
    resource = leased(world, run, "a", take(leases, run, "cluster/a"), state="released")
    record = world.store.run(run)
    assert record
    destruction = Destruction(world.store, Owner(record, world.store), print, backoff=())
    destruction.add(resource)
    destruction.finish()
    assert world.states(run) == {"a": "destroyed"}
    assert leases.holder("cluster/a") is None


def test_a_destroyer_that_loses_the_lease_meanwhile_stops(
    leases: Leases, world: World, stage: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_lease, "TTL", 0.1)
    run = world.new_run()
    resource = leased(world, run, "a", take(leases, run, "cluster/a"))
    lease = recorded(resource)
    assert lease
    with pytest.raises(LeaseLost, match="while it was being destroyed"), owning(leases, resource, stage):
        lose(leases, lease)
        stage.wait_until(lambda: False, "terraform", interval=0.01)
