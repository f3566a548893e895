"""Makes a thing in the cache once, however many processes ask for it, and whenever one is killed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from .. import paths
from ..stage import StageContext


def made(stage: StageContext, kind: str, key: str, label: str, make: Callable[[Path], None]) -> Path:
    """The directory ``<cache>/<kind>/<key>``, made by ``make(directory)`` unless it is there.

    ``make`` fills a directory that nobody else sees; only when it returns does that get its name. So the
    result is whole or absent, also after a ``kill -9``. Another process that is making it is waited for.

    :param label: what is being made, for whoever waits.
    :raises DeadlineExceeded: the stage's time ended while another process was making it.
    """
    target = paths.cache(kind, key)
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    owner = target.with_name(f".{key}.owner")
    with _Lock(stage, target.with_name(f".{key}.lock"), owner, label):
        if target.is_dir():
            return target
        owner.write_text(f"{os.getpid()} ({Path(sys.argv[0]).name})")
        making = target.with_name(f".{key}.making")
        _remove(making)  # what a killed process left
        making.mkdir()
        try:
            make(making)
            making.rename(target)
        except BaseException:
            _remove(making)
            raise
        finally:
            owner.unlink(missing_ok=True)
    return target


class _Lock:
    """A file lock that says whom it waits for, within the stage's deadline. The kernel frees it at ``kill -9``."""

    def __init__(self, stage: StageContext, path: Path, owner: Path, label: str) -> None:
        self._stage, self._lock, self._owner, self._label = stage, FileLock(path), owner, label

    def __enter__(self) -> None:
        if not self._try():
            holder = self._owner.read_text() if self._owner.exists() else "another"
            self._stage.wait_until(self._try, f"process {holder}, which is making {self._label}")

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _try(self) -> bool:
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            return False
        return True


def _remove(directory: Path) -> None:
    if directory.exists():
        # What Go unpacks is read-only.
        for path in directory.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
        shutil.rmtree(directory)
