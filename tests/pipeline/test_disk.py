"""A disk that is full before the run, or in the middle of it: one clear message, and nothing left behind."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Rootdir

pytestmark = pytest.mark.root  # a small file system is mounted


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of so many MiB; state and reports go there."""
    path = tmp_path / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={request.param}m", "tmpfs", str(path)], check=True)
    monkeypatch.setenv("XDG_STATE_HOME", str(path / "state"))
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.mark.parametrize("small", [32], indirect=True)
def test_a_run_that_has_no_room_does_not_start(rootdir: Rootdir, small: Path) -> None:
    result = rootdir.run("--clouds=here", "--projects=demo")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*no disk:*", f"*{small}/state/crosscloud: * MiB free, a run needs 64*", "*make room*"]
    )
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert rootdir.ledger() == []


@pytest.mark.parametrize("small", [80], indirect=True)
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_disk_that_gets_full_fails_the_stage_and_loses_nothing(rootdir: Rootdir, small: Path, workers: str) -> None:
    rootdir.make("deploy demo-head-here", "fill")
    out = small / "out"
    arguments = ("-n", workers, "--clouds=here", "--projects=demo", f"--crosscloud-out={out}")
    result = rootdir.run(*arguments)
    text = result.stdout.str() + result.stderr.str()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "no space left on device" in text
    assert "make room there" in text
    assert "Traceback" not in text and "INTERNALERROR" not in text
    cells = {cell["id"]: cell for cell in json.loads((out / "results.json").read_text())["cells"]}
    failed = cells["demo-head-here"]["stages"]["deploy"]
    assert (failed["status"], failed["error"]["class"]) == ("failed", "infrastructure")
    assert rootdir.ledger("destroy") == ["destroy here"]

    rootdir.make("deploy demo-head-here", "")
    (out / "cells" / "demo-head-here" / "filling").unlink()  # as the message says
    assert rootdir.run(*arguments).ret == 0
