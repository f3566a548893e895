"""examples/project-repository, a maintainer's own, beside the wheel. On a cluster: e2e/projects/test_repository.py."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.test_install import listed, run, wheel

__all__ = ["wheel"]  # the fixture

REPOSITORY = Path(__file__).parents[1] / "examples/project-repository"
WORKFLOW = REPOSITORY / ".github/workflows/crosscloud.yml"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(REPOSITORY, tmp_path / "tally"))


def test_beside_the_wheel_its_one_file_is_found_and_keeps_the_contract(wheel: Path, copy: Path) -> None:
    assert (copy / listed(copy, wheel)["tally"]).samefile(copy / "conftest.py")
    lines = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", sites=(wheel,))
    assert lines[-1].startswith("4 passed, 2 skipped"), lines


def test_its_cell_is_what_its_workflow_runs(wheel: Path, copy: Path) -> None:
    """The workflow's command lines, on another cloud, collect the bundled suite and the repository's own tests."""
    collected = [
        line.rpartition("::")[2]
        for command in _commands()
        for line in run(copy, "-m", *command, "--collect-only", "-q", "-p", "no:cacheprovider", sites=(wheel,))
        if "[tally" in line
    ]
    assert collected == [
        "test_build[tally-head]",
        "test_e2e[tally-head-local]",
        "test_what_runs_is_what_was_built[tally-head-local]",
        "test_votes_are_counted_behind_the_api_server[tally-head-local]",
    ]


def _commands() -> list[list[str]]:
    """The workflow's runs of pytest over the matrix, on the local cloud."""
    steps = yaml.safe_load(WORKFLOW.read_text())["jobs"]["cell"]["steps"]
    lines = [step["run"] for step in steps if "--clouds=kind" in step.get("run", "")]
    return [line[line.index("pytest") :].replace("=kind", "=local").replace("-n auto ", "").split() for line in lines]


def test_the_workflow_needs_no_secret_and_may_write_nothing() -> None:
    text = WORKFLOW.read_text()
    workflow: dict[Any, Any] = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in text
    assert "pull_request" in workflow[True], "YAML reads `on` as a truth"
    assert "pull_request_target" not in text


@pytest.mark.skipif(not shutil.which("go"), reason="go is not installed")
@pytest.mark.parametrize("folder", [".", "e2e"])
def test_its_go_programs_pass_their_own_tests(folder: str) -> None:
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}
    for command in (["go", "vet", "./..."], ["go", "test", "./..."]):
        done = subprocess.run(command, cwd=REPOSITORY / folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    unformatted = subprocess.run(["gofmt", "-l", "."], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert unformatted.stdout == ""
