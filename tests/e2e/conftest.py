"""Runs on the real local cloud, ended when their test is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from pytest_crosscloud import machine
from tests.e2e.job import Job

_NO_FILES: Mapping[str, str] = MappingProxyType({})


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Job]]:
    jobs: list[Job] = []

    def start(*arguments: str, files: Mapping[str, str] | None = _NO_FILES, **how: Any) -> Job:
        """Start a run in a new rootdir with ``files``; None: it stays empty."""
        rootdir = tmp_path / f"root{len(jobs)}"
        rootdir.mkdir()
        written = {} if files is None else {"pytest.ini": "[pytest]\n", **files}
        for name, text in written.items():
            (rootdir / name).write_text(text)
        jobs.append(Job(rootdir, *arguments, **how))
        return jobs[-1]

    yield start
    for job in jobs:
        if job.process.poll() is None:
            job.process.kill()
            job.process.wait()
        if job.run:
            machine.destroy_run(job.run)
