"""What is missing is named with its remedy."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from pytest_crosscloud import paths
from pytest_crosscloud.machine import cgroups, linux
from pytest_crosscloud.machine import preflight as function
from pytest_crosscloud.machine.cgroups import Hierarchy, Layout
from pytest_crosscloud.toolchain import debian
from pytest_crosscloud.toolchain.pins import load

preflight = sys.modules[function.__module__]  # the package has a function of this name


def test_without_root_that_is_all_there_is_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert [line.split(":")[0] for line in function()] == ["machines need root"]


@pytest.mark.parametrize("program", preflight._PROGRAMS)
def test_a_missing_program_comes_with_its_package(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(debian, "is_there", lambda name: name != program)
    (line,) = preflight._programs()
    assert line == f"{program} is missing: apt-get install {load()['debian'][program]}"


def test_the_network_plugins_of_the_nodes_are_looked_for() -> None:
    """In terraform/modules/kubeadm: what the pods' network is configured with."""
    module = paths.data("terraform", "modules", "kubeadm", "main.tf").read_text()
    used = set(re.findall(r'\btype = "([a-z-]+)"', module[module.index("cniVersion") :].split("})")[0]))
    assert {"ptp", "host-local", "portmap"} <= used
    assert {f"/usr/lib/cni/{name}" for name in used} <= set(preflight._PROGRAMS)


def test_a_missing_capability_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(linux, "has_capability", lambda number: number != 12)
    assert function() == ["root lacks CAP_NET_ADMIN: run on the host itself, or in a container with --privileged"]


def test_a_missing_v1_hierarchy_comes_with_its_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("cpu,cpuacct", "cpuset", "memory", "pids")
    layout = Layout(tuple(Hierarchy(Path("/sys/fs/cgroup", name), name) for name in names), None)
    monkeypatch.setattr(cgroups, "current", lambda: layout)
    (line,) = preflight._cgroups()
    assert line.startswith("no cgroup hierarchy name=systemd: ")
    assert "mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd" in line


def test_missing_v2_controllers_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    monkeypatch.setattr(cgroups, "current", lambda: Layout((), Hierarchy(tmp_path)))
    assert [line.partition(":")[0] for line in preflight._cgroups()] == ["no cgroup controllers cpuset, pids"]


def test_a_state_directory_on_an_overlay_or_without_room_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_file_system", lambda path: "overlay")
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 5 << 20}))
    overlay, room = preflight._disk()
    assert "on an overlay" in overlay
    assert "5 MiB free" in room


def test_the_file_system_of_a_path_is_that_of_the_longest_mount_point() -> None:
    assert preflight._file_system(Path("/proc/self")) == "proc"
