"""Leases: who owns what, until when, and a token by which a former owner is known.

A token only grows, from lease to lease of a name: whoever acts for a lease sends it along, and what was done with
an older one is refused (fencing). An owner on this host that is dead loses its leases at once, another one when
they expire.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from ..errors import CrosscloudError

if TYPE_CHECKING:
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
    """What holds leases: ``Store.leases()`` gives them."""

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


class Heartbeat:
    """Renews a lease from a thread until the block ends, then releases it.

    ``lost`` is set, and ``on_lost`` called in the thread, when another has the lease, or when it could not be
    renewed before it expired.
    """

    def __init__(self, store: Store, lease: Lease, ttl: float, on_lost: Callable[[], None] = lambda: None) -> None:
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
        leases = self._store.leases()
        try:
            while not self._stop.wait(self._ttl / 3):
                try:
                    self.lease = leases.renew(self.lease, self._ttl)
                except LeaseLost:
                    return self._lose()
                except Exception:  # whatever the store's own errors are
                    if time.time() < self.lease.expires:
                        continue  # a full disk or a locked database may get better in time
                    return self._lose()
            leases.release(self.lease)
        finally:
            self._store.close()

    def _lose(self) -> None:
        self.lost.set()
        self._on_lost()
