"""A program is measured: its time, its memory, and that it ended as it should."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import wide
from benchmarks.measure import NotMeasured
from benchmarks.process import run
from pytest_crosscloud import config, matrix, plugins

_WAIT = "; import time; time.sleep(0.1)"


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def test_memory_is_the_programs_own(tmp_path: Path) -> None:
    """Not that of who starts it, which is what the kernel adds to it."""
    ballast = bytearray(b"x" * 2**26)
    small = run(python("pass" + _WAIT), tmp_path)
    large = run(python("x = b'x' * 2**25" + _WAIT), tmp_path)
    assert 0 < small.memory < len(ballast) / 2**20
    assert 24 < large.memory - small.memory < 40
    assert large.processor > 0
    assert large.seconds > 0.1


def test_another_end_than_expected_is_no_measure(tmp_path: Path) -> None:
    run(python("raise SystemExit(5)"), tmp_path, expected=5)
    with pytest.raises(NotMeasured, match=r"exited with 3: because"):
        run(python("import sys; print('because'); sys.exit(3)"), tmp_path)


def test_pytests_settings_are_left_out_and_others_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--nonsense")
    run(
        python("import os; assert 'PYTEST_ADDOPTS' not in os.environ and os.environ['MINE'] == 'yes'"),
        tmp_path,
        variables={"MINE": "yes"},
    )


def test_a_wide_rootdir_is_as_wide_as_it_says(tmp_path: Path) -> None:
    root = tmp_path / "root"
    wide.write(root, clouds=4, projects=5)
    declared = plugins.load(root)
    assert not declared.problems
    chosen = matrix.select(
        config.load(None, declared, root), clouds=wide.names("c", 4), projects=wide.names("p", 5), refs="a,b"
    )
    assert len(chosen.cells) == 40
