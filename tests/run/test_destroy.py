"""Destroying: attempts, what is recorded of them, and what is left to destroy."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pytest_crosscloud.deploy import helm
from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.model import StageName, StageResult, Status
from pytest_crosscloud.run import context, processes
from pytest_crosscloud.run.destroy import Destruction, Owner, left
from pytest_crosscloud.run.processes import Process
from pytest_crosscloud.run.store import Resource
from pytest_crosscloud.stage import StageContext

from .standin import World, sleeper


def destroy(world: World, run: str, *resources: Resource, backoff: tuple[float, ...] = (0, 0)) -> list[str]:
    record = world.store.run(run)
    assert record
    said: list[str] = []
    destruction = Destruction(world.store, Owner(record, world.store), said.append, backoff)
    for resource in resources:
        destruction.add(resource)
    destruction.finish()
    return said


def test_a_destroy_that_always_fails_is_recorded_with_its_reason(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "very-secret")
    run = world.new_run()
    cluster = world.create_cluster(run, "stuck")
    (world.root / "fail-stuck").write_text("99")
    plugin = world.root / "clouds" / "files.py"
    plugin.write_text(plugin.read_text().replace("the cloud says no", "the cloud refuses very-secret"))

    said = destroy(world, run, cluster)

    assert world.attempts("stuck") == 3
    (resource,) = world.store.resources(run)
    assert (resource.state, resource.error) == ("failed", "the cloud refuses [redacted]")
    assert not any("very-secret" in line for line in said)


def test_what_cannot_be_destroyed_is_told_with_what_it_costs(world: World) -> None:
    run = world.new_run()
    cluster = world.create_cluster(run, "stuck")
    (world.root / "fail-stuck").write_text("99")
    plugin = world.root / "clouds" / "files.py"
    plugin.write_text(plugin.read_text().replace('name="files"', 'name="files", billing="machines, by the hour"'))
    destroy(world, run, cluster)
    (resource,) = world.store.resources(run)
    assert resource.error.endswith("\n  meanwhile it costs: machines, by the hour")


def test_while_it_is_tried_again_the_state_stays_and_says_why(world: World) -> None:
    run = world.new_run()
    cluster = world.create_cluster(run, "stubborn")
    (world.root / "fail-stubborn").write_text("1")
    destroy(world, run, cluster)
    assert world.store.resources(run)[0].state == "destroyed"
    assert world.store.resources(run)[0].error == ""


def test_what_still_comes_after_its_creators_death_is_destroyed(world: World) -> None:
    """Its create had been sent; the cloud had not got to it when the reaper looked for the first time."""
    plugin = world.root / "clouds" / "files.py"
    late = '(late := ROOT / f"late-{request.name}").exists() and late.rename(ROOT / "exists" / request.name)'
    text = plugin.read_text().replace('name="files"', 'name="files", settles=0.01')
    plugin.write_text(text.replace("@hookimpl", f"        {late}\n\n@hookimpl"))
    run = world.new_run()
    (world.root / "late-coming").touch()
    clusters = [world.create_cluster(run, name, state="released") for name in ("coming", "seen")]
    world.store.record(run, StageResult(StageName.PROVISION, "seen", Status.SUCCESS))

    destroy(world, run, *clusters)

    assert world.clusters() == set()
    assert (world.attempts("coming"), world.attempts("seen")) == (2, 1)


def test_one_that_fails_does_not_hold_up_the_others(world: World) -> None:
    run = world.new_run()
    clusters = [world.create_cluster(run, name) for name in ("a", "b", "c")]
    (world.root / "fail-b").write_text("99")
    destroy(world, run, *clusters)
    assert world.states(run) == {"a": "destroyed", "b": "failed", "c": "destroyed"}


@pytest.mark.parametrize("cluster_first", [True, False])
@pytest.mark.parametrize("refusals", [0, 1, 9])
def test_a_release_on_somebody_elses_cluster_goes_before_the_kubeconfig_does(
    world: World, monkeypatch: pytest.MonkeyPatch, refusals: int, cluster_first: bool
) -> None:
    run = world.new_run()
    cluster = world.create_cluster(run, "theirs", state="released")
    spec = {"cluster": "theirs", "kubeconfig": "there", "namespace": "cell", "release": "demo"}
    release = Resource(run, "release", "cell", "intended", spec)
    world.store.put_resource(release)
    seen = []

    def remove(kubeconfig: str, namespace: str, name: str, stage: StageContext) -> None:
        seen.append((kubeconfig, namespace, name, world.clusters()))
        if len(seen) <= refusals:
            raise CrosscloudError("Helm says no")

    monkeypatch.setattr(helm, "remove", remove)
    destroy(world, run, *((cluster,) if cluster_first else left(world.store, run)))

    assert set(map(str, seen)) == {str(("there", "cell", "demo", {"theirs"}))}
    assert world.states(run) == dict.fromkeys(("theirs", "cell"), "failed" if refusals > 2 else "destroyed")
    errors = {resource.name: resource.error for resource in world.store.resources(run)}
    assert errors == (
        {"cell": "Helm says no", "theirs": "there is still the release cell"}
        if refusals > 2
        else {"cell": "", "theirs": ""}
    )
    assert world.clusters() == ({"theirs"} if refusals > 2 else set()), "clean tries again, with its KUBECONFIG"


def test_what_is_being_destroyed_is_not_begun_again(world: World) -> None:
    run = world.new_run()
    cluster = world.create_cluster(run, "one")
    (world.root / "fail-one").write_text("1")
    destroy(world, run, cluster, cluster, cluster, backoff=(0.3,))
    assert world.attempts("one") == 2


def test_a_clusters_secrets_go_with_it(world: World) -> None:
    run = world.new_run()
    cluster = world.create_cluster(run, "one")
    directory = context.directory(run) / "clusters" / "one"
    directory.mkdir(parents=True)
    (directory / "ca.key").write_text("secret")
    elsewhere = Path(world.root / "elsewhere")
    elsewhere.mkdir()
    other = world.create_cluster(run, "two")
    destroy(world, run, cluster, Resource(run, "cluster", "two", "live", {**other.spec, "directory": str(elsewhere)}))
    assert not directory.exists() and elsewhere.exists()


def test_a_cloud_that_nobody_declares_any_more_is_named(world: World) -> None:
    run = world.new_run()
    cluster = world.create_cluster(run, "one")
    (world.root / "clouds" / "files.py").unlink()
    destroy(world, run, cluster)
    assert "'files'" in world.store.resources(run)[0].error


def test_a_recorded_process_is_ended_and_a_later_one_with_its_pid_is_not(world: World) -> None:
    run = world.new_run()
    child, other = sleeper(), sleeper()
    process = Process.of(child.pid)
    assert process
    recycled = Process(other.pid, 1, processes.this_host())
    destroy(
        world,
        run,
        Resource(run, "process", "mine", "live", {"process": str(process)}),
        Resource(run, "process", "recycled", "live", {"process": str(recycled)}),
    )
    assert child.wait(5) != 0
    assert other.poll() is None
    other.kill()
    other.wait()


def test_left_is_what_is_neither_destroyed_nor_kept_for_longer(world: World) -> None:
    run = world.new_run()
    for state in ("intended", "live", "released", "failed", "destroyed"):
        world.create_cluster(run, state, state=state)
    world.create_cluster(run, "kept", state="kept", expires=time.time() + 60)
    world.create_cluster(run, "expired", state="kept", expires=time.time() - 1)
    expected = {"intended", "live", "released", "failed", "expired"}
    assert {resource.name for resource in left(world.store, run)} == expected
    assert {resource.name for resource in left(world.store, run, kept=True)} == expected | {"kept"}
