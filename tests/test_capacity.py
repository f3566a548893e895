"""What this computer has to give, within limits that a container may set."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from pytest_crosscloud import capacity
from pytest_crosscloud.capacity import Room
from pytest_crosscloud.machine import cgroups

GIB = 2**30


def test_the_kernels_own_figures_count(tmp_path: Path) -> None:
    there = capacity.available(tmp_path / "not" / "made" / "yet")
    assert 0 < there.memory < 2**50
    assert there.disk > 0
    assert there.processes > 0
    assert there.watches > 0
    assert capacity.lacking(0, 5, tmp_path) == []


def test_what_lacks_is_said_with_what_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(capacity, "available", lambda directory: Room(2 * GIB, 1 * GIB, 500, 100))
    assert capacity.lacking(2, 0, tmp_path) == []
    assert capacity.lacking(2, 2, tmp_path) == [
        "memory: 2304 MiB needed, 2048 MiB available",
        f"disk: 1280 MiB needed, 1024 MiB free in {tmp_path}",
        "processes: 720 needed, 500 more allowed",
        "inotify instances: 112 needed, 100 left; sysctl -w fs.inotify.max_user_instances=1024 allows more",
    ]


def test_whoever_watches_files_takes_of_what_there_is(tmp_path: Path) -> None:
    before = capacity.available(tmp_path).watches
    libc = ctypes.CDLL(None, use_errno=True)
    descriptors = [libc.inotify_init() for _ in range(20)]
    try:
        assert before - capacity.available(tmp_path).watches > 10  # others may end theirs meanwhile
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


V1 = "g {0}/m cgroup rw,memory 0 0\ng {0}/p cgroup rw,pids 0 0\n"
V2 = "g {0}/m cgroup2 rw 0 0\n"


@pytest.mark.parametrize(
    ("mounts", "files"),
    [
        (V1, {"m/memory.limit_in_bytes": 400, "m/memory.usage_in_bytes": 300, "p/pids.max": 50, "p/pids.current": 20}),
        (V2, {"m/memory.max": 400, "m/memory.current": 300, "m/pids.max": 50, "m/pids.current": 20}),
    ],
)
def test_a_containers_limits_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mounts: str, files: dict[str, int]
) -> None:
    for folder in ("m", "p"):
        (tmp_path / folder).mkdir()
    for name, value in files.items():
        (tmp_path / name).write_text(f"{value}\n")
    (tmp_path / "m" / "memory.stat").write_text("cache 100\ninactive_file 60\n")
    monkeypatch.setattr(cgroups, "current", lambda: cgroups.layout(mounts.format(tmp_path)))
    there = capacity.available(tmp_path)
    assert (there.memory, there.processes) == (400 - 300 + 60, 30)


def test_a_group_without_limits_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "memory.max").write_text("max\n")
    (tmp_path / "m" / "pids.max").write_text("max\n")
    monkeypatch.setattr(cgroups, "current", lambda: cgroups.layout(V2.format(tmp_path)))
    assert capacity.available(tmp_path).memory > GIB // 8
