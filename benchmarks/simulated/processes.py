"""Processes from outside: who has ended, who is whose child, who carries a mark in the environment."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pytest_crosscloud.run.processes import REAPER_VARIABLE, RUN_VARIABLE


@contextmanager
def pidfd(pid: int) -> Iterator[int]:
    fd = os.pidfd_open(pid)
    try:
        yield fd
    finally:
        os.close(fd)


def is_over(process: int, seconds: float = 0.0) -> bool:
    """Whether the process of a pidfd has ended, after so many seconds at most."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def of_runs(*runs: str) -> set[bytes]:
    """The marks of all that belongs to these runs of ours, their reapers among it."""
    return {f"{variable}={run}".encode() for run in runs for variable in (RUN_VARIABLE, REAPER_VARIABLE)}


def carrying(marks: set[bytes]) -> Iterator[int]:
    """Processes that live and have one of these in their environment."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
            if state != "Z" and marks & set((entry / "environ").read_bytes().split(b"\0")):
                yield int(entry.name)


def command(pid: int) -> str:
    """What a process runs; empty: it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""
