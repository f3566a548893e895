"""A state directory, a store and a cloud of files for each test that asks for a world."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_crosscloud.stage import RUN_VARIABLE

from .standin import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv(RUN_VARIABLE, raising=False)
    world = World(tmp_path / "root")
    yield world
    world.store.close()
