"""Runs on the real local cloud, ended when their test is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from pytest_crosscloud import machine
from tests.e2e.job import Job


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Job]]:
    jobs: list[Job] = []

    def start(*arguments: str, files: Mapping[str, str] = MappingProxyType({})) -> Job:
        rootdir = tmp_path / f"root{len(jobs)}"
        rootdir.mkdir()
        for name, text in {"pytest.ini": "[pytest]\n", **files}.items():
            (rootdir / name).write_text(text)
        jobs.append(Job(rootdir, *arguments))
        return jobs[-1]

    yield start
    for job in jobs:
        if job.process.poll() is None:
            job.process.kill()
            job.process.wait()
        if job.run:
            machine.destroy_run(job.run)
