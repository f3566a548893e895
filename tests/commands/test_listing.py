"""crosscloud list: what is shown, for a person and for a program."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from pytest_crosscloud import cli, paths
from tests.samples import write_clouds, write_projects
from tests.test_cli import CROSSCLOUD


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with two clouds and a project."""
    write_clouds(
        tmp_path / "clouds/some.py",
        "name='aws', display_name='AWS', arch=('amd64', 'arm64'), credentials=(Credential('AWS_KEY', 'a key'),)",
        "name='packet'",
    )
    plugin = tmp_path / "clouds/some.py"
    plugin.write_text(plugin.read_text().replace("import Cloud,", "import Cloud, Credential,"))
    write_projects(tmp_path / "projects/coredns.py", "name='coredns', stable_ref='v1.10'")
    (tmp_path / "cross-cloud.yml").write_text("clouds:\n  packet: {active: false}\n")
    monkeypatch.setattr(paths, "data", lambda *parts: tmp_path.joinpath("none", *parts))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_program_reads_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    assert [line.split("\t") for line in capsys.readouterr().out.splitlines()] == [
        ["cloud", "aws", "AWS", "yes", "amd64,arm64", "", "clouds/some.py"],
        ["cloud", "packet", "packet", "no", "amd64", "", "clouds/some.py"],
        ["project", "coredns", "coredns", "yes", "amd64", "stable=v1.10 head=default", "projects/coredns.py"],
    ]


@pytest.mark.parametrize(("kind", "names"), [("clouds", ["aws", "packet"]), ("projects", ["coredns"])])
def test_one_kind(kind: str, names: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", kind]) == 0
    assert [line.split("\t")[1] for line in capsys.readouterr().out.splitlines()] == names


def test_json_has_everything(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AWS_KEY", "do not show")
    (root / "clouds/bad.py").write_text("\n1 / 0")
    assert cli.main(["list", "--json"]) == 0
    text = capsys.readouterr().out
    answer = json.loads(text)
    aws, packet = answer["clouds"]
    assert aws["credentials"] == [{"name": "AWS_KEY", "required": True, "set": True, "help": "a key"}]
    assert "do not show" not in text
    assert packet["deactivated_in"] == "cross-cloud.yml:2:20"
    assert answer["projects"][0]["refs"] == {"stable": "v1.10", "head": "default"}
    assert answer["problems"] == [
        {
            "file": str(root / "clouds/bad.py"),
            "line": 2,
            "reason": "cannot be imported: ZeroDivisionError: division by zero",
        }
    ]


def test_problems_go_to_standard_error(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "clouds/bad.py").write_text("\n1 / 0")
    (root / "cross-cloud.yml").write_text("clouds: {mars: {}}")
    assert cli.main(["list"]) == 0
    shown = capsys.readouterr()
    assert "mars" not in shown.out
    assert shown.err.splitlines() == [
        f"crosscloud: {root}/clouds/bad.py:2: cannot be imported: ZeroDivisionError: division by zero",
        f"crosscloud: {root}/cross-cloud.yml:1: no plugin declares a cloud 'mars'; known: aws, packet",
    ]


def test_a_wrong_file_is_an_error(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "cross-cloud.yml").write_text("clouds: {aws: {ordr: 1}}")
    assert cli.main(["list"]) == 4
    assert f"{root}/cross-cloud.yml:1:16: clouds.aws.ordr: unknown key" in capsys.readouterr().err


def test_the_rootdir_is_found_from_a_folder_below(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "a/b").mkdir(parents=True)
    monkeypatch.chdir(root / "a/b")
    assert cli.main(["list", "clouds"]) == 0
    assert f"\t{root}/clouds/some.py" in capsys.readouterr().out


def test_hooks_of_the_rootdirs_conftest_count(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clouds(root / "conftest.py", "name='mars'")
    assert cli.main(["list", "clouds"]) == 0
    assert "\tmars\t" in capsys.readouterr().out


def test_a_conftest_of_somebody_else_is_not_imported(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "conftest.py").write_text("raise SystemExit('only inside of pytest')")
    assert cli.main(["list"]) == 0
    assert capsys.readouterr().err == ""


def test_a_person_reads_an_aligned_table(root: Path) -> None:
    controller, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": "140", "TERM": "dumb"}
    with os.fdopen(controller, "rb", buffering=0) as screen:
        subprocess.run(
            [*CROSSCLOUD, "list", "clouds"], stdout=terminal, cwd=root, env=environment, timeout=30, check=True
        )
        os.close(terminal)
        text = screen.read(65536).decode()
    lines = text.replace("\r", "").splitlines()
    assert lines[0].split() == ["kind", "name", "display", "name", "active", "arch", "refs", "declared", "in"]
    starts = {line.index(shown) for line in lines for shown in ("aws ", "packet ") if f" {shown}" in line}
    assert starts == {lines[0].index("name")}
