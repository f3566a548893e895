"""Build: every project at every ref, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_crosscloud.run.pipeline import Pipeline


@pytest.mark.crosscloud(over="builds")
def test_build(pipeline: Pipeline) -> None:
    """The project builds, and every image is pinned by digest."""
    artifacts = pipeline.artifacts()
    assert artifacts.pins
    assert all(pin.digest.startswith("sha256:") for pin in artifacts.pins)
