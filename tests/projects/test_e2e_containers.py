"""The Go programs of bundled projects have tests of their own; and what e2e containers share is one source."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_crosscloud import paths

CONTAINERS = sorted(path.parent for path in paths.data("projects").glob("*/e2e/go.mod"))
PROGRAMS = sorted(path.parent for path in paths.data("projects").glob("*/*/go.mod"))
SHARED = sorted(paths.data("projects", "checks").glob("*.go"))


@pytest.mark.skipif(not shutil.which("go"), reason="go is not installed")
@pytest.mark.parametrize("directory", PROGRAMS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_its_own_tests_pass(directory: Path) -> None:
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}
    for command in (["go", "vet", "./..."], ["go", "test", "./..."]):
        done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    unformatted = subprocess.run(["gofmt", "-l", "."], cwd=directory, capture_output=True, text=True, check=True)
    assert unformatted.stdout == ""


@pytest.mark.parametrize("directory", CONTAINERS, ids=lambda path: path.parent.name)
def test_the_checks_that_projects_share_are_links(directory: Path) -> None:
    links = {path.name: str(path.readlink()) for path in directory.glob("*.go") if path.is_symlink()}
    assert links == {source.name: f"../../checks/{source.name}" for source in SHARED if source.name in links}
    assert "report.go" in links, "else it writes its JUnit file in a way of its own"
