"""Shows set-up on a terminal as one line that changes, elsewhere as lines with time stamps."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from types import TracebackType
from typing import ClassVar, Self, TextIO

#: Seconds between two lines about the same item where lines cannot be rewritten. A CI log needs no more, and
#: a person who reads it must not think that it hangs.
QUIET = 15.0

_GREEN, _RED, _YELLOW, _DIM, _RESET = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[0m"
_ERASE = "\r\x1b[2K"
_MARKS = {"done": ("✓", _GREEN), "failed": ("✗", _RED), "left out": ("–", _YELLOW)}


class Item:
    """One thing that is set up: ``progress`` while it is made, ``end`` when it is there or is not.

    Several may be under way at a time, each in a thread: on a terminal they share the line that changes.
    """

    _lock: ClassVar[threading.Lock] = threading.Lock()
    _live: ClassVar[list[Item]] = []

    def __init__(self, name: str, stream: TextIO | None = None) -> None:
        self._name = name
        self._stream = stream or sys.stdout
        self._terminal = self._stream.isatty()
        self._text, self._started, self._shown = "", time.monotonic(), 0.0
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        with self._lock:
            self._live.append(self)
        self._ticker.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        self._leave()
        if kind and self._terminal:
            self._write(_ERASE)

    def progress(self, text: str) -> None:
        """Say what is happening now."""
        with self._lock:
            self._text = text.removeprefix(f"{self._name}: ")
            self._show(time.monotonic())

    def end(self, mark: str, text: str) -> None:
        """Say how it ended: ``done``, ``failed`` or ``left out``."""
        self._leave()
        seconds = time.monotonic() - self._started
        took = f"  {_clock(seconds)}" if seconds >= 1 else ""
        sign, colour = _MARKS[mark]
        with self._lock:  # not into another item's line
            if self._terminal:
                self._write(f"{_ERASE}{colour}{sign}{_RESET} {self._name:<12} {text}{_DIM}{took}{_RESET}\n")
            else:
                self._write(f"{time.strftime('%H:%M:%S')} {self._name}: {mark}: {text}{took}\n")

    def _leave(self) -> None:
        self._ended.set()
        self._ticker.join()
        with self._lock:
            if self in self._live:
                self._live.remove(self)

    def _tick(self) -> None:
        while not self._ended.wait(1.0):
            with self._lock:
                self._show(time.monotonic())

    def _show(self, now: float) -> None:
        if not self._text:
            return
        if self._terminal:
            if now - self._shown >= 0.1:
                self._shown = now
                live = [item for item in self._live if item._stream is self._stream and item._text]
                # A line that wraps could not be rewritten.
                room = shutil.get_terminal_size().columns // len(live) - 3
                self._write(f"{_ERASE}{_DIM}…{_RESET} " + "  ".join(item._line(now, room) for item in live))
        elif now - self._shown >= QUIET or not self._shown:
            self._shown = now
            self._write(f"{time.strftime('%H:%M:%S')} {self._name}: {self._text} ({_clock(now - self._started)})\n")

    def _line(self, now: float, room: int) -> str:
        elapsed = _clock(now - self._started)
        text = self._text.splitlines()[0][: max(room - len(f"{self._name:<12}   {elapsed}"), 10)]
        return f"{self._name:<12} {text}  {_DIM}{elapsed}{_RESET}"

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
