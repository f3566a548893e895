"""How fast eight processes take leases and give them back, durably, and whether two ever had the same at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from pytest_crosscloud import paths

from .lease_worker import GRANT
from .measure import Bench, Figure, Measure, NotMeasured, median

PROCESSES = 8

#: Microseconds for one acquire and release: 1,500 a second.
BOUND = 1e6 / 1500

#: Grants of one sample, and of the count of double ones.
SAMPLE, MILLION = 8_000, 1_000_000

#: A directory synchronises four times as often, and a file's name besides.
_DIRECTORY = 1_600

#: Seconds for all processes together.
_DEADLINE = 3600.0


def take(bench: Bench) -> Iterator[Figure]:
    with bench.item() as item:
        item.progress("the disk's own time")
        yield median("leases-disk", [_synchronise(bench.directory) for _ in range(bench.runs)], "µs")
        ours, plain, directory = [], [], []
        for number in range(bench.runs):
            item.progress(f"{number + 1} of {bench.runs}")
            ours.append(_sample(bench.directory / f"sqlite-{number}", "sqlite", SAMPLE))
            plain.append(_sample(bench.directory / f"plain-{number}", "plain", SAMPLE // 4))
            directory.append(_sample(bench.directory / f"directory-{number}", "directory", _DIRECTORY))
        figure = median("leases", plain, "µs")
        yield median("leases", ours, "µs", bound=BOUND, peer={"SQLite alone": figure.value})
        yield median("leases-directory", directory, "µs")
        item.progress(f"{MILLION} grants")
        yield Figure("leases-double", count_double(bench.directory / "million", "sqlite", MILLION), "grants", bound=0)
        item.end("done", f"{MILLION} grants checked")


def count_double(where: Path, kind: str, grants: int) -> int:
    """Have so many leases granted, and count those that were granted while another had the name, or with its token."""
    _sample(where, kind, grants)
    by_name: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for file in where.glob("grants-*"):
        for name, token, begun, ended in GRANT.iter_unpack(file.read_bytes()):
            by_name[name].append((begun, ended, token))
    if (counted := sum(map(len, by_name.values()))) != grants:
        raise NotMeasured(f"{counted} grants were noted, not {grants}")
    double = 0
    for held in by_name.values():
        held.sort()
        for (_, ended, token), (begun, _, next_token) in pairwise(held):
            double += begun < ended or next_token <= token
    return double


def _sample(where: Path, kind: str, grants: int) -> float:
    """Microseconds for each grant, of all processes together."""
    where.mkdir()
    command = [sys.executable, "-m", "benchmarks.lease_worker", kind, str(where), str(grants // PROCESSES)]
    processes = [
        subprocess.Popen(
            [*command, str(where / f"grants-{number}")],
            cwd=paths.data(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for number in range(PROCESSES)
    ]
    try:
        for process in processes:
            if not process.stdout or not process.stdout.readline():
                raise NotMeasured(f"a process did not come up; it exited with {process.wait()}")
        started = time.perf_counter()
        for process in processes:
            assert process.stdin
            process.stdin.write(b"go\n")
            process.stdin.close()
        for process in processes:
            if code := process.wait(_DEADLINE):
                raise NotMeasured(f"a process exited with {code}")
        return (time.perf_counter() - started) / grants * 1e6
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


def _synchronise(directory: Path, times: int = 200) -> float:
    """Microseconds that the disk takes for 4 KiB at the end of a file: what everything durable is measured against."""
    with (directory / "synchronised").open("wb") as file:
        started = time.perf_counter()
        for _ in range(times):
            file.write(bytes(4096))
            file.flush()
            os.fdatasync(file.fileno())
        return (time.perf_counter() - started) / times * 1e6


MEASURE = Measure("leases", "acquire and release by 8 processes, durable, and double grants of a million", take)
