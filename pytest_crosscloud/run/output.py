"""The folder that a run reports into: one run at a time, and nothing in it that is not a run's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import ConfigurationError

#: Says that the folder is ours to clear.
_MARKER = ".crosscloud"

#: What a run writes. Allure's history stays: it is meant to grow.
_LOGS = ("builds", "clusters", "cells", "upgrades")
_FOLDERS = (*_LOGS, "allure-results", "allure")
_FILES = ("results.json", "index.html", "junit.xml", "allure.log")


class OutputInUse(ConfigurationError):
    """Another run reports there now."""


class Output:
    """Holds the folder until ``release``, or the end of this process.

    :param given: whether somebody named it; the default folder is ours in any case.
    :param patience: seconds to wait for another run that reports there now.
    :raises OutputInUse: it still does.
    :raises ConfigurationError: it holds what is somebody else's.
    """

    def __init__(self, out: Path, *, given: bool, patience: float = 0.0) -> None:
        self._out = out
        if given and out.is_dir() and not (out / _MARKER).exists() and any(out.iterdir()):
            raise ConfigurationError(f"{out} has files that are not a run's", remedy="name a new or an empty folder")
        out.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(out / _MARKER)
        try:
            self._lock.acquire(timeout=patience)
        except Timeout:
            raise OutputInUse(
                f"another run reports into {out}", remedy="wait for it, or give this one --crosscloud-out=DIR"
            ) from None

    def clear(self) -> None:
        """Remove what the last run wrote."""
        for name in _FOLDERS:
            shutil.rmtree(self._out / name, ignore_errors=True)
        for name in _FILES:
            (self._out / name).unlink(missing_ok=True)

    def release(self) -> None:
        self._lock.release()


def reporter(out: Path) -> str:
    """Id of the run whose reports are in ``out``; empty: of none."""
    try:
        return str(json.loads((out / "results.json").read_text(encoding="utf-8"))["run"]["id"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def copy_logs(source: Path, target: Path, *, of: str) -> None:
    """Copy what stages of the run ``of`` left in ``source`` to ``target``, if it is there: reports lead to it."""
    if source.resolve() == target.resolve() or reporter(source) != of:
        return
    for name in _LOGS:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, dirs_exist_ok=True)
