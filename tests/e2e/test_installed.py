"""What a stranger does: installs the wheel and a third party's, and runs the main job in an empty directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.job import Job
from tests.test_install import EXAMPLE, REPOSITORY, build_wheel

pytestmark = [pytest.mark.root, pytest.mark.skipif(not shutil.which("uv"), reason="uv is not installed")]


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment with both packages in it, and what they say that they depend on, as uv installs it."""
    wheels = [build_wheel(project, tmp_path / project.name) for project in (REPOSITORY, EXAMPLE)]
    made = tmp_path / "environment"
    run("uv", "venv", "--quiet", "--no-project", "--python", sys.executable, made)
    install = ("uv", "pip", "install", "--quiet", "--python", made / "bin/python")
    # The versions of this environment: what its installation has left in uv's cache will do, without a network.
    versions = ("--constraint", REPOSITORY / "requirements.lock")
    try:
        run(*install, "--offline", *versions, *wheels)
    except subprocess.CalledProcessError:
        run(*install, *versions, *wheels)
    return made


def run(*command: object) -> str:
    """What a program prints; nothing of this environment is in its way."""
    alone = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    argv = [str(part) for part in command]
    return subprocess.run(argv, env=alone, stdout=subprocess.PIPE, text=True, timeout=300, check=True).stdout


def test_installed_from_wheels_the_main_job_is_green_in_an_empty_directory(
    environment: Path, start: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    rows = [line.split("\t") for line in run(environment / "bin/crosscloud", "list").splitlines()]
    files = {row[1]: Path(row[-1]) for row in rows}
    assert {"local", "coredns", "lab", "httpbin"} <= files.keys()
    assert {name for name, file in files.items() if not file.is_relative_to(environment)} == set()

    job = start("--refs=stable", files=None, pytest=[environment / "bin/pytest"])

    assert job.wait() == 0, job.text
    (cell,) = job.cells().values()
    assert [stage["status"] for stage in cell["stages"].values()] == ["success"] * 4
    assert job.traces() == []
    assert {path.name for path in job.log.parent.iterdir()} <= {"reports", "pytest.log", ".pytest_cache"}
