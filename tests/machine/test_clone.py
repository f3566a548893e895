"""Clones share what is never written again, and only that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_crosscloud.machine import bolt, clone

BLOB = "var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/aa"
SNAPSHOTS = "var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    disk = tmp_path / "source"
    for path in (BLOB, f"{SNAPSHOTS}/1/fs/bin/sh", f"{SNAPSHOTS}/2/fs/log", "var/lib/etcd/db"):
        (disk / path).parent.mkdir(parents=True, exist_ok=True)
        (disk / path).write_text(path)
    return disk


def shared(source: Path, target: Path) -> set[str]:
    """Files that are the same on both disks, not only alike."""
    files = [path.relative_to(source) for path in source.rglob("*") if path.is_file()]
    assert files == [path.relative_to(target) for path in target.rglob("*") if path.is_file()]
    assert all((source / path).read_bytes() == (target / path).read_bytes() for path in files)
    return {str(path) for path in files if (source / path).samefile(target / path)}


def test_blobs_and_committed_snapshots_are_shared(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = {
        (b"v1", b"snapshots", b"a layer"): {b"id": b"\x01", b"kind": b"\x03"},
        (b"v1", b"snapshots", b"a container"): {b"id": b"\x02", b"kind": b"\x02"},
    }
    monkeypatch.setattr(bolt, "read", lambda path: records)
    clone.clone(source, tmp_path / "target")
    assert shared(source, tmp_path / "target") == {BLOB, f"{SNAPSHOTS}/1/fs/bin/sh"}


def test_snapshots_are_copied_if_containerds_records_cannot_be_read(source: Path, tmp_path: Path) -> None:
    (source / SNAPSHOTS).parent.joinpath("metadata.db").write_text("no database")
    clone.clone(source, tmp_path / "target")
    assert shared(source, tmp_path / "target") == {BLOB}


def test_modes_links_holes_and_fifos_survive_and_sockets_do_not(source: Path, tmp_path: Path) -> None:
    folder = source / "var/lib/kubelet"
    folder.mkdir(mode=0o700)
    (folder / "key").write_text("k")
    (folder / "key").chmod(0o600)
    (folder / "link").symlink_to("key")
    os.mkfifo(folder / "fifo")
    os.mknod(folder / "socket", 0o140600)
    with (folder / "holes").open("wb") as file:
        file.truncate(64 << 20)
        file.seek(32 << 20)
        file.write(b"middle")
    clone.clone(source, tmp_path / "target")
    copy = tmp_path / "target/var/lib/kubelet"
    assert copy.stat().st_mode & 0o777 == 0o700
    assert (copy / "key").stat().st_mode & 0o777 == 0o600
    assert (copy / "link").readlink() == Path("key")
    assert (copy / "fifo").is_fifo()
    assert not (copy / "socket").exists()
    assert (copy / "holes").read_bytes() == (folder / "holes").read_bytes()
    assert (copy / "holes").stat().st_blocks * 512 < 1 << 20


@pytest.mark.parametrize(("data", "number"), [(b"\x00", 0), (b"\x7f", 127), (b"\x80\x01", 128), (b"\xac\x02", 300)])
def test_numbers_of_go(data: bytes, number: int) -> None:
    assert clone._uvarint(data) == number
