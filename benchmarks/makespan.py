"""12 clusters and 80 cells on 4 workers of pytest-xdist: how often is provisioned, and how long it takes altogether."""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_crosscloud import paths

from .measure import Bench, Figure, Measure, NotMeasured, median
from .simulated import ledger, rootdir
from .simulated.behaviour import Behaviour
from .simulated.workload import WORKERS, Workload, workload

#: Times the lower bound.
BOUND = 1.15

#: pytest-xdist's policies. ``load`` is its default; ``loadgroup`` is told which cells share a cluster.
PEERS = ("load", "loadgroup", "worksteal")

#: Seconds for one pytest.
_DEADLINE = 300.0


#: What every contestant has: bytecode that is written once, and no plugin of this checkout's own tests.
_COMMAND = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")
_ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "", "PYTEST_ADDOPTS": ""}


@dataclass(frozen=True)
class Taken:
    """One pytest, from the start of its process to its end; in seconds."""

    seconds: float
    provisions: int
    startup: float  #: until the first cluster is asked for
    work: float  #: from then until the last cluster is given back


def take(bench: Bench) -> Iterator[Figure]:
    work = workload()
    behaviour = {cloud: Behaviour(create=seconds) for cloud, seconds in work.clusters.items()}
    book = bench.directory / "ledger"
    rounds: list[dict[str, Taken]] = []
    with rootdir.serve(book, behaviour) as client:
        ours, peers = bench.directory / "ours", bench.directory / "peers"
        rootdir.write(ours, client, work.clouds, work.projects, work.stages)
        _write_peers(peers, client.address, work)
        for number in range(bench.runs):
            with bench.item() as item:
                taken: dict[str, Taken] = {}
                for name, command, directory in _contestants(ours, peers, number):
                    if not rounds and name not in taken:
                        _pytest(bench, name, [*command, "--collect-only"], directory)  # compiles what is not yet
                    item.progress(f"{number + 1} of {bench.runs}: {name}")
                    taken[name] = _run(bench, name, command, directory, book)
                item.end("done", ", ".join(f"{name} {one.seconds:.1f} s" for name, one in taken.items()))
            rounds.append(taken)
    yield from _figures(rounds, work.lower_bound)


def _figures(rounds: Sequence[dict[str, Taken]], lower_bound: float) -> Iterator[Figure]:
    def of(name: str, what: str) -> list[float]:
        return [getattr(taken[name], what) for taken in rounds]

    def peers(what: str, per: float = 1.0) -> dict[str, float]:
        return {name: statistics.median(of(name, what)) / per for name in PEERS}

    first = [seconds / lower_bound for seconds in of("first", "seconds")]
    again = [seconds / lower_bound for seconds in of("ours", "seconds")]
    best = min(PEERS, key=lambda name: statistics.median(of(name, "seconds")))
    ahead = [taken["ours"].seconds / taken[best].seconds for taken in rounds]
    yield median("provisions", of("ours", "provisions"), "clusters", bound=12, peer=peers("provisions"))
    yield median("makespan", again, "times", bound=BOUND, peer=peers("seconds", lower_bound))
    yield median("makespan-first", first, "times", bound=BOUND, peer=peers("seconds", lower_bound))
    yield median("makespan-ahead", ahead, "times", bound=1.0, peer={best: 1.0})
    yield median("makespan-seconds", of("ours", "seconds"), "s", peer=peers("seconds") | {"lower bound": lower_bound})
    for part in ("startup", "work"):
        yield median(f"makespan-{part}", of("ours", part), "s", peer=peers(part))


def _contestants(ours: Path, peers: Path, number: int) -> Iterator[tuple[str, list[str], Path]]:
    """Everybody of a round. Ours runs twice: without and with a history of how long each stage took."""
    table = json.loads((ours / "simulated.json").read_text())
    names = [f"--{kind}={','.join(table[kind])}" for kind in ("clouds", "projects")]
    # The registry is one that is given, so that none is started: nothing is pushed to it.
    command = [f"-n{WORKERS}", "--registry=registry.test", "--refs=stable", *names]
    shutil.rmtree(ours / "state", ignore_errors=True)
    runs = [("first", command, ours), ("ours", command, ours)]
    others = [(name, [f"-n{WORKERS}", "--dist", name, "-p", "no:crosscloud", "test_peer.py"], peers) for name in PEERS]
    yield from (runs + others if number % 2 else others + runs)


def _run(bench: Bench, name: str, command: Sequence[str], directory: Path, book: Path) -> Taken:
    before = len(ledger.read(book))
    started = time.monotonic()
    _pytest(bench, name, command, directory)
    taken = time.monotonic() - started
    entries = ledger.read(book)[before:]
    if left := [life.name for life in ledger.lives(book).values() if life.gone is None]:
        raise NotMeasured(f"{name}: clusters are left: {', '.join(left)}")
    asked = [entry.monotonic for entry in entries if entry.what == "asked"]
    last = max(entry.monotonic for entry in entries if entry.what == "delete")
    return Taken(taken, len(asked), asked[0] - started, last - asked[0])


def _pytest(bench: Bench, name: str, command: Sequence[str], directory: Path) -> None:
    stage = bench.stage(name, _DEADLINE)
    # Without tools: the last of our reports is made by a program of Node's, if it is installed; peers write none.
    environment = {
        **_ENVIRONMENT,
        "XDG_STATE_HOME": str(directory / "state"),
        "XDG_CACHE_HOME": str(directory / "cache"),
    }
    done = stage.command([*_COMMAND, *command], cwd=directory, env=environment, check=False)
    if done.code != 0:
        raise NotMeasured(f"{name}: pytest exited with {done.code}: see {stage.log}")


def _write_peers(directory: Path, address: str, work: Workload) -> None:
    directory.mkdir()
    cells: dict[str, dict[str, float]] = {cloud: {} for cloud in work.clouds}
    for (project, cloud), seconds in work.cells.items():
        cells[cloud][project] = seconds
    (directory / "workload.json").write_text(json.dumps({"address": address, "cells": cells}))
    (directory / "pytest.ini").write_text("[pytest]\n")
    (directory / "test_peer.py").symlink_to(paths.data("benchmarks", "simulated", "peer.py"))


MEASURE = Measure("makespan", "12 clusters and 80 cells on 4 workers, against pytest-xdist's own policies", take)
