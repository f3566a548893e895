"""Unit tests of machines write their records below a temporary directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_crosscloud.machine import records


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(records, "DIRECTORY", tmp_path / "run")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "run"
