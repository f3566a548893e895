"""The example of a third party's package: built, installed beside, and found."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.test_cli import CROSSCLOUD

PACKAGE = Path(__file__).parents[1] / "examples/pytest-crosscloud-example"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with the example's wheel in it."""
    folder = tmp_path_factory.mktemp("example")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(build, cwd=PACKAGE, capture_output=True, timeout=60, check=True)
    [wheel] = (folder / "dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def crosscloud(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        [*CROSSCLOUD, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_list_shows_its_cloud_and_its_project(site: Path, tmp_path: Path) -> None:
    done = crosscloud(site, tmp_path, "list")
    assert (done.returncode, done.stderr) == (0, "")
    file = f"{site}/pytest_crosscloud_example/__init__.py"
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert ["cloud", "lab", "Lab", "yes", "amd64", "", file] in rows
    assert ["project", "httpbin", "go-httpbin", "yes", "amd64", "stable=newest head=default", file] in rows
    assert {"local", "coredns"} <= {row[1] for row in rows}, "the bundled ones are there too"


def test_without_it_they_are_not_there(tmp_path: Path) -> None:
    assert "httpbin" not in crosscloud(tmp_path, tmp_path, "list").stdout


def test_its_chart_travels_with_it(site: Path) -> None:
    assert (site / "pytest_crosscloud_example/chart/templates/all.yaml").is_file()
