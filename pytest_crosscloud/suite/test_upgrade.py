"""Upgrade: a release of every project goes to the other ref and back, on every cluster. With ``--upgrade``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_crosscloud.run.pipeline import Pipeline


@pytest.mark.crosscloud(over="upgrades")
def test_upgrade(pipeline: Pipeline) -> None:
    """It answers on the way, and its e2e container ends with 0 before, after and back again."""
    pipeline.upgrade()
