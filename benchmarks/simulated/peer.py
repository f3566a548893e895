"""The same workload as anybody writes it with pytest alone: clusters are session fixtures.

``makespan`` runs it, in a directory with ``workload.json``: ``{"address": …, "cells": {CLOUD: {PROJECT: seconds}}}``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.simulated.client import Client

_WORKLOAD = json.loads(Path("workload.json").read_text())
_CLIENT = Client(_WORKLOAD["address"])


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Once per session, that is once per worker, as long as tests of the same cloud follow each other."""
    name = f"{request.param}-{os.getpid()}-{time.monotonic_ns()}"
    cluster = _CLIENT.create(request.param, name, {"crosscloud-run": "peer"})
    while cluster["state"] == "creating":
        cluster = _CLIENT.get(cluster["id"], "creating")
    yield cluster
    _CLIENT.delete(cluster["id"])


@pytest.mark.parametrize(
    ("cluster", "seconds"),
    [
        pytest.param(cloud, seconds, id=f"{project}-{cloud}", marks=pytest.mark.xdist_group(cloud))
        for cloud, cells in _WORKLOAD["cells"].items()
        for project, seconds in cells.items()
    ],
    indirect=["cluster"],
    scope="session",
)
def test_cell(cluster: dict[str, Any], seconds: float) -> None:
    time.sleep(seconds)
    assert _CLIENT.get(cluster["id"])["state"] == "ready"
