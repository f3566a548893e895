"""A failed cell's bundle, to repeat it by: written once per run, whoever sees the cell fail."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ..model import Cell, StageName, Status
from . import requests

if TYPE_CHECKING:
    from .context import Run


def leave(run: Run, cell: Cell) -> None:
    """Pack what failed, once: while the run's registry is there, and before anything of it is destroyed."""
    from filelock import FileLock

    from ..repro import pack

    targets = (cell.build.id, cell.cluster.id, cell.id, cell.id)
    found = {
        name: result
        for name, target in zip(StageName, targets, strict=True)
        if (result := run.store.result(run.id, name, target))
    }
    if not any(result.status == Status.FAILED for result in found.values()):  # it was cancelled
        return
    lock = run.directory / "locks" / f"bundle-{cell.id}"
    # Beside the lock: a run that this one goes on with may have left a bundle.
    packed = lock.with_name(f"{lock.name}.packed")
    with suppress(OSError), FileLock(lock):  # a full disk must not hide what failed
        if not packed.exists():
            pack.pack(run, cell, found, requests.release(cell))
            packed.touch()
