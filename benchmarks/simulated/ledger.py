"""What happened on a simulated cloud, a JSON object a line: its server writes it, whoever wants to know reads it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """One event.

    ``what``: ``asked`` (for a create), ``create`` or ``refused``, ``lost`` (a create's answer), ``ready``, ``broken``
    (it never will be), ``taken`` (as spot instances are), ``delete``, ``kept`` (a delete was refused), ``gone``,
    ``list``, ``error``.
    """

    what: str
    cloud: str = ""
    id: str = ""  #: of the cluster
    name: str = ""
    run: str = ""  #: whose cluster it is: its tag ``crosscloud-run``
    by: str = ""  #: who asked, as the request says: ``run pid``
    epoch: float = 0.0  #: seconds since the epoch
    monotonic: float = 0.0  #: seconds on the clock that is never set


class Ledger:
    """The writing end. A line is one write: nothing is torn, whoever is killed."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._lock = threading.Lock()

    def note(self, what: str, **values: str) -> None:
        with self._lock:
            entry = Entry(what, **values, epoch=time.time(), monotonic=time.monotonic())
            os.write(self._fd, f"{json.dumps(asdict(entry))}\n".encode())


@dataclass(frozen=True)
class Life:
    """A cluster's, on the monotonic clock; None: not yet."""

    cloud: str
    name: str
    run: str
    created: float
    deleted: float | None  #: when the delete that worked was asked for
    deleted_by: str
    gone: float | None  #: when it was there no more, deleted or taken away


def read(path: Path) -> list[Entry]:
    """All entries, in order."""
    return [Entry(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def lives(path: Path) -> Mapping[str, Life]:
    """Every cluster that ever was, by its id."""
    found: dict[str, Life] = {}
    for entry in read(path):
        life = found.get(entry.id)
        if entry.what == "create":
            found[entry.id] = Life(entry.cloud, entry.name, entry.run, entry.monotonic, None, "", None)
        elif life and entry.what == "delete":
            found[entry.id] = Life(life.cloud, life.name, life.run, life.created, entry.monotonic, entry.by, life.gone)
        elif life and entry.what in ("gone", "taken"):
            found[entry.id] = Life(
                life.cloud, life.name, life.run, life.created, life.deleted, life.deleted_by, entry.monotonic
            )
    return found
