"""The ways to install: the built wheel in an empty directory, and a third party's package beside it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
EXAMPLE = REPOSITORY / "examples/pytest-crosscloud-example"
HETZNER = REPOSITORY / "examples/pytest-crosscloud-hetzner"


def build_wheel(project: Path, dist: Path) -> Path:
    """Build a project's wheel in the folder ``dist``."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(dist)]
    subprocess.run(build, cwd=project, capture_output=True, timeout=120, check=True)
    [wheel] = dist.glob("*.whl")
    return wheel


def install(project: Path, site: Path, dist: Path) -> Path:
    """Build a project's wheel and unpack it into ``site``, as an installer does; return ``site``."""
    with zipfile.ZipFile(build_wheel(project, dist)) as archive:
        archive.extractall(site)
    return site


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with the example's in it."""
    folder = tmp_path_factory.mktemp("example")
    return install(EXAMPLE, folder / "site", folder / "dist")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with pytest-crosscloud's own wheel in it, before the checkout that is installed too."""
    folder = tmp_path_factory.mktemp("wheel")
    return install(REPOSITORY, folder / "site", folder / "dist")


def run(folder: Path, *arguments: str, sites: tuple[Path, ...] = ()) -> list[str]:
    """Run a module in ``folder`` with packages of ``sites``; return the lines of its output."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sites))}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout.splitlines()


def listed(folder: Path, *sites: Path) -> dict[str, str]:
    """Where ``crosscloud list`` says each cloud and project is declared."""
    script = "import sys; from pytest_crosscloud.cli import main; sys.exit(main(['list']))"
    rows = [line.split("\t") for line in run(folder, "-c", script, sites=sites)]
    return {row[1]: row[-1] for row in rows}


def test_a_third_partys_package_beside(example: Path, tmp_path: Path) -> None:
    found = listed(tmp_path, example)
    assert found["lab"] == found["httpbin"] == str(example / "pytest_crosscloud_example/__init__.py")
    assert {"local", "coredns"} <= found.keys(), "the bundled ones are there too"
    assert "lab" not in listed(tmp_path)


def test_the_examples_chart_travels_with_it(example: Path) -> None:
    assert (example / "pytest_crosscloud_example/chart/templates/all.yaml").is_file()


def test_the_wheel_in_an_empty_directory(wheel: Path, example: Path, tmp_path: Path) -> None:
    found = listed(tmp_path, wheel, example)
    data = wheel / "pytest_crosscloud/_data"
    assert found["local"] == str(data / "clouds/local.py")
    assert found["coredns"] == str(data / "projects/coredns/__init__.py")
    assert "lab" in found
    assert (data / "charts/coredns/Chart.yaml").is_file()
    assert (data / "terraform/local/main.tf").is_file()


def test_pytest_collects_the_bundled_suite_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    options = ("-q", "--collect-only", "-p", "no:cacheprovider", "--clouds=local", "--projects=coredns")
    lines = run(tmp_path, "-m", "pytest", *options, sites=(wheel,))
    collected = [line.rpartition("::")[2] for line in lines if "::" in line]
    assert collected == [
        "test_build[coredns-stable]",
        "test_build[coredns-head]",
        "test_provision[local]",
        "test_e2e[coredns-stable-local]",
        "test_e2e[coredns-head-local]",
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["cloud", "project"])
def test_a_new_package_passes_its_own_tests_beside_the_wheel(wheel: Path, tmp_path: Path, kind: str) -> None:
    made = tmp_path / "made"
    new = ("-m", "pytest_crosscloud", "new", kind, "my-own", "--directory", str(made))
    environment = {**os.environ, "PYTHONPATH": str(wheel)}
    subprocess.run([sys.executable, *new], env=environment, capture_output=True, timeout=60, check=True)
    site = install(made, tmp_path / "site", tmp_path / "dist")
    check_own_tests(made, wheel, site, least=4)


def test_the_hetzner_package_passes_its_own_tests_beside_the_wheel(wheel: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(HETZNER, copy)
    site = install(copy, tmp_path / "site", tmp_path / "dist")
    check_own_tests(copy, wheel, site, least=10)


def check_own_tests(package: Path, wheel: Path, site: Path, *, least: int) -> None:
    """A plugin package that was installed into ``site`` is found, and passes its own tests but those of minutes."""
    tests = package / "tests"  # from here, what is imported is what was installed
    found = [file for file in listed(tests, wheel, site).values() if file.startswith(str(site))]
    assert len(found) == 1
    options = ("-q", "-ra", "-p", "no:cacheprovider", "-m", "not slow")
    lines = run(tests, "-m", "pytest", *options, sites=(wheel, site))
    passed = re.match(r"(\d+) passed", lines[-1])
    assert passed, lines
    assert int(passed[1]) >= least, lines
