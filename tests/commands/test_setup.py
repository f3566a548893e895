"""``crosscloud setup``: what it gets, lists and leaves out."""

from __future__ import annotations

import argparse
import json
import threading
from pathlib import Path

import pytest

from pytest_crosscloud import capacity
from pytest_crosscloud.commands import setup
from pytest_crosscloud.errors import ConfigurationError, StageError
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.toolchain import debian, tools


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go and Helm are on PATH, nothing else is anywhere."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, version in {"go": "go version go1.26.8 linux/amd64", "helm": "v4.3.1"}.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho {version}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


def run(*argv: str) -> int:
    parser = argparse.ArgumentParser()
    setup.add_arguments(parser)
    return setup.main(parser.parse_args(argv))


def test_list_shows_what_is_there_and_gets_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "tool", lambda *_: pytest.fail("installed"))
    assert run("--list") == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert ["go", "1.26.8", "PATH", f"{tmp_path}/go"] in rows
    assert ["allure", "missing", "", ""] in rows
    assert ["kubernetes", "v1.36.3", "not made yet", ""] in rows
    assert any(row[0] == "docker-registry" for row in rows)


def test_list_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list", "--json", "--only=go,allure") == 0
    assert json.loads(capsys.readouterr().out)["programs"] == [
        {"name": "go", "version": "1.26.8", "from": "PATH", "path": f"{tmp_path}/go"},
        {"name": "allure", "version": "missing", "from": "", "path": ""},
    ]
    with pytest.raises(ConfigurationError, match="--json goes with --list"):
        run("--json")


def test_what_is_there_is_said_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--only", "go, helm") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(f"go: done: 1.26.8 from PATH: {tmp_path}/go")
    assert second.endswith(f"helm: done: 4.3.1 from PATH: {tmp_path}/helm")


def test_an_unknown_name_is_answered_with_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigurationError, match="unknown: helmet") as caught:
        run("--only=helmet")
    assert "helm" in caught.value.remedy


def test_one_failure_does_not_stop_the_rest(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian, "missing", lambda: ["runc"])
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert run("--only=debian,go") == 1
    output = capsys.readouterr().out
    assert "debian: failed: missing: runc" in output, "this PATH has no apt-get"
    assert "go: done" in output


def test_a_run_goes_without_what_is_optional(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str, stage: StageContext) -> Path:
        raise StageError(f"{name} is not there and cannot be had", remedy="put it on PATH")

    monkeypatch.setattr(tools, "tool", refuse)
    assert run("--only=allure") == 0
    assert "allure: left out: runs go without Allure's HTML report: allure is not there" in capsys.readouterr().out


def test_two_at_a_time_and_a_failure_stops_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(2, timeout=30)
    order: list[str] = []

    def part(name: str) -> setup.Part:
        def get(stage: StageContext) -> str:
            if name != "go":
                together.wait()
            order.append(name)
            if name == "helm":
                raise StageError("no network")
            return "there"

        return setup.Part(name, get, lambda: iter(()))

    names = ("helm", "go", "allure", "kubernetes", "terraform")
    monkeypatch.setattr(setup, "_parts", lambda: tuple(map(part, names)))
    monkeypatch.setattr(capacity, "memory", lambda: 2**40)
    assert run() == 1
    assert order[0] == "go", "which the others are made with"
    output = capsys.readouterr().out
    assert "helm: failed: no network" in output
    assert all(f"{name}: done: there" in output for name in names if name != "helm")


def test_ctrl_c_ends_what_the_others_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def sleep(stage: StageContext) -> str:
        begun.set()
        stage.command(["/bin/sleep", "600"])
        return "slept"

    def interrupted(stage: StageContext) -> str:
        begun.wait(30)
        raise KeyboardInterrupt

    parts = (setup.Part("one", interrupted, lambda: iter(())), setup.Part("two", sleep, lambda: iter(())))
    monkeypatch.setattr(setup, "_parts", lambda: parts)
    monkeypatch.setattr(capacity, "memory", lambda: 2**40)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert "two: failed: interrupted" in capsys.readouterr().out
