"""The pool: what fits what, and who gets it when many want it at once."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_crosscloud import paths
from pytest_crosscloud.model import Ref
from pytest_crosscloud.run import cluster_lease, pool, takeover
from pytest_crosscloud.run.leases import LeaseLost
from pytest_crosscloud.run.store import Resource

from .standin import World

REF = Ref("stable", "v1.36.3")


def pooled(world: World, run: str, name: str, *, seconds: float = 600.0, registries: tuple[str, ...] = ()) -> Resource:
    """A cluster that the run has left in the pool, with its lease."""
    made = world.create_cluster(run, name)
    lease = cluster_lease.take(world.store.leases(), run, cluster_lease.of_cluster(name))
    spec = {
        **made.spec,
        "lease": cluster_lease.to_spec(lease),
        "fingerprint": pool.fingerprint("files", REF, "amd64", 0, {}),
        "registries": list(registries),
    }
    resource = Resource(run, "cluster", name, "pooled", spec, expires=time.time() + seconds)
    world.store.put_resource(resource)
    return resource


def test_a_fingerprint_is_of_all_that_makes_a_cluster_another() -> None:
    made_of = ("aws", REF, "amd64", 2, {"region": "a", "zone": "b"})
    same = ("aws", Ref("other name", "v1.36.3"), "amd64", 2, {"zone": "b", "region": "a"})
    assert pool.fingerprint(*made_of) == pool.fingerprint(*same)
    others = {0: "gce", 1: Ref("stable", "v1.36.3", commit="abc"), 2: "arm64", 3: 1, 4: {"region": "a"}}
    for index, value in others.items():
        other = [*made_of[:index], value, *made_of[index + 1 :]]
        assert pool.fingerprint(*other) != pool.fingerprint(*made_of), value  # type: ignore[arg-type]


def test_only_what_fits_is_offered_and_the_longest_to_stay_first(world: World) -> None:
    run = world.new_run()
    for name, seconds in (("long", 900.0), ("short", 300.0), ("over", -1.0)):
        pooled(world, run, name, seconds=seconds, registries=("198.18.0.1:5000",))
    pooled(world, run, "elsewhere", registries=("198.18.0.2:5000",))
    wanted = pool.fingerprint("files", REF, "amd64", 0, {})
    assert [found.name for found in pool.waiting(world.store, wanted, ["198.18.0.1:5000"])] == ["long", "short"]
    assert pool.waiting(world.store, wanted, ["198.18.0.3:5000"]) == []
    assert pool.waiting(world.store, pool.fingerprint("files", REF, "amd64", 1, {})) == []


def test_who_acted_for_the_old_run_has_lost_the_lease(world: World) -> None:
    old, new = world.new_run(), world.new_run()
    resource = pooled(world, old, "a")
    leases = world.store.leases()
    former = cluster_lease.recorded(resource)
    ours = takeover.take(world.store, leases, resource, new, target="t")
    assert former and ours and (ours.run, ours.state, ours.spec["target"]) == (new, "live", "t")
    held = leases.holder("cluster/a")
    assert held and held.owner == f"run/{new}" and held.token == ours.spec["lease"]["token"] > former.token
    with pytest.raises(LeaseLost):
        leases.renew(former, 60)
    assert takeover.take(world.store, leases, resource, world.new_run()) is None, "it is gone"
    assert world.states(old) == {}


def test_what_another_has_the_lease_of_is_not_taken(world: World) -> None:
    old, new = world.new_run(), world.new_run()
    resource = pooled(world, old, "a")
    leases = world.store.leases()
    former = cluster_lease.recorded(resource)
    assert former
    leases.release(former)
    theirs = leases.acquire("cluster/a", "run/third", 600)
    assert takeover.take(world.store, leases, resource, new) is None
    assert world.states(new) == {"a": "lost"}
    assert leases.holder("cluster/a") == theirs


_RACE = """
import sys
from pytest_crosscloud.run import pool, takeover
from pytest_crosscloud.run.store import open_store
store, run, wanted = open_store(), *sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
for resource in pool.waiting(store, wanted):
    if takeover.take(store, store.leases(), resource, run):
        print(resource.name)
        break
"""


def test_eight_processes_race_for_three_clusters(world: World) -> None:
    old = world.new_run()
    for name in "abc":
        pooled(world, old, name)
    wanted = pool.fingerprint("files", REF, "amd64", 0, {})
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _RACE, f"racer{number}", wanted],
            cwd=Path(__file__).parents[2],
            env={"XDG_STATE_HOME": str(paths.state().parent), "HOME": "/nowhere"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    for racer in racers:
        assert racer.stdout and racer.stdout.readline() == "ready\n"
    said = [racer.communicate("go\n", timeout=60)[0].strip() for racer in racers]
    assert sorted(name for name in said if name) == ["a", "b", "c"]
    assert [racer.returncode for racer in racers] == [0] * 8
    winners = {name: f"run/racer{number}" for number, name in enumerate(said) if name}
    for name, owner in winners.items():
        held = world.store.leases().holder(f"cluster/{name}")
        assert held and held.owner == owner
    owners = {resource.name: f"run/{resource.run}" for resource in world.store.resources()}
    assert owners == winners
