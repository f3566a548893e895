"""crosscloud new: skeletons. That what it writes passes its own tests is seen in tests/test_install.py."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from pytest_crosscloud import cli, paths
from pytest_crosscloud.toolchain.tools import tool


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", ["cloud", "project"])
def test_a_package_without_a_gap(here: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["new", kind, "my-own"]) == 0
    said = capsys.readouterr()
    written = [here / line for line in said.out.splitlines()]
    root = here / "pytest-crosscloud-my-own"
    assert sorted(written) == sorted(path for path in root.rglob("*") if path.is_file())
    assert root / "pytest_crosscloud_my_own/__init__.py" in written
    for path in written:
        for token in ("xcname", "xcpackage", "xctitle", "XCENV"):
            assert token not in str(path) + path.read_text()
    assert "pip install -e . && pytest" in said.err
    assert "my-own" in said.err


def test_the_modules_common_parts_are_the_bundled_ones(here: Path) -> None:
    assert cli.main(["new", "cloud", "lab", "--directory", "deep/er"]) == 0
    module = here / "deep/er/pytest_crosscloud_lab/module"
    common = paths.data("terraform", "modules", "interface")
    assert (module / "interface.tf").read_text() == (common / "variables.tf").read_text()
    assert (module / "outputs.tf").read_text() == (common / "outputs.tf").read_text()
    assert 'variable "name"' not in (module / "variables.tf").read_text()
    formatted = subprocess.run([tool("terraform"), "fmt", "-check", module], capture_output=True, text=True)
    assert formatted.returncode == 0, formatted.stdout


def test_the_chart_keeps_its_own_braces(here: Path) -> None:
    assert cli.main(["new", "project", "app"]) == 0
    chart = here / "pytest-crosscloud-app/pytest_crosscloud_app/chart"
    assert yaml.safe_load((chart / "Chart.yaml").read_text())["name"] == "app"
    assert "{{ .Release.Name }}" in (chart / "templates/all.yaml").read_text()


def test_nothing_is_overwritten(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "there").mkdir()
    (here / "there/kept").write_text("kept")
    assert cli.main(["new", "cloud", "lab", "--directory", "there"]) == 4
    assert "there is there already" in capsys.readouterr().err
    assert [path.name for path in (here / "there").iterdir()] == ["kept"]
    assert cli.main(["new", "cloud", "lab", "--directory", "there/kept"]) == 4
    assert cli.main(["new", "cloud", "lab"]) == 0
    assert cli.main(["new", "cloud", "lab"]) == 4


@pytest.mark.parametrize(("name", "nearest"), [("My_Lab", "my-lab"), ("9lives", "lives"), ("é", ""), ("a" * 64, "")])
def test_names_that_are_none(here: Path, name: str, nearest: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["new", "cloud", name]) == 4
    said = capsys.readouterr().err
    assert "is no name" in said
    assert (f"{nearest} is one" in said) == bool(nearest)
    assert list(here.iterdir()) == []


def test_a_place_that_cannot_be_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "file").write_text("")
    assert cli.main(["new", "cloud", "lab", "--directory", "file/lab"]) == 4
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(("kind", "name"), [("project", "coredns"), ("cloud", "aws")])
def test_a_name_that_is_taken(here: Path, kind: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["new", kind, name]) == 4
    assert f"there is a {kind} {name!r} already: " in capsys.readouterr().err
    assert not list(here.iterdir())
