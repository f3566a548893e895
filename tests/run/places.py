"""Places for leases, as processes open them. ``python -m tests.run.places KIND WHERE INSIDE ROUNDS`` fights for one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pytest_crosscloud.run.leases_directory import Directory
from pytest_crosscloud.run.leases_s3 import Bucket
from pytest_crosscloud.run.leases_sqlite import Database
from pytest_crosscloud.run.processes import Process
from pytest_crosscloud.run.registers import Register, RegisterLeases
from tests import bucket

#: How each is opened; ``where`` is a folder of its own, and its name that of a prefix in the bucket.
PLACES: dict[str, Callable[[Path], Register]] = {
    "sqlite": lambda where: Database(where / "leases.db"),
    "directory": Directory,
    "s3": lambda where: Bucket(f"s3://{bucket.BUCKET}/{where.name}"),
}


@dataclass(frozen=True)
class Place:
    """Opens a place, as each process does."""

    kind: str
    where: Path

    def __call__(self) -> Register:
        return PLACES[self.kind](self.where)


def main(kind: str, where: str, inside: str, rounds: str) -> None:
    """Take the one lease so often, and leave the tokens in the order in which they were granted."""
    leases = RegisterLeases(Place(kind, Path(where))())
    file = Path(inside)
    won = 0
    while won < int(rounds):
        lease = leases.acquire("cluster", str(Process.current()), 60)
        if lease is None:
            continue
        won += 1
        # Nobody else may be in here: creating the file fails if it is there.
        file.touch(exist_ok=False)
        with file.with_name("tokens").open("a") as tokens:
            tokens.write(f"{lease.token}\n")
        file.unlink()
        leases.release(lease)


if __name__ == "__main__":
    main(*sys.argv[1:])
