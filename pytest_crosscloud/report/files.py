"""Writes report files so that a reader sees the old one or the new one, and finds what a run left beside them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Replace ``path`` by ``text``: on disk before it has the name, so that a power cut leaves no half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        os.fchmod(descriptor, 0o644)  # mkstemp gives 0600; a report is for everybody who may enter the folder
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def relative(path: str, out: Path) -> str:
    """``path`` as seen from ``out``, if it lies below it; else unchanged."""
    if not path.startswith("/"):
        return path
    absolute, base = Path(path), out.absolute()
    return str(absolute.relative_to(base)) if absolute.is_relative_to(base) else path


class Listing:
    """What stages left in their folders below ``out``: logs, evidence, release.env. Each folder is read once."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._files: dict[str, list[str]] = {}

    def below(self, folder: str) -> list[str]:
        """Every file in ``folder`` (a path below ``out``), as paths below ``out``, sorted."""
        if folder not in self._files:
            found = (path for path in (self._out / folder).rglob("*") if path.is_file()) if folder else ()
            self._files[folder] = sorted(path.relative_to(self._out).as_posix() for path in found)
        return self._files[folder]


def folder(log: str) -> str:
    """The stage's own folder, which is the one that holds its log; empty if it has none."""
    return log.rpartition("/")[0]
