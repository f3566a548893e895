"""The measure of builds: what it makes of them. That they are real is seen in `make bench`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks import builds
from benchmarks.builds import Built
from benchmarks.measure import Bench, NotMeasured


@pytest.fixture
def caches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The cache of each build that is asked for: 40 s from nothing, 10 s after another ref, 1 s again."""
    caches: list[str] = []

    def build(bench: Bench, host: str, project: str, ref: str, cache: Mapping[str, str], how: str) -> Built:
        caches.append(cache["GOCACHE"])
        assert not Path(cache["GOCACHE"]).exists()
        before = [caches[n] for n in range(len(caches) - 1)].count(cache["GOCACHE"])
        seconds = {"cold": 40.0, "warm": 1.0}.get(how, 10.0)
        assert (before == 0) == (how == "cold")
        version = "v1.0.0" if project == "still" else f"v1.0.{ref == 'head':d}"
        return Built(version, seconds, how == "warm" and project != "forgetful", 3 << 20)

    monkeypatch.setattr(builds, "_build", build)
    return caches


def figures(tmp_path: Path, project: str) -> dict[str, float]:
    bench = Bench("builds", 1, tmp_path)
    return {figure.name: figure.value for figure in builds._project(bench, "registry.test", project)}


def test_head_is_built_after_stable_and_from_nothing(caches: list[str], tmp_path: Path) -> None:
    assert figures(tmp_path, "app") == {
        "build-app-stable": 40,
        "build-app-stable-size": 3,
        "build-app-stable-warm": 1,
        "build-app-head": 40,
        "build-app-head-size": 3,
        "build-app-head-after-stable": 10,
    }
    assert len(set(caches)) == 2
    assert not any(Path(cache).parent.exists() for cache in caches), "nothing is left"


def test_a_head_that_is_stable_is_not_built_twice(caches: list[str], tmp_path: Path) -> None:
    assert list(figures(tmp_path, "still")) == [
        "build-still-stable",
        "build-still-stable-size",
        "build-still-stable-warm",
    ]
    assert len(set(caches)) == 1


def test_a_second_project_finds_what_the_first_compiled(caches: list[str], tmp_path: Path) -> None:
    found = {figure.name: figure.value for figure in builds._second(Bench("builds", 1, tmp_path), "registry.test")}
    assert found == {"build-second-seconds": 10, "build-second": 0.25}
    assert len(set(caches)) == 2


def test_a_build_that_is_made_again_is_no_figure(caches: list[str], tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match="of unchanged inputs"):
        figures(tmp_path, "forgetful")
