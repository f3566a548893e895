"""What is said of full disks, and the room that is set aside for them."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_crosscloud import disk
from pytest_crosscloud.model import ErrorClass


def test_a_folder_without_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=disk.NEEDED)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert disk.lacking([tmp_path / "not" / "there"]) == []
    usage.free -= 1
    assert disk.lacking([tmp_path / "not" / "there"]) == [f"{tmp_path}/not/there: 63 MiB free, a run needs 64"]


def test_a_full_disk_is_infrastructure_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError) as raised, Path("/dev/full").open("wb", buffering=0) as full:
        full.write(b"x")
    assert disk.is_full(raised.value)
    raised.value.filename = "/var/x"
    failure = disk.failure(raised.value, ())
    assert failure.error_class == ErrorClass.INFRASTRUCTURE
    assert failure.message == "no space left on device: /var/x"
    raised.value.filename = None
    none = SimpleNamespace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: none)
    assert disk.failure(raised.value, [tmp_path]).message == (
        f"no space left on device: {tmp_path}: 0 MiB free, a run needs 64"
    )
    assert disk.says_full("go: write $WORK/b001/_pkg_.a: No space left on device")
    assert not disk.is_full(FileNotFoundError(2, "no such file"))


def test_the_reserve_takes_up_room_once_and_gives_it_back_once(tmp_path: Path) -> None:
    reserve = disk.Reserve(tmp_path / "reserve")
    reserve.fill()
    reserve.fill()
    (file,) = tmp_path.iterdir()
    assert file.stat().st_blocks * 512 >= 2**20
    assert reserve.spend()
    assert not reserve.spend()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_too_full_for_the_reserve_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, start: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", refuse)
    reserve = disk.Reserve(tmp_path / "reserve")
    reserve.fill()
    assert list(tmp_path.iterdir()) == []
    assert not reserve.spend()
