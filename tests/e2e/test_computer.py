"""What a run may leave on this computer is seen there, whoever's it is; and what is another run's is left out."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pytest_crosscloud.run.leases_sqlite import Database
from tests.e2e.computer import Computer

pytestmark = pytest.mark.root


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return uuid.uuid4().hex[:8]


@pytest.fixture
def undone() -> Iterator[ExitStack]:
    """Takes back what a test leaves on purpose."""
    with ExitStack() as stack:
        yield stack


def do(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True, timeout=30)


def rule(undone: ExitStack, *words: str) -> None:
    do("iptables", "--wait=10", "-A", "FORWARD", *words, "-j", "ACCEPT")
    undone.callback(do, "iptables", "--wait=10", "-D", "FORWARD", *words, "-j", "ACCEPT")


def bridge(undone: ExitStack, name: str, *alias: str) -> None:
    do("ip", "link", "add", name, "type", "bridge")
    undone.callback(do, "ip", "link", "delete", name)
    if alias:
        do("ip", "link", "set", name, "alias", *alias)


def mount(undone: ExitStack, point: Path) -> None:
    point.mkdir(parents=True)
    do("mount", "-t", "tmpfs", "left", str(point))
    undone.callback(do, "umount", str(point))


def group(undone: ExitStack, run: str) -> None:
    point = next(line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if " cgroup" in line)
    made = Path(point, f"of-{run}")
    made.mkdir()
    undone.callback(made.rmdir)


def process(undone: ExitStack, **env: str) -> None:
    started = subprocess.Popen(["sleep", "600"], env={**os.environ, **env})
    undone.callback(started.wait)
    undone.callback(started.kill)


def lease(run: str, expires: float) -> None:
    owner = {"name": f"cluster/xc-{run}-local", "owner": f"run/{run}", "expires": expires}
    path = Path(os.environ["XDG_STATE_HOME"], "crosscloud", "crosscloud-leases.db")
    path.parent.mkdir(parents=True, exist_ok=True)
    register = Database(path)
    assert register.replace(owner["name"], register.read(owner["name"]).version, json.dumps(owner))  # type: ignore[arg-type]
    register.close()


def test_all_that_names_the_run_is_seen(run: str, undone: ExitStack, tmp_path: Path) -> None:
    before = Computer()
    assert before.left(run) == []
    rule(undone, "-i", "lo", "-m", "comment", "--comment", f"of {run}")
    bridge(undone, f"x{run}", f"any:{run}")
    mount(undone, tmp_path / run)
    group(undone, run)
    process(undone, ANY=f"of-{run}")
    lease(run, expires=4e9)
    (tmp_path / "state" / "crosscloud" / "machines" / f"xc-{run}-local.0").mkdir(parents=True)
    kinds = {line.split()[0] for line in before.left(run)}
    assert kinds == {"rule", "interface", "mount", "cgroup", "process", "lease", "disk"}
    assert "process" in {line.split()[0] for line in Computer().left(run)}, (
        "who runs is the run's, also if it did before"
    )
    assert not [line for line in before.left(f"{run}1") if run in line], "another run, by its first letters"
    undone.close()
    lease(run, expires=0)
    (tmp_path / "state" / "crosscloud" / "machines" / f"xc-{run}-local.0").rmdir()
    assert before.left(run) == []


def test_what_nobody_names_is_seen_once_it_stays(run: str, undone: ExitStack, tmp_path: Path) -> None:
    before = Computer()
    other = uuid.uuid4().hex
    rule(undone, "-s", "198.19.254.0/24")
    bridge(undone, f"cc{other[:9]}")
    mount(undone, tmp_path / "crosscloud" / "root")
    address = f"198.18.255.{int(other[-2:], 16)}/32"
    do("ip", "address", "add", address, "dev", "lo")
    undone.callback(do, "ip", "address", "del", address, "dev", "lo")
    assert any(address.rpartition("/")[0] in line for line in before.left(run, patience=0))
    with socket.create_server((address.rpartition("/")[0], 0)):
        assert not any(address.rpartition("/")[0] in line for line in before.left(run, patience=0)), "it is in use"
    # At least: others may be making theirs just now.
    assert {line.split()[0] for line in before.left(run, patience=0)} >= {"rule", "interface", "mount", "address"}


def test_what_others_have_is_not_the_runs(run: str, undone: ExitStack, tmp_path: Path) -> None:
    before = Computer()
    other = uuid.uuid4().hex[:9]
    rule(undone, "-i", f"cc{other}", "-m", "comment", "--comment", f"crosscloud:{other}:xc-{other}-local")
    rule(undone, "-i", "docker0")
    bridge(undone, f"cc{other}", f"crosscloud:{other}:xc-{other}-local")
    mount(undone, tmp_path / f"xc-{other}-local.0")
    process(undone, CROSSCLOUD_RUN=other)
    lease(other, expires=4e9)
    assert before.left(run) == []


def test_a_reaper_has_time_for_its_last_report_and_no_more(run: str, undone: ExitStack) -> None:
    before = Computer()
    process(undone, CROSSCLOUD_RUN=run, CROSSCLOUD_REAPER=run)
    (line,) = [line for line in before.left(run, patience=0) if line.startswith("process ")]
    assert line.endswith(" sleep")
    undone.close()
    assert before.left(run) == []
