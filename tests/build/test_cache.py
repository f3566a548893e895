"""An unchanged input is not built again; a build that was killed does not count."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from pytest_crosscloud.build import cache
from pytest_crosscloud.build.distribution import Repository
from pytest_crosscloud.build.images import File, ImageConfig, Layout, write
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.stage import StageContext


class Maker:
    """Makes the image ``made/image`` and counts in a file how often it did."""

    def __init__(self, directory: Path) -> None:
        self.count = directory / "count"

    def __call__(self, folder: Path) -> None:
        with self.count.open("a") as count:
            count.write("x")
        write(folder / "made" / "image", [File("/a", b"a")], ImageConfig("amd64", ["/a"]))

    @property
    def times(self) -> int:
        return self.count.stat().st_size if self.count.exists() else 0


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


def pinned(stage: StageContext, host: str, make: Maker, key: str = "key") -> tuple[str, bool]:
    (pin,), kept = cache.pinned(stage, host, key, {"MADE": "made/image"}, "v1", make)
    assert (pin.name, pin.image, pin.tag) == ("MADE", f"{host}/made/image", "v1")
    return pin.digest, kept


def test_what_was_built_is_not_built_again(stage: StageContext, registry_host: str, make: Maker) -> None:
    assert not cache.is_kept("key")
    digest, kept = pinned(stage, registry_host, make)
    assert not kept
    assert cache.is_kept("key")
    assert pinned(stage, registry_host, make) == (digest, True)
    assert make.times == 1
    pinned(stage, registry_host, make, "another key")
    assert make.times == 2


def test_another_registry_gets_the_image_without_a_build(
    stage: StageContext, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = []

    def push(repository: Repository, layout: Layout, tag: str, stage: StageContext) -> str:
        pushed.append(repository.host)
        return layout.manifest.digest

    monkeypatch.setattr(Repository, "push", push)
    for host in ("one.example.test", "two.example.test"):
        pinned(stage, host, make)
    assert pushed == ["one.example.test", "two.example.test"]
    assert make.times == 1


def test_a_build_that_lost_a_file_is_made_again(
    stage: StageContext, registry_host: str, make: Maker, cache_directory: Path
) -> None:
    pinned(stage, registry_host, make)
    layout = Layout(cache_directory / "builds" / "key" / "made" / "image")
    layout.path(list(layout.blobs())[1].digest).unlink()
    assert not cache.is_kept("key")
    pinned(stage, registry_host, make)
    assert make.times == 2
    assert cache.is_kept("key")


def _build(host: str, directory: Path) -> None:
    stage = StageContext("build sample", "test", directory / "other", deadline=time.monotonic() + 60)
    pinned(stage, host, Maker(directory))


def test_two_runs_at_once_build_once(registry_host: str, tmp_path: Path, make: Maker) -> None:
    processes = [multiprocessing.Process(target=_build, args=(registry_host, tmp_path)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert make.times == 1


def _die_half_way(directory: Path) -> None:
    def make(folder: Path) -> None:
        write(folder / "made" / "image", [File("/a", b"half")], ImageConfig("amd64", ["/a"]))
        os.kill(os.getpid(), signal.SIGKILL)

    stage = StageContext("build sample", "test", directory / "other")
    cache.pinned(stage, "unused.example.test", "key", {"MADE": "made/image"}, "v1", make)


def test_a_build_that_was_killed_does_not_count(
    stage: StageContext, registry_host: str, tmp_path: Path, make: Maker
) -> None:
    process = multiprocessing.Process(target=_die_half_way, args=(tmp_path,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert not cache.is_kept("key")
    _, kept = pinned(stage, registry_host, make)
    assert not kept
    assert make.times == 1


def test_a_full_disk_is_said(stage: StageContext, cache_directory: Path) -> None:
    def make(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StageError, match=f"no space left in {cache_directory / 'builds'}") as caught:
        cache.pinned(stage, "unused.example.test", "key", {"MADE": "made/image"}, "v1", make)
    assert caught.value.error_class == "infrastructure"


def test_fingerprints_differ_with_each_input_and_its_place() -> None:
    inputs = [("a", "b"), ("b", "a"), ("ab",), ("a", "b", ""), ("a", ["b"]), ("a", {"b": ""})]
    assert len({cache.fingerprint(*each) for each in inputs}) == len(inputs)
    assert cache.fingerprint({"a": 1, "b": 2}) == cache.fingerprint({"b": 2, "a": 1})
