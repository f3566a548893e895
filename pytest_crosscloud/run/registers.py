"""Leases over anything that can replace a value only for who has read the last one (compare and swap).

A lease is taken, renewed and given back in one such step each, so whoever acts on what is not true any more (a process
that was held up, a directory's listing that was cached) changes nothing, and learns it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from ..errors import CrosscloudError
from .leases import Lease, LeaseLost


@dataclass(frozen=True)
class Reading:
    """What a register holds of a name."""

    version: str  #: for ``replace``; empty: nothing yet
    text: str
    now: float  #: seconds since the epoch, on the register's clock, which is the same for all hosts


class Register(Protocol):
    """One text per name.

    :raises CrosscloudError: (from each method) it cannot be reached.
    """

    def read(self, name: str) -> Reading:
        """What was written last."""

    def replace(self, name: str, version: str, text: str) -> bool:
        """Write ``text`` if ``version`` is still what was written last; False if it is not.

        False may be wrong where an answer was lost on its way: the text is there all the same.
        """

    def close(self) -> None:
        """Give back what this thread holds of it."""


class RegisterLeases:
    """``Leases`` in a register.

    :param clock: seconds since the epoch; None: the register's.
    """

    def __init__(self, register: Register, clock: Callable[[], float] | None = None) -> None:
        self._register = register
        self._clock = clock

    def acquire(self, name: str, owner: str, ttl: float) -> Lease | None:
        while True:  # who comes second has another look; somebody always comes first
            found, current, now = self._read(name)
            if current and current.is_held(now):
                return None
            lease = Lease(name, owner, current.token + 1 if current else 1, now + ttl)
            if self._write(found, lease):
                return lease

    def renew(self, lease: Lease, ttl: float) -> Lease:
        while True:
            found, current, now = self._read(lease.name)
            if current is None or current.token != lease.token or not current.expires:
                raise LeaseLost(f"the lease of {lease.name} was lost", remedy="this process was held up for too long")
            renewed = replace(current, expires=now + ttl)
            if self._write(found, renewed):
                return renewed

    def release(self, lease: Lease) -> None:
        while True:
            found, current, _ = self._read(lease.name)
            if current is None or current.token != lease.token or not current.expires:
                return
            # What was written stays, for the token must not start again.
            if self._write(found, replace(current, expires=0.0)):
                return

    def holder(self, name: str) -> Lease | None:
        _, current, now = self._read(name)
        return current if current and current.is_held(now) else None

    def close(self) -> None:
        self._register.close()

    def _read(self, name: str) -> tuple[Reading, Lease | None, float]:
        found = self._register.read(name)
        now = self._clock() if self._clock else found.now
        return found, _parse(name, found.text) if found.version else None, now

    def _write(self, found: Reading, lease: Lease) -> bool:
        # The nonce makes each text another one: two that look alike are not taken for the same.
        text = json.dumps({**asdict(lease), "nonce": secrets.token_hex(8)})
        written = self._register.replace(lease.name, found.version, text)
        return written or self._register.read(lease.name).text == text


def _parse(name: str, text: str) -> Lease:
    try:
        values: dict[str, Any] = json.loads(text)
        return Lease(name, values["owner"], values["token"], values["expires"])
    except (ValueError, KeyError, TypeError) as error:
        raise CrosscloudError(
            f"what is written of the lease of {name} cannot be read: {text[:200]!r}",
            remedy="something else has written there: give leases a place of their own",
        ) from error
