"""Leases: who owns what, until when, and a token by which a former owner is known.

A token only grows, from lease to lease of a name: whoever acts for a lease sends it along, and what was done with
an older one is refused (fencing). An owner on this host that is dead loses its leases at once, another one when
they expire.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from ..errors import CrosscloudError
from .processes import Process
from .store import Store


@dataclass(frozen=True)
class Lease:
    """One ownership of ``name``."""

    name: str
    owner: str  #: ``str(Process)``, so that its death is noticed
    token: int  #: grows with each lease of the name
    expires: float  #: seconds since the epoch


class LeaseLost(CrosscloudError):
    """Another has it now, or it was released: stop acting for it."""


class Leases(Protocol):
    """What holds leases. Implementations: ``SqliteLeases``."""

    def acquire(self, name: str, owner: str, ttl: float) -> Lease | None:
        """Take ``name`` for ``ttl`` seconds; None if it is taken, be it by the same owner."""

    def renew(self, lease: Lease, ttl: float) -> Lease:
        """Hold it for another ``ttl`` seconds from now.

        :raises LeaseLost: it is not this lease's any more.
        """

    def release(self, lease: Lease) -> None:
        """Give it back; nothing happens if it was lost."""

    def holder(self, name: str) -> Lease | None:
        """The lease that holds ``name`` now, if one does."""


class SqliteLeases:
    """Leases in the result store. Use it in the thread that opened the store."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def acquire(self, name: str, owner: str, ttl: float) -> Lease | None:
        with self._store.transaction() as db:
            current = self._row(db, name)
            if current and self._holds(current):
                return None
            lease = Lease(name, owner, current.token + 1 if current else 1, self._clock() + ttl)
            # The row stays after a release, for its token must not start again.
            db.execute(
                "INSERT OR REPLACE INTO leases (name, owner, token, expires) VALUES (?, ?, ?, ?)",
                (lease.name, lease.owner, lease.token, lease.expires),
            )
            return lease

    def renew(self, lease: Lease, ttl: float) -> Lease:
        with self._store.transaction() as db:
            current = self._row(db, lease.name)
            # One that expired and that nobody took since is still ours: a laptop may have slept.
            if current is None or current.token != lease.token or not current.expires:
                raise LeaseLost(f"the lease of {lease.name} was lost", remedy="this process was held up for too long")
            renewed = replace(lease, expires=self._clock() + ttl)
            db.execute("UPDATE leases SET expires = ? WHERE name = ?", (renewed.expires, lease.name))
            return renewed

    def release(self, lease: Lease) -> None:
        with self._store.transaction() as db:
            db.execute("UPDATE leases SET expires = 0 WHERE name = ? AND token = ?", (lease.name, lease.token))

    def holder(self, name: str) -> Lease | None:
        with self._store.transaction() as db:
            current = self._row(db, name)
        return current if current and self._holds(current) else None

    def _holds(self, lease: Lease) -> bool:
        owner = Process.parse(lease.owner)
        return lease.expires > self._clock() and not (owner and owner.is_dead)

    @staticmethod
    def _row(db: sqlite3.Connection, name: str) -> Lease | None:
        row = db.execute("SELECT name, owner, token, expires FROM leases WHERE name = ?", (name,)).fetchone()
        return Lease(*row) if row else None


class Heartbeat:
    """Renews a lease from a thread until the block ends, then releases it.

    ``lost`` is set, and ``on_lost`` called in the thread, when another has the lease, or when it could not be
    renewed before it expired.
    """

    def __init__(self, store: Path, lease: Lease, ttl: float, on_lost: Callable[[], None] = lambda: None) -> None:
        self.lease = lease
        self.lost = threading.Event()
        self._store = store
        self._ttl = ttl
        self._on_lost = on_lost
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat {lease.name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        store = Store(self._store)
        leases = SqliteLeases(store)
        try:
            while not self._stop.wait(self._ttl / 3):
                try:
                    self.lease = leases.renew(self.lease, self._ttl)
                except sqlite3.Error:
                    if time.time() < self.lease.expires:
                        continue  # a full disk or a locked database may get better in time
                    return self._lose()
                except LeaseLost:
                    return self._lose()
            leases.release(self.lease)
        finally:
            store.close()

    def _lose(self) -> None:
        self.lost.set()
        self._on_lost()
