"""Provision: every cloud with every Kubernetes, once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_crosscloud.run.pipeline import Pipeline


@pytest.mark.crosscloud(over="clusters")
def test_provision(pipeline: Pipeline) -> None:
    """A cluster comes up, and its KUBECONFIG is for its owner alone."""
    kubeconfig = Path(pipeline.cluster().kubeconfig)
    assert kubeconfig.stat().st_mode & 0o077 == 0
