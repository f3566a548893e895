"""How a run stands: whether it lives, is being ended, keeps something, or left something that nobody owns."""

from __future__ import annotations

import enum

from . import processes, reaper
from .destroy import left
from .store import RunRecord, Store


class Standing(enum.StrEnum):
    """What ``crosscloud clean`` says of a run."""

    RUNNING = "running"  # its pytest lives
    ENDING = "ending"  # its reaper, or another process, is destroying what it owns
    KEPT = "kept"  # over; it owns only what ``--keep-failed`` keeps
    ORPHANED = "orphaned"  # pytest and reaper are dead, and it was not ended
    CLEAN = "clean"  # over; it owns nothing


#: Seconds by which a process may seem to be younger than it is: the clock is set from time to time.
_SLACK = 2.0


def standing(store: Store, run: RunRecord) -> Standing:
    """How ``run`` stands now."""
    if is_running(run):
        return Standing.RUNNING
    if reaper.is_held(store, run.id):
        return Standing.ENDING
    if run.finished is None or left(store, run.id):
        return Standing.ORPHANED
    return Standing.KEPT if left(store, run.id, kept=True) else Standing.CLEAN


def is_running(run: RunRecord) -> bool:
    """Whether the run's pytest lives. A process that took over its pid is younger than the run."""
    return run.finished is None and _is_alive(run)


def is_killed(run: RunRecord) -> bool:
    """Whether the run's pytest is gone and has not ended it: what its reaper did since does not count."""
    return "exit" not in run.record and not _is_alive(run)


def _is_alive(run: RunRecord) -> bool:
    started = processes.started_at(run.pid)
    return started is not None and started <= run.started + _SLACK
