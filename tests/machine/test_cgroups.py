"""Which control groups machines get, decided from what is mounted."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.machine import cgroups
from pytest_crosscloud.machine.cgroups import Hierarchy, Layout

V1_ONE_BY_ONE = """\
tmpfs /sys/fs/cgroup tmpfs rw,relatime,mode=755 0 0
cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
"""

V2_ONLY = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime,nsdelegate,memory_recursiveprot 0 0\n"


def test_v1_hierarchies_are_used_beside_an_empty_v2_one() -> None:
    layout = cgroups.layout(V1_ONE_BY_ONE)
    assert [hierarchy.options for hierarchy in layout.v1] == ["cpu", "memory", "name=systemd"]
    assert [hierarchy.folder for hierarchy in layout.v1] == ["cpu", "memory", "systemd"]
    assert layout.v2 == Hierarchy(Path("/sys/fs/cgroup/unified"))


def test_joint_controllers_are_one_hierarchy() -> None:
    text = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,nodev,cpu,cpuacct 0 0\n"
    assert [hierarchy.options for hierarchy in cgroups.layout(text).v1] == ["cpu,cpuacct"]


def test_a_hierarchy_mounted_twice_counts_once() -> None:
    text = "cgroup /a cgroup rw,cpu 0 0\ncgroup /b cgroup rw,cpu 0 0\n"
    assert cgroups.layout(text).v1 == (Hierarchy(Path("/a"), "cpu"),)


def test_v2_only() -> None:
    assert cgroups.layout(V2_ONLY) == Layout((), Hierarchy(Path("/sys/fs/cgroup")))


def test_a_named_v1_hierarchy_alone_does_not_make_it_v1() -> None:
    text = V2_ONLY + "cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n"
    assert cgroups.layout(text).v1 == ()


def test_no_control_groups_is_an_error_with_a_remedy() -> None:
    with pytest.raises(CrosscloudError, match="mount -t cgroup2"):
        cgroups.layout("proc /proc proc rw 0 0\n")


@pytest.fixture
def v2(tmp_path: Path) -> Layout:
    """A folder that looks like a cgroup v2 mount, as far as files can."""
    _controllers(tmp_path)
    return Layout((), Hierarchy(tmp_path))


def _controllers(group: Path) -> None:
    group.mkdir(exist_ok=True)
    (group / "cgroup.controllers").write_text("cpuset cpu io memory pids rdma\n")
    (group / "cgroup.subtree_control").write_text("memory\n")


def test_v2_delegates_controllers_down_to_the_machine_but_not_in_it(
    v2: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "_make", _controllers)  # the kernel fills a new group
    assert v2.v2
    cgroups.create(v2, "r1", "m1")
    for group in ("", "crosscloud", "crosscloud/r1"):
        assert (v2.v2.mount_point / group / "cgroup.subtree_control").read_text() == "+cpuset +cpu +io +pids"
    # Its first process will be in the machine's own group: controllers there are for its systemd to hand on.
    assert (v2.v2.mount_point / "crosscloud/r1/m1/cgroup.subtree_control").read_text() == "memory\n"


def test_a_v1_cpuset_group_gets_its_parents_cpus(tmp_path: Path) -> None:
    (tmp_path / "cpuset.cpus").write_text("0-1\n")
    (tmp_path / "cpuset.mems").write_text("0\n")
    cgroups.create(Layout((Hierarchy(tmp_path, "cpuset"),), None), "r1", "m1")
    assert (tmp_path / "crosscloud/r1/m1/cpuset.cpus").read_text() == "0-1\n"
    assert (tmp_path / "crosscloud/r1/m1/cpuset.mems").read_text() == "0\n"


def test_removing_a_machines_groups_leaves_other_machines_and_runs(tmp_path: Path) -> None:
    layout = Layout((Hierarchy(tmp_path, "memory"),), None)
    for run, name in (("r1", "m1"), ("r1", "m2"), ("r2", "m3")):
        cgroups.create(layout, run, name)
    (tmp_path / "crosscloud/r1/m1/kubepods/pod1").mkdir(parents=True)
    cgroups.remove(layout, "r1", "m1", timeout=0)
    assert [group.name for group in cgroups.groups_of(layout, "r1")] == ["m2"]
    cgroups.remove(layout, "r1", "m2", timeout=0)
    assert [path.name for path in (tmp_path / "crosscloud").iterdir()] == ["r2"]
    cgroups.remove(layout, "r2", "m3", timeout=0)
    assert not (tmp_path / "crosscloud").exists()


def test_removing_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    cgroups.remove(Layout((Hierarchy(tmp_path, "memory"),), None), "r1", "m1", timeout=0)
