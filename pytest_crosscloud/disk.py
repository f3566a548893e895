"""Full disks: seen before a run starts, named when they happen, and survived with what was set aside for it."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from . import paths
from .errors import StageError
from .model import ErrorClass

#: Bytes of its own that a run needs in each folder: records, logs, reports. What is built and provisioned comes on top.
NEEDED = 64 * 2**20

#: Bytes that lie ready for the end of a run on a full disk: its records, and the state that Terraform writes.
_RESERVED = 8 * 2**20

#: Bytes of a database's log: some hundred records.
_LOG = 2 * 2**20

_FULL = (errno.ENOSPC, errno.EDQUOT)

#: How programs say it (strerror(3)).
_MESSAGE = os.strerror(errno.ENOSPC).lower()

REMEDY = "make room there; what was recorded is kept, and what was built stays in the cache"


def folders(out: Path) -> tuple[Path, ...]:
    """Where a run that reports into ``out`` writes."""
    return out, paths.state(), paths.cache(), Path(tempfile.gettempdir())


def lacking(folders: Iterable[Path]) -> list[str]:
    """A line for each folder, there already or not, whose file system has less than ``NEEDED`` bytes left."""
    lines = []
    for folder in folders:
        there = folder
        while not there.exists():
            there = there.parent
        free = shutil.disk_usage(there).free
        if free < NEEDED:
            lines.append(f"{folder}: {free >> 20} MiB free, a run needs {NEEDED >> 20}")
    return lines


def is_full(error: BaseException) -> bool:
    """Whether an error says that a file system, or the user's share of it, is full."""
    if isinstance(error, sqlite3.OperationalError):
        # SQLITE_IOERR, too: there may be no room for the shared memory beside the log (sqlite.org/rescode.html).
        return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
    return isinstance(error, OSError) and error.errno in _FULL


def says_full(output: str) -> bool:
    """Whether a program's output says so."""
    return _MESSAGE in output.lower()


def failure(error: OSError, folders: Iterable[Path]) -> StageError:
    """The failure of a stage that met a full disk: nobody's product is to blame.

    :param folders: what a stage writes to; those without room are named if the error names no file.
    """
    where = "; ".join([str(error.filename)] if error.filename else lacking(folders))
    return StageError(f"{_MESSAGE}: {where}", remedy=REMEDY, error_class=ErrorClass.INFRASTRUCTURE, is_final=True)


def lay_out_log(descriptor: int) -> None:
    """Set room aside for what a database's write-ahead log gets on a full disk; on one that is full already, none.

    SQLite reads no further than what is valid, and uses the file again from its start.
    """
    with suppress(OSError):
        os.posix_fallocate(descriptor, 0, _LOG)


class Reserve:
    """A file that only takes up room, until ``spend`` removes it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fill(self) -> None:
        """Set the room aside, unless it is; on a disk that is too full for it, there is none."""
        if self._path.exists():
            return
        partial = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            descriptor = os.open(partial, os.O_CREAT | os.O_WRONLY, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, _RESERVED)
            finally:
                os.close(descriptor)
            partial.replace(self._path)
        except OSError:
            with suppress(OSError):
                partial.unlink()

    def spend(self) -> bool:
        """Give the room to whoever needs it now. False: there is none any more."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
