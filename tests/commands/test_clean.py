"""``crosscloud clean``: what it lists, what it destroys, and what it leaves alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_crosscloud import cli
from pytest_crosscloud.run import context, processes
from pytest_crosscloud.run.processes import REAPER_VARIABLE
from tests.run.standin import World, eventually, sleeper


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("pytest_crosscloud.machine.runs", list)  # this computer's own machines are none of the world's
    world = World(tmp_path / "root")
    monkeypatch.chdir(world.root)  # the rootdir, where it has no configuration file
    yield world
    world.store.close()


@pytest.fixture
def dead() -> int:
    """A pid that no process has."""
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def test_what_a_killed_run_and_its_killed_reaper_left_is_destroyed(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    controller, run = world.controller()
    eventually(world.clusters, "the first cluster")
    for process in processes.of_reaper(run):
        processes.send(process, signal.SIGKILL)
    controller.kill()
    controller.wait()

    assert cli.main(["clean", "--dry-run"]) == 0
    assert f"{run}-0" in capsys.readouterr().out
    assert world.clusters(), "a dry run destroys nothing"

    assert cli.main(["clean"]) == 0
    assert world.is_gone(run)
    assert "nothing is left behind" in capsys.readouterr().out
    assert cli.main(["clean"]) == 0


def test_runs_that_live_and_what_is_kept_are_left_alone(world: World, dead: int) -> None:
    living = world.new_run()
    world.create_cluster(living, "living")
    over = world.new_run(dead)
    world.create_cluster(over, "kept", state="kept", expires=time.time() + 60)
    world.create_cluster(over, "expired", state="kept", expires=time.time() - 1)

    assert cli.main(["clean"]) == 0

    assert world.clusters() == {"living", "kept"}


def test_a_given_run_is_destroyed_with_what_it_keeps(world: World, dead: int) -> None:
    over, other = world.new_run(dead), world.new_run(dead)
    world.create_cluster(over, "kept", state="kept", expires=time.time() + 60)
    world.create_cluster(other, "other")
    assert cli.main(["clean", "--run", over]) == 0
    assert world.clusters() == {"other"}


def test_a_run_that_lives_is_ended_only_when_told_to(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    controller, run = world.controller()
    eventually(world.clusters, "the first cluster")
    assert cli.main(["clean", "--all"]) == cli.EXIT_USAGE
    assert "--yes" in capsys.readouterr().err
    assert controller.poll() is None
    assert cli.main(["clean", "--all", "--yes"]) == 0
    assert controller.wait(10) != 0
    assert world.is_gone(run)


def test_a_recycled_pid_does_not_make_a_run_alive(world: World) -> None:
    run = world.new_run()
    world.create_cluster(run, "left")
    world.store._db.execute("UPDATE runs SET started = started - 864000")  # long before this process was
    assert cli.main(["clean"]) == 0
    assert world.clusters() == set()


def test_what_cannot_be_destroyed_is_named_with_its_reason(
    world: World, dead: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_crosscloud.run.destroy.BACKOFF", (0,))
    run = world.new_run(dead)
    world.create_cluster(run, "stuck")
    (world.root / "fail-stuck").write_text("99")
    assert cli.main(["clean"]) == 1
    assert "cluster stuck is not destroyed: the cloud says no" in capsys.readouterr().err
    (world.root / "fail-stuck").unlink()
    assert cli.main(["clean"]) == 0
    assert world.clusters() == set()


def test_json_lists_runs_and_what_they_own(world: World, dead: int, capsys: pytest.CaptureFixture[str]) -> None:
    run = world.new_run(dead)
    world.create_cluster(run, "one", state="kept", expires=9e9)
    assert cli.main(["clean", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)["runs"]
    assert (listed["run"], listed["is"]) == (run, "kept")
    assert listed["resources"] == [{"kind": "cluster", "name": "one", "state": "kept", "expires": 9e9, "error": ""}]


def test_an_unknown_run_is_a_usage_error(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["clean", "--run", "nope"]) == cli.EXIT_USAGE
    assert "no run 'nope'" in capsys.readouterr().err


#: What this cloud has of a run is the files whose names begin with the run's id; ``broken`` makes it unreachable.
TAGGED = """
from pathlib import Path
from pytest_crosscloud import hookimpl
from pytest_crosscloud.model import Cloud

