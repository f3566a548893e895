"""The register in SQLite: nobody is told before it is on the disk, and those who wait share one synchronisation."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_crosscloud.run.leases_sqlite import Database, _Connected


@pytest.fixture
def synchronised(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were synchronised."""
    calls: list[str] = []
    fdatasync = os.fdatasync

    def noted(descriptor: int) -> None:
        calls.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fdatasync(descriptor)

    monkeypatch.setattr(os, "fdatasync", noted)
    return calls


def test_what_is_written_is_on_the_disk_when_that_is_said(tmp_path: Path, synchronised: list[str]) -> None:
    database = Database(tmp_path / "leases.db")
    for version in ("", "1", "2"):
        assert database.replace("x", version, "text")
    assert synchronised == ["leases.db-wal"] * 3
    database.close()


def test_those_who_wait_share_one_synchronisation(tmp_path: Path, synchronised: list[str]) -> None:
    database = Database(tmp_path / "leases.db")
    database.replace("x", "", "text")
    first, second = _Connected(tmp_path / "leases.db"), _Connected(tmp_path / "leases.db")
    numbers = []
    for connected in (first, second):
        with connected.alone():
            numbers.append(connected.count())
    synchronised.clear()

    second.synchronise(numbers[1])
    first.synchronise(numbers[0])

    assert synchronised == ["leases.db-wal"]
    first.close()
    second.close()
    database.close()


def test_counts_that_contradict_each_other_are_not_believed(tmp_path: Path, synchronised: list[str]) -> None:
    path = tmp_path / "leases.db"
    database = Database(path)
    database.replace("x", "", "text")
    database.close()
    # As a power cut may leave them: more is on the disk than was ever written.
    Path(f"{path}-counts").write_bytes((2).to_bytes(8, sys.byteorder) + (999).to_bytes(8, sys.byteorder))
    synchronised.clear()
    assert database.replace("x", "1", "text")
    assert len(synchronised) == 1
    database.close()


def test_a_killed_writer_holds_up_nobody(tmp_path: Path) -> None:
    path = tmp_path / "leases.db"
    script = f"""
import time
from pathlib import Path
from pytest_crosscloud.run.leases_sqlite import _Connected
connected = _Connected(Path({str(path)!r}))
with connected.alone():
    connected.db.execute("BEGIN IMMEDIATE")
    connected.db.execute("INSERT INTO leases VALUES ('x', 1, 'half')")
    print("inside", flush=True)
    time.sleep(600)
"""
    writer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert writer.stdout and writer.stdout.readline() == "inside\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    database = Database(path)
    assert database.read("x").version == ""
    assert database.replace("x", "", "whole")
    database.close()
