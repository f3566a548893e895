"""The count of double grants counts: none over our registers, and those of a register that gives twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import leases
from benchmarks.lease_worker import GRANT


@pytest.mark.parametrize("kind", ["sqlite", "directory"])
def test_nothing_is_granted_twice(tmp_path: Path, kind: str) -> None:
    assert leases.count_double(tmp_path / "where", kind, 1600) == 0


def test_what_is_granted_twice_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def granted(where: Path, kind: str, grants: int) -> float:
        where.mkdir()
        # The second name: had by two at once. The first: a token that comes again.
        rows = ((0, 1, 10, 20), (0, 1, 30, 40), (1, 1, 10, 20), (1, 2, 15, 30))
        (where / "grants-0").write_bytes(b"".join(GRANT.pack(*row) for row in rows))
        return 1.0

    monkeypatch.setattr(leases, "_sample", granted)
    assert leases.count_double(tmp_path / "where", "sqlite", 4) == 2