THERE = Path(__file__).parents[1] / "exists"

class Tagged(Cloud):
    def owned(self, run):
        if (THERE / "broken").exists():
            raise OSError("no route to the cloud")
        return [path.name for path in THERE.glob(f"{run}.*")]
    def runs(self):
        return {path.name.partition(".")[0] for path in THERE.glob("*.vm")}
    def sweep(self, run):
        for name in self.owned(run):
            if not name.endswith("stuck"):
                (THERE / name).unlink()

@hookimpl
def crosscloud_clouds():
    return [Tagged(name="tagged")]
"""


#: A cloud that lists nothing, unless more is written of it.
MUTE = """
from pytest_crosscloud import hookimpl
from pytest_crosscloud.model import Cloud

@hookimpl
def crosscloud_clouds():
    return [Mute(name="mute")]

class Mute(Cloud):
    def provision(self, request): ...
"""


@pytest.fixture
def tagged(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    (world.root / "clouds" / "tagged.py").write_text(TAGGED)
    monkeypatch.setattr("pytest_crosscloud.machine.runs", list)  # what this computer's own cloud has is not the tests'
    return world


def test_a_run_of_another_computer_is_found_by_its_tag(tagged: World, capsys: pytest.CaptureFixture[str]) -> None:
    (tagged.exists / "0dd0.vm").touch()
    (tagged.exists / "beef.vm").touch()
    assert cli.main(["clean", "--run", "0dd0", "--dry-run"]) == 0
    assert "0dd0.vm" in capsys.readouterr().out
    assert cli.main(["clean", "--run", "0dd0"]) == cli.EXIT_USAGE, "it may live there"
    assert tagged.clusters() == {"0dd0.vm", "beef.vm"}
    assert cli.main(["clean", "--run", "0dd0", "--yes"]) == 0
    assert tagged.clusters() == {"beef.vm"}


def test_an_empty_run_is_no_plain_clean(world: World, dead: int, capsys: pytest.CaptureFixture[str]) -> None:
    world.create_cluster(world.new_run(dead), "orphan")
    assert cli.main(["clean", "--run", ""]) == cli.EXIT_USAGE
    assert "--run names nothing" in capsys.readouterr().err
    assert world.clusters() == {"orphan"}


def test_a_cloud_that_does_not_answer_is_no_success(tagged: World, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = tagged.root / "clouds" / "tagged.py"
    plugin.write_text(
        plugin.read_text().replace("def runs(self):", "def runs(self):\n        raise OSError('no route')")
    )
    assert cli.main(["clean", "--all"]) == 1
    assert "tagged may have more" in capsys.readouterr().out
    assert cli.main(["clean", "--all", "--dry-run"]) == 1


def test_of_a_cloud_that_cannot_list_nobody_says_that_nothing_is_left(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = world.root / "clouds" / "mute.py"
    plugin.write_text(MUTE)
    assert cli.main(["clean", "--all"]) == 1
    said = capsys.readouterr()
    assert said.err.rstrip().endswith("no way to list what carries a run's tag: mute")
    assert "mute may have more" in said.out and "nothing is left" not in said.out
    assert cli.main(["clean", "--all", "--json"]) == 1
    assert "mute" in json.loads(capsys.readouterr().out)["not_asked"]
    assert cli.main(["clean", "--all", "--dry-run"]) == 1
    assert cli.main(["clean", "--run", "0dd0"]) == cli.EXIT_USAGE
    assert "no way to list what carries a run's tag: mute" in capsys.readouterr().err

    assert cli.main(["clean"]) == 0, "which asks no cloud"
    plugin.write_text(
        MUTE + "    def owned(self, run):\n        return []\n    def runs(self):\n        return ['feed']\n"
    )
    capsys.readouterr()
    assert cli.main(["clean", "--all"]) == 0, "a value of the tag that nothing carries is no run"
    said = capsys.readouterr()
    assert "nothing is left behind on the clouds that were asked" in said.out
    assert "aws" in said.err, "its credentials are not set"


def test_a_cloud_that_destroys_nothing_by_tag_says_so(tagged: World, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = tagged.root / "clouds" / "tagged.py"
    plugin.write_text(plugin.read_text().replace("def sweep", "def no_sweep"))
    (tagged.exists / "0dd0.vm").touch()
    assert cli.main(["clean", "--run", "0dd0", "--yes"]) == 1
    said = capsys.readouterr()
    assert "tagged has 0dd0.vm: destroy them there" in said.out
    assert "destroying 0dd0.vm" not in said.out


def test_a_known_runs_clouds_are_asked_as_they_are_configured(
    tagged: World, dead: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where its region is a variable of cross-cloud.yml, another would have nothing of the run."""
    plugin = tagged.root / "clouds" / "tagged.py"
    text = plugin.read_text().replace(
        'THERE.glob(f"{run}.*")', 'THERE.glob(f"{run}.*") if self.variables.get("region")'
    )
    plugin.write_text(text)
    (tagged.root / "cross-cloud.yml").write_text("clouds: {tagged: {variables: {region: here}}}")
    run = tagged.new_run(dead)
    (tagged.exists / f"{run}.vm").touch()
    assert cli.main(["clean", "--run", run]) == 0
    assert tagged.clusters() == set()


