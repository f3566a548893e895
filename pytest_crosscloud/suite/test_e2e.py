"""Deploy and e2e: every cell of the matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_crosscloud.run.pipeline import Pipeline


@pytest.mark.crosscloud(over="cells")
def test_e2e(pipeline: Pipeline) -> None:
    """The project's chart installs with the built images, and its e2e container ends with 0."""
    result = pipeline.e2e()
    assert result.exit_code == 0
