"""What builds need: a stage, a cache of their own, a real registry, and a module proxy of files."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from pytest_crosscloud.build import registry, resolve
from pytest_crosscloud.stage import StageContext
from tests.build.module_proxy import ModuleProxy


@pytest.fixture(autouse=True)
def cache_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own; Go keeps its build cache, or each test would compile its standard library."""
    if shutil.which("go"):
        shown = subprocess.run(["go", "env", "GOCACHE"], capture_output=True, text=True, check=True)
        monkeypatch.setenv("GOCACHE", shown.stdout.strip())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(resolve, "_remotes", {})
    return tmp_path / "cache" / "crosscloud"


@pytest.fixture
def progress() -> list[str]:
    """What the stage said, in order."""
    return []


@pytest.fixture
def stage(tmp_path: Path, progress: list[str]) -> StageContext:
    limit = time.monotonic() + 300
    return StageContext("build sample", "test", tmp_path / "stage", deadline=limit, on_progress=progress.append)


@pytest.fixture(scope="session")
def registry_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real registry on 127.0.0.1, as a run without root has it."""
    if not shutil.which("docker-registry"):
        pytest.skip("docker-registry is not installed")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        directory = tmp_path_factory.mktemp("registry")
        started = registry.start(f"test-{os.getpid()}", directory, lambda spec: None, storage=directory / "storage")
    yield started.host
    registry.release(started.spec)


@pytest.fixture
def commit(tmp_path: Path) -> Callable[[Mapping[str, str]], str]:
    """Commits files to a git repository and returns the sha; the repository is ``tmp_path / "git"``."""
    directory = tmp_path / "git"
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.test"]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(directory), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def make(files: Mapping[str, str]) -> str:
        if not directory.exists():
            directory.mkdir()
            git("init", "--quiet", "--initial-branch=main")
        for name, content in files.items():
            (directory / name).write_text(content)
        git("add", ".")
        git("commit", "--quiet", "--allow-empty", "--message=change")
        return git("rev-parse", "HEAD")

    return make


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleProxy]:
    if not shutil.which("go"):
        pytest.skip("go is not installed")
    monkeypatch.setenv("GOPROXY", f"file://{tmp_path / 'proxy'}")
    monkeypatch.setenv("GONOSUMDB", "*")
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "modules"))
    yield ModuleProxy(tmp_path / "proxy")
    # Go makes its module cache read-only, and pytest could not remove it.
    subprocess.run(["go", "clean", "-modcache"], check=True)