def test_all_finds_runs_of_other_computers_by_their_tags(tagged: World, capsys: pytest.CaptureFixture[str]) -> None:
    reaper = sleeper(**{REAPER_VARIABLE: "feed"})  # of a run of this computer that another store knows
    (tagged.exists / "feed.vm").touch()
    (tagged.exists / "0dd0.vm").touch()
    (tagged.exists / "beef.vm").touch()
    assert cli.main(["clean", "--all", "--dry-run"]) == 0
    assert "0dd0.vm" in capsys.readouterr().out
    assert cli.main(["clean", "--all"]) == cli.EXIT_USAGE, "they may live there"
    assert cli.main(["clean"]) == 0
    assert tagged.clusters() == {"0dd0.vm", "beef.vm", "feed.vm"}
    assert cli.main(["clean", "--all", "--yes"]) == 0
    assert tagged.clusters() == {"feed.vm"}
    reaper.kill()
    reaper.wait()


def test_what_a_cloud_still_has_of_a_run_is_destroyed_or_named(
    tagged: World, dead: int, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tagged.new_run(dead)
    tagged.create_cluster(run, "known")
    for name in ("vm", "stuck"):
        (tagged.exists / f"{run}.{name}").touch()
    assert cli.main(["clean", "--all"]) == 1
    assert tagged.clusters() == {f"{run}.stuck"}
    assert f"tagged {run}.stuck is not destroyed" in capsys.readouterr().err


def test_a_cloud_that_cannot_be_asked_is_not_taken_for_empty(
    tagged: World, dead: int, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tagged.new_run(dead)
    (tagged.exists / "broken").touch()
    assert cli.main(["clean", "--run", run]) == 1
    assert "no route to the cloud" in capsys.readouterr().err
    assert cli.main(["clean", "--run", "0dd0"]) == cli.EXIT_USAGE
    assert "no route to the cloud" in capsys.readouterr().err


def test_runs_that_are_long_over_and_own_nothing_are_forgotten(world: World, dead: int) -> None:
    def run(days: float, state: str) -> str:
        id_ = world.new_run(dead)
        world.create_cluster(id_, id_, state=state, expires=9e9)
        world.store._db.execute(
            "UPDATE runs SET started = ?1, finished = ?1 WHERE id = ?2", (time.time() - days * 86400, id_)
        )
        context.directory(id_).mkdir(parents=True)
        return id_

    over, recent, owner = run(31, "destroyed"), run(29, "destroyed"), run(31, "kept")
    lost, new = context.directory("lost"), context.directory("new")
    lost.mkdir()
    new.mkdir()
    os.utime(lost, (0, time.time() - 31 * 86400))

    assert cli.main(["clean", "--run", recent]) == 0
    assert len(world.store.runs()) == 3, "one run is cleaned, no other is touched"
    assert cli.main(["clean"]) == 0

    assert {found.id for found in world.store.runs()} == {recent, owner}
    assert {path.name for path in new.parent.iterdir()} == {recent, owner, "new"}
    assert not world.store.resources(over)
