"""What the first-run benchmark reads from a set-up, and what it leaves behind."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from benchmarks import first_run
from benchmarks.measure import Bench
from pytest_crosscloud.errors import StageError

SETUP = """
echo '12:00:00 go: fetching it (0:00)'
echo '12:00:01 go: done: 1.26.6 from pypi  0:01'
echo '12:00:02 allure: left out: no npm'
echo '12:00:02 run 7f3a: 2 cells'
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench("first-run", 1, tmp_path / "out")


def test_each_part_that_was_set_up_is_a_figure(bench: Bench, tmp_path: Path) -> None:
    parts, taken = first_run._timed(bench, ("sh", "-c", SETUP), tmp_path, {})

    assert list(parts) == ["go", "allure"]
    assert 0 < sum(parts.values()) <= taken


def test_nothing_cached_is_seen_and_nothing_is_left(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Mapping[str, str]] = []

    def timed(
        bench: Bench, command: Sequence[str], directory: Path, environment: Mapping[str, str]
    ) -> tuple[dict[str, float], float]:
        seen.append(environment)
        read_only = Path(environment["GOMODCACHE"], "module")
        read_only.mkdir(parents=True, exist_ok=True)
        (read_only / "file").touch()
        read_only.chmod(0o500)
        if command == ("make", "demo"):
            raise StageError("it failed")
        return {}, 1.0

    monkeypatch.setattr(first_run, "_timed", timed)
    figures = first_run.take(bench)
    assert [next(figures).name for _ in range(3)] == ["first-run-clone", "first-run-venv", "first-run-setup"]
    with pytest.raises(StageError, match="it failed"):
        next(figures)

    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME", "GOMODCACHE", "GOCACHE"):
        assert seen[0][name] != os.environ.get(name)
    assert "/usr/local" not in seen[0]["PATH"]
    assert not Path(seen[0]["GOMODCACHE"]).parent.exists()
