"""The run's registry: a real docker-registry, without root."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud.build import registry
from pytest_crosscloud.build.distribution import Repository
from pytest_crosscloud.build.images import File, ImageConfig, write
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.run import processes
from pytest_crosscloud.stage import StageContext

pytestmark = pytest.mark.skipif(not shutil.which("docker-registry"), reason="docker-registry is not installed")


class Starter:
    """Starts registries of runs of its own, and ends all of them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.specs: list[dict[str, Any]] = []

    def __call__(self) -> registry.Registry:
        run = f"test-{uuid.uuid4()}"
        return registry.start(run, self._directory / run, self.specs.append, storage=self._directory / "storage")


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Starter]:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    starter = Starter(tmp_path)
    yield starter
    for spec in starter.specs:
        registry.release(spec)


def running(spec: dict[str, Any]) -> list[processes.Process]:
    return processes.of_resource(spec["run"], registry.RESOURCE)


def test_registries_of_two_runs_share_what_was_pushed(start: Starter, tmp_path: Path, stage: StageContext) -> None:
    first, second = start(), start()
    assert first.host != second.host
    image = write(tmp_path / "image", [File("/a", b"a")], ImageConfig("amd64", ["/a"]))
    digest = Repository(first.host, "some/image").push(image, "v1", stage)
    assert digest == image.manifest.digest
    assert Repository(second.host, "some/image").digest("v1") == digest
    registry.release(first.spec)
    assert Repository(second.host, "some/image").digest(digest) == digest


def test_another_process_ends_it_by_what_was_recorded(start: Starter) -> None:
    start()
    (spec,) = start.specs
    assert len(running(spec)) == 1
    code = f"from pytest_crosscloud.build import registry; registry.release({spec!r}); registry.release({spec!r})"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert running(spec) == []


def test_it_is_recorded_before_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_spawn", lambda *arguments: pytest.fail("made before it was recorded"))

    def refuse(spec: dict[str, Any]) -> None:
        raise OSError("the store is full")

    with pytest.raises(OSError, match="the store is full"):
        registry.start("test", tmp_path, refuse)


def test_a_port_in_use_is_passed_over(start: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(registry, "PORT", port)
        assert int(start().host.rpartition(":")[2]) > port
        monkeypatch.setattr(registry, "PORTS", 1)
        with pytest.raises(StageError, match=rf"ports {port} to {port} of 127.0.0.1 are in use") as caught:
            start()
    assert "--registry" in caught.value.remedy


def test_a_port_that_is_taken_at_the_last_moment_is_passed_over(
    start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = start()
    port = int(other.host.rpartition(":")[2])
    monkeypatch.setattr(registry, "_free_ports", lambda address: iter([port, port + 1000]))
    assert start().host == f"127.0.0.1:{port + 1000}"


def test_a_registry_that_does_not_come_up_says_why_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    broken = tmp_path / "bin" / "docker-registry"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho configuration error >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}:{os.environ['PATH']}")
    specs: list[dict[str, Any]] = []
    with pytest.raises(StageError, match=r"did not come up.*configuration error"):
        registry.start(f"test-{uuid.uuid4()}", tmp_path, specs.append, storage=tmp_path / "storage")
    assert running(specs[0]) == []


def test_without_the_program_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StageError) as caught:
        registry.start("test", tmp_path, lambda spec: None)
    assert caught.value.error_class == "configuration"
    assert "apt-get install docker-registry" in caught.value.remedy


def test_an_ip_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ip"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(registry, "DEADLINE", 0.2)
    with pytest.raises(StageError, match="`ip -json address show dev lo` did not end"):
        registry.release({"run": f"test-{uuid.uuid4()}"})
