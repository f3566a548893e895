"""Ends a stage whose hook lets its deadline pass: one that blocks in Python, in a socket or in somebody's library.

What waits with the stage's own ``wait``, ``wait_until`` and ``command`` ends by itself, and is left alone here.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..stage import StageContext

#: Seconds that a stage whose time is over may still take: evidence and consoles are collected in 30 each.
GRACE = 90.0

#: Seconds after which a process that could not be interrupted is killed: what blocks it takes no signals. Others take
#: over what it made, as if it had died by itself; they wait longer than that (``making.patience``).
LAST = 300.0

#: Interrupts whatever the main thread does. SIGALRM and SIGUSR1 are other pytest plugins'.
_SIGNAL = signal.SIGRTMIN + 5

#: What this process makes, innermost last. Only the main thread reads and writes it, the handler too.
_watched: list[StageContext] = []


@contextmanager
def watching(stage: StageContext) -> Iterator[None]:
    """Make the stage in this block, and be out of it soon after its deadline.

    :raises DeadlineExceeded: the block did not look at its time.
    """
    ended = threading.Event()
    is_main = threading.current_thread() is threading.main_thread()
    if is_main:
        signal.signal(_SIGNAL, _interrupt)  # and it stays: one that comes late would end the process
        _watched.append(stage)
    threading.Thread(target=_watch, args=(stage, ended, is_main), name="crosscloud-watchdog", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        if is_main:
            _watched.pop()


def _watch(stage: StageContext, ended: threading.Event, is_main: bool) -> None:
    if ended.wait(stage.deadline + GRACE - time.monotonic()) or stage.is_over:
        return
    if is_main:
        signal.pthread_kill(threading.main_thread().ident or 0, _SIGNAL)
    if ended.wait(LAST):
        return
    with suppress(OSError):
        stage.write("the stage's time is over and its hook cannot be interrupted: this process ends")
    os.kill(os.getpid(), signal.SIGKILL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """In the main thread, in the middle of whatever it waits for."""
    if not _watched or _watched[-1].is_over or _watched[-1].deadline > time.monotonic():
        return
    stage = _watched[-1]
    with suppress(OSError):
        stack = "".join(traceback.format_stack(frame))
        stage.write(f"the stage's time is over, and this is where its hook was:\n{stack}")
    error = stage.expired()
    error.message += f"; {_place(frame)} still waited"
    raise error


def _place(frame: FrameType | None) -> str:
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}" if frame else "its hook"
