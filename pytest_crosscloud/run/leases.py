"""Leases: who owns what, until when, and a token by which a former owner is known.

A token only grows, from lease to lease of a name: whoever acts for a lease sends it along, and what was done with
an older one is refused (fencing). An owner on this host that is dead loses its leases at once, another one when
they expire.

The leases of one host are in its store (``sqlite``). Hosts that share a cloud share a directory
(``leases_directory``) or a bucket (``leases_s3``); both are ``registers``.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from ..errors import ConfigurationError, StageError
from .processes import Process

if TYPE_CHECKING:
    from .store import Store

#: What an address of a bucket begins with.
S3 = "s3://"


@dataclass(frozen=True)
class Lease:
    """One ownership of ``name``."""

    name: str
    owner: str  #: ``run/<id>``, or ``str(Process)`` so that its death is noticed
    token: int  #: grows with each lease of the name
    expires: float  #: seconds since the epoch, on the clock of where it is kept; 0: it was released

    def is_held(self, now: float) -> bool:
        """Whether nobody else may have the name: it has not expired, and its owner is not known to be dead."""
        owner = Process.parse(self.owner)
        return self.expires > now and not (owner and owner.is_dead)


class LeaseLost(StageError):
    """Another has it now, or it was released: stop acting for it, and do not try again."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy, is_final=True)


class Leases(Protocol):
    """What keeps leases. Any thread may use an instance; processes each open their own.

    What has returned is kept, also through a power cut.

    :raises CrosscloudError: (from each method) the place where they are kept cannot be reached.
    """

    def acquire(self, name: str, owner: str, ttl: float) -> Lease | None:
        """Take ``name`` for ``ttl`` seconds; None if it is taken, be it by the same owner."""

    def renew(self, lease: Lease, ttl: float) -> Lease:
        """Hold it for another ``ttl`` seconds from now. One that expired and that nobody took since is still ours.

        :raises LeaseLost: it is not this lease's any more.
        """

    def release(self, lease: Lease) -> None:
        """Give it back; nothing happens if it was lost."""

    def holder(self, name: str) -> Lease | None:
        """The lease that holds ``name`` now, if one does."""

    def close(self) -> None:
        """Give back what this thread holds of it; the instance can still be used."""


def open_leases(address: str, store: Store) -> Leases:
    """The leases at ``address``: an absolute path of a directory, ``s3://bucket/prefix``, or the store's own (empty).

    :raises ConfigurationError: it is none of them, or not to be used.
    """
    if not address:
        return store.leases()
    if address.startswith(S3):
        from .leases_s3 import Bucket
        from .registers import RegisterLeases

        return RegisterLeases(Bucket(address))
    path = Path(address).expanduser()
    if "://" in address or not path.is_absolute():
        raise ConfigurationError(
            f"leases: {address!r} is no place for leases",
            remedy="name the absolute path of a directory that all hosts mount, or s3://bucket/prefix",
        )
    from .leases_directory import Directory
    from .registers import RegisterLeases

    return RegisterLeases(Directory(path))


class Beside(ABC):
    """A thread that works beside a block, until the block ends and ``_stop`` is set."""

    def __init__(self, name: str) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    @abstractmethod
    def _work(self) -> None:
        """What the thread does."""


class Heartbeat(Beside):
    """Renews a lease from a thread until the block ends, then releases it.

    ``lost`` is set, and ``on_lost`` called in the thread, when another has the lease, or when it could not be
    renewed before it expired.
    """

    def __init__(self, leases: Leases, lease: Lease, ttl: float, on_lost: Callable[[], None] = lambda: None) -> None:
        super().__init__(f"heartbeat {lease.name}")
        self.lease = lease
        self.lost = threading.Event()
        self._leases = leases
        self._ttl = ttl
        self._on_lost = on_lost

    def _work(self) -> None:
        # Of our own timer, not of the clock that the lease expires by: that may be another host's.
        limit = time.monotonic() + self._ttl
        try:
            while not self._stop.wait(self._ttl / 3):
                asked = time.monotonic()
                try:
                    self.lease = self._leases.renew(self.lease, self._ttl)
                    limit = asked + self._ttl
                except LeaseLost:
                    return self._lose()
                except Exception:  # whatever the errors of where it is kept are
                    if time.monotonic() < limit:
                        continue  # a full disk or a locked database may get better in time
                    return self._lose()
            self._leases.release(self.lease)
        finally:
            self._leases.close()

    def _lose(self) -> None:
        self.lost.set()
        self._on_lost()
