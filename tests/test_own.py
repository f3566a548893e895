"""What this repository's own tests are run with, on a computer that lacks something."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_crosscloud.errors import StageError
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.toolchain import debian
from tests import conftest, programs

ROOT = Path(__file__).parents[1]

_TEST = """
import shutil
import pytest

def test_go(): assert shutil.which("go") == {go!r}

@pytest.mark.parametrize("number", range(2))
def test_page(number): pytest.skip("no Chromium")
"""


def test_they_call_the_go_that_runs_use_and_say_what_was_left_out(tmp_path: Path) -> None:
    go = tmp_path / "go" / "bin" / "go"
    go.parent.mkdir(parents=True)
    go.write_text("#!/bin/sh\necho go version go1.26.6 linux/amd64\n")
    go.chmod(0o755)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(_TEST.format(go=str(go)))
    said = tmp_path / "left-out"
    said.write_text("before\n")
    env = {**os.environ, "CROSSCLOUD_GO": str(go), conftest.LEFT_OUT: str(said), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-n", "2", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert said.read_text() == "before\nLeft out: 2 of test_it.py: no Chromium\n"


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A computer without any program, but for those in this directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(debian, "_SBIN", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_what_only_tests_need_is_installed_where_it_is_missing(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(debian, "install", lambda stage, packages: asked.append(packages))
    programs.main()
    for name in ("skopeo", "google-chrome"):
        (bare / name).touch(mode=0o755)
        programs.main()
    assert asked == [["skopeo", "chromium"], ["chromium"]]


def test_what_cannot_be_installed_is_said_and_ends_nothing(
    bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def install(stage: StageContext, packages: list[str]) -> None:
        raise StageError("no apt-get here")

    monkeypatch.setattr(debian, "install", install)
    programs.main()
    assert "left out: the tests with skopeo chromium: no apt-get here" in capsys.readouterr().out
