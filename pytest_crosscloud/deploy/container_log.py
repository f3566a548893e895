"""A container's log in a file of limited size: its beginning as it comes, and its end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path

from ..redact import redact

#: Bytes that are kept of the beginning and of the end.
HEAD = 4 << 20
TAIL = 1 << 20

#: The last line of a log that kubelet cannot follow, where its host has no inotify instance left.
NOT_FOLLOWED = "failed to create fsnotify watcher"


def follow(lines: Iterable[str], path: Path, *, head: int = HEAD, tail: int = TAIL) -> None:
    """Write ``lines`` to ``path`` as they come, redacted; past ``head`` bytes only the last ``tail`` bytes are kept.

    What is left out is said in the file. Whatever ``lines`` raises, the end that was read is written first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kept: deque[str] = deque()
    written = held = dropped = 0
    with path.open("w", encoding="utf-8") as log:
        try:
            for line in lines:
                if written < head:
                    text = redact(line) + "\n"
                    log.write(text)
                    log.flush()
                    written += len(text)
                    continue
                kept.append(line)
                held += len(line) + 1
                while held > tail:
                    gone = len(kept.popleft()) + 1
                    held -= gone
                    dropped += gone
        finally:
            if dropped:
                log.write(f"[pytest-crosscloud left out {dropped} bytes here: a log keeps {head} + {tail}]\n")
            log.writelines(redact(line) + "\n" for line in kept)
