"""A lock between processes that a stage can wait for: it says so, and its deadline holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .stage import StageContext


@contextmanager
def held(path: Path, stage: StageContext, holder: str) -> Iterator[None]:
    """Hold the lock ``path`` for the block.

    :param holder: who has it meanwhile, for the progress line: ``another Go build``.
    :raises DeadlineExceeded: it was not to be had in the stage's time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)

    def acquired() -> bool:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        return True

    if not acquired():
        stage.wait_until(acquired, holder)
    try:
        yield
    finally:
        lock.release()
