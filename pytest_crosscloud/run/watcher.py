"""Follows the store while a run goes on: shows each change of a stage, and tells the event hooks about it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from .. import report
from ..model import StageResult, Status
from ..report.terminal import Live
from .context import Run

#: Seconds between two looks at the store.
_INTERVAL = 0.2

#: Seconds between two pages, at least.
_WRITE = 2.0


class Watcher(threading.Thread):
    """:param terminal: file descriptor to print on, past pytest's capture.
    :param begun: the line that pytest has begun there and not ended, if it has.
    :param after: sequence number of the last change that happened in another run, and is not to be shown.
    """

    def __init__(self, run: Run, terminal: int, *, color: bool, begun: Callable[[], str] = str, after: int = 0) -> None:
        super().__init__(name="crosscloud-watcher", daemon=True)
        self._run = run
        self._terminal = terminal
        self._begun = begun
        self._broken = ""  # the line of pytest's that a line of ours ended
        self._live = Live(self.write_line, color=color)
        self._stopping = threading.Event()
        self._told: set[str] = set()
        self._seen = after
        self._is_stale = False  # what is written says less than the store
        self._next_write = 0.0

    def run(self) -> None:
        self._live.header(self._run.summary())
        last = False
        while not last:
            last = self._stopping.wait(_INTERVAL)
            try:
                self._look()
            except Exception as error:  # what is shown must not depend on one bad look
                self.write_line(f"the run cannot be shown at the moment: {type(error).__name__}: {error}")
        self._run.store.close()

    def stop(self) -> None:
        """Show what is left to show, and end."""
        self._stopping.set()
        self.join(10)

    def write_line(self, line: str) -> None:
        """Print a whole line, in one write, so that it is not torn."""
        begun = self._begun()
        start = "\n" if begun and begun != self._broken else ""
        self._broken = begun
        with suppress(OSError):  # the terminal may be gone
            os.write(self._terminal, f"{start}{line}\n".encode())

    def _look(self) -> None:
        changes = self._run.store.changes(self._run.id, self._seen)
        self._live.update([result for _, result in changes], time.time())
        for number, result in changes:
            self._seen = number
            self._tell(result)
        self._is_stale = self._is_stale or bool(changes)
        if self._is_stale and (started := time.monotonic()) >= self._next_write:
            self._is_stale = False
            report.write_live(self._run.summary(), self._run.out)
            # A page of thousands of rows takes seconds: it may take a tenth of the time, not all of it.
            self._next_write = time.monotonic() + max(_WRITE, 10 * (time.monotonic() - started))

    def _tell(self, result: StageResult) -> None:
        hook = self._run.plugins.hook
        if result.status == Status.RUNNING:
            if result.key not in self._told:  # otherwise it is progress, not a start
                self._told.add(result.key)
                self._call(hook.crosscloud_stage_started, result)
            return
        if result.started is not None and result.key not in self._told:  # it began and ended between two looks
            self._call(hook.crosscloud_stage_started, replace(result, status=Status.RUNNING, seconds=0.0, failure=None))
        self._call(hook.crosscloud_stage_finished, result)

    def _call(self, hook: Callable[..., object], result: StageResult) -> None:
        try:
            hook(run=self._run.id, result=result)
        except Exception as error:
            self.write_line(f"a plugin's hook raised {type(error).__name__}: {error}")
