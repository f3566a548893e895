"""kill -9 while a real program is built: nothing of it goes on, and the next run builds it and is green."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_crosscloud import paths, plugins
from pytest_crosscloud.build.go import GoBuild
from pytest_crosscloud.run import processes
from pytest_crosscloud.run.processes import Process
from pytest_crosscloud.toolchain.pins import host_arch
from tests.e2e.job import DEADLINE, GONE, Job, wait_for

pytestmark = [pytest.mark.root, pytest.mark.slow]

#: No other build has it: the program is linked anew, even if all of its packages are compiled.
_FLAG = "-X main.linked=anew"

_ANEW = f"""
import dataclasses
from pytest_crosscloud import hookimpl

@hookimpl
def crosscloud_build(request):
    build = request.project.build
    return dataclasses.replace(build, ldflags=build.ldflags + " {_FLAG}").build(request)
"""


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Where that build is kept, which it is not yet."""
    project = plugins.load(tmp_path).projects["coredns"]
    build = project.build
    assert isinstance(build, GoBuild)
    build = replace(build, ldflags=f"{build.ldflags} {_FLAG}")
    key = build.fingerprint(project, build.resolve(project, project.stable_ref), host_arch())
    kept = paths.cache("builds", key)
    shutil.rmtree(kept, ignore_errors=True)
    return kept


def _compilers(job: Job) -> list[Process]:
    found = processes.of_run(job.run) if job.run else []
    return [process for process in found if _program(process) in ("compile", "link")]


def _program(process: Process) -> str:
    try:
        return Path(f"/proc/{process.pid}/exe").readlink().name
    except OSError:
        return ""


def test_a_build_that_was_killed_is_made_by_the_next_run(start: Callable[..., Job], kept: Path) -> None:
    killed = start("--refs=stable", files={"conftest.py": _ANEW})
    working: list[Process] = []

    def is_at_it() -> bool:
        working[:] = _compilers(killed)
        return bool(working) or killed.process.poll() is not None

    wait_for(is_at_it, "compiler or linker", DEADLINE)
    killed.process.send_signal(signal.SIGKILL)
    assert killed.wait(10) == -signal.SIGKILL, killed.text
    assert not killed.is_done("build"), "it was killed too late"
    wait_for(lambda: not killed.traces(), f"end: {killed.traces()}", GONE)
    assert all(process.is_dead for process in working)
    assert not kept.exists(), "what is half made is no build"

    again = start("--refs=stable", files={"conftest.py": _ANEW})
    assert again.wait() == 0, again.text
    (cell,) = again.cells().values()
    assert [stage["status"] for stage in cell["stages"].values()] == ["success"] * 4
    assert not cell["stages"]["build"]["cached"], "it was made now"
    assert again.traces() == []
    assert kept.exists()
    assert not list(kept.parent.glob(f".{kept.name}.making")), "nor is there anything of the first attempt"
