"""The end of a session, which no signal cuts off half way: there would be no JUnit file, and a traceback for a word."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Endgame:
    """While this is entered, the first signal is noted, and a second one interrupts as ever."""

    def __init__(self) -> None:
        self.is_interrupted = False
        self._is_waiting = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """In this block the first signal interrupts, too: it waits for what goes on without us.

        :raises KeyboardInterrupt: there was one.
        """
        self._is_waiting = True
        try:
            yield
        finally:
            self._is_waiting = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        is_second, self.is_interrupted = self.is_interrupted, True
        if is_second or self._is_waiting:
            raise KeyboardInterrupt(f"{signal.Signals(number).name} received")
