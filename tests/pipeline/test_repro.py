"""From a red cell to its bundle, and from that to an answer: the commands as somebody types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Rootdir

CELL = "demo-stable-here"


def bundle_of(rootdir: Rootdir, cell: str = CELL) -> Path:
    return rootdir.out / "cells" / cell / "bundle.tar.gz"


def repeat(rootdir: Rootdir, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The repeat command of the cell, as results.json has it, typed in the rootdir."""
    results = json.loads((rootdir.out / "results.json").read_text())
    program, *command = results["cells"][0]["repeat"].split()
    return subprocess.run(
        [Path(sys.executable).with_name(program), *command, *arguments],
        cwd=rootdir.path,
        capture_output=True,
        text=True,
        timeout=120,
    )


def run_red(rootdir: Rootdir, *arguments: str) -> pytest.RunResult:
    return rootdir.run("--clouds=here", "--projects=demo", "--refs=stable", *arguments)


def document(rootdir: Rootdir) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((rootdir.out / "results.json").read_text())["cells"][0]
    return data


def test_a_red_cell_is_repeated_from_its_bundle_until_it_is_green(rootdir: Rootdir) -> None:
    rootdir.make("e2e demo-stable-here-red", "")
    # What is in the directory's addopts is for its own runs.
    rootdir.pytester.makeini("[pytest]\naddopts = --projects=other --refs=stable\n")
    result = run_red(rootdir)
    assert result.ret == 1
    command = f"crosscloud repro reports/out/cells/{CELL}/bundle.tar.gz"
    result.stdout.fnmatch_lines([f"*repeat*{command}"])
    assert document(rootdir)["repeat"] == command
    assert f"cells/{CELL}/bundle.tar.gz" in document(rootdir)["files"]
    assert command in (rootdir.out / "index.html").read_text()

    again = repeat(rootdir, "--cloud=here", "--registry=registry.test")
    last = again.stdout.splitlines()[-1]
    assert (again.returncode, last) == (
        1,
        "reproduced: the same failure came again: e2e: 1 of 8 checks failed: reverse lookup: timed out",
    ), again.stdout + again.stderr
    assert rootdir.ledger("start build") == ["start build demo-stable"], "the bundle's images are not built again"
    assert rootdir.ledger("start e2e") == ["start e2e demo-stable-here"] * 2, "a plugin's hooks are used"
    assert bundle_of(rootdir).exists()

    (rootdir.path / "e2e-demo-stable-here-red").unlink()
    green = repeat(rootdir, "--cloud=here", "--registry=registry.test")
    assert (green.returncode, green.stdout.splitlines()[-1].partition(";")[0]) == (
        0,
        "not reproduced: all stages succeeded",
    )


def test_a_build_that_fails_leaves_what_there_is(rootdir: Rootdir) -> None:
    rootdir.make("build demo-stable", "fail")
    run_red(rootdir, "-n", "2")
    assert document(rootdir)["status"] == "n/a"
    assert f"cells/{CELL}/bundle.tar.gz" in document(rootdir)["files"]
    again = repeat(rootdir, "--cloud=here", "--registry=registry.test")
    assert again.returncode == 1
    assert again.stdout.splitlines()[-1] == (
        "reproduced: the same failure came again: build: build demo-stable went wrong"
    )


def test_wrong_usage_is_told_before_anything_begins(rootdir: Rootdir) -> None:
    rootdir.make("deploy demo-stable-here", "fail")
    run_red(rootdir)
    path = bundle_of(rootdir)
    ledger = rootdir.ledger()
    for arguments, said in (
        ([f"--bundle={path}", "--refs=head"], "the bundle says what to run: --refs"),
        ([f"--bundle={path}", "--clouds=here"], "the run would remove its bundle"),
        (["--bundle=no.tar.gz"], "bundle no.tar.gz cannot be read: No such file"),
    ):
        result = rootdir.pytester.runpytest_subprocess(*arguments, timeout=60)
        assert result.ret == 4
        result.stderr.fnmatch_lines([f"*{said}*"])
    path.write_bytes(path.read_bytes()[:100])
    damaged = repeat(rootdir)
    assert damaged.returncode == 4
    assert "is damaged" in damaged.stderr
    assert "Traceback" not in damaged.stderr + damaged.stdout
    assert rootdir.ledger() == ledger


def test_a_green_or_cancelled_cell_leaves_none(rootdir: Rootdir) -> None:
    assert run_red(rootdir).ret == 0
    assert not bundle_of(rootdir).exists()
    assert document(rootdir)["repeat"].startswith("pytest --clouds=here")
