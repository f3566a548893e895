"""The warm-demo benchmark types the user's command, and does not count the first."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import warm_demo
from benchmarks.measure import Bench
from pytest_crosscloud.errors import StageError


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is typed, with a make that only notes it."""
    make = tmp_path / "bin/make"
    make.parent.mkdir()
    make.write_text(f'#!/bin/sh\necho "$* [$MAKEFLAGS]" >> {tmp_path}/typed\ntest ! -e {tmp_path}/fail\n')
    make.chmod(0o755)
    monkeypatch.setenv("PATH", str(make.parent), prepend=":")
    monkeypatch.setenv("MAKEFLAGS", "BENCH=warm-demo")
    return tmp_path / "typed"


def test_the_first_demo_is_not_counted(typed: Path) -> None:
    (figure,) = warm_demo.take(Bench("warm-demo", 3, typed.parent / "out"))

    assert typed.read_text() == "demo []\n" * 4
    assert len(figure.samples) == 3
    assert figure.bound == 90


def test_a_demo_that_fails_is_no_figure(typed: Path) -> None:
    (typed.parent / "fail").touch()

    with pytest.raises(StageError, match="make exited with 1"):
        list(warm_demo.take(Bench("warm-demo", 3, typed.parent / "out")))
