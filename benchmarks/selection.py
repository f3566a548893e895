"""One project of a matrix of 100,000 cells: what its selection costs, against pytest asked for one of 100,000 tests."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from . import wide
from .measure import Bench, Figure, Measure, median
from .process import Used, run

#: Seconds, and MiB, over a pytest that collects nothing.
BOUND, MEMORY_BOUND = 1.0, 100.0

CLOUDS, PROJECTS, REFS = 100, 100, 10

_PYTEST = (
    sys.executable,
    "-m",
    "pytest",
    "--collect-only",
    "-q",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:hypothesispytest",
)
_WITHOUT = ("-p", "no:crosscloud")

#: pytest's exit code for an empty directory.
_NOTHING_COLLECTED = 5

_PEER = f"""
import pytest

CELLS = [f"p{{p}}-r{{r}}-c{{c}}" for p in range({PROJECTS}) for r in range({REFS}) for c in range({CLOUDS})]

@pytest.mark.parametrize("cell", CELLS)
def test_e2e(cell):
    pass
"""


def take(bench: Bench) -> Iterator[Figure]:
    ours, peer, empty = (bench.directory / name for name in ("ours", "peer", "empty"))
    wide.write(ours, clouds=CLOUDS, projects=PROJECTS)
    peer.mkdir()
    (peer / "test_cells.py").write_text(_PEER)
    empty.mkdir()
    for directory in (peer, empty):
        (directory / "pytest.ini").write_text("[pytest]\n")
    rounds = []
    with bench.item() as item:
        for number in range(bench.runs + 1):
            item.progress(f"{number} of {bench.runs}" if number else "the first one compiles, and does not count")
            rounds.append(_round(ours, peer, empty, forwards=bool(number % 2)))
        item.end("done", f"{bench.runs} rounds")
    for name, unit, bound, of in (
        ("select", "s", BOUND, "seconds"),
        ("select-processor", "s", BOUND, "processor"),
        ("select-memory", "MiB", MEMORY_BOUND, "memory"),
    ):
        over = {
            which: [getattr(used[which], of) - getattr(used["empty"], of) for used in rounds[1:]]
            for which in ("ours", "peer")
        }
        yield median(
            name, over["ours"], unit, bound=bound, peer={"pytest, one node id": statistics.median(over["peer"])}
        )


def _round(ours: Path, peer: Path, empty: Path, *, forwards: bool) -> dict[str, Used]:
    refs, clouds = wide.names("r", REFS), wide.names("c", CLOUDS)
    contestants = [
        ("ours", ours, [f"--clouds={clouds}", f"--refs={refs}", "--projects=p50"], 0),
        ("peer", peer, [*_WITHOUT, "test_cells.py::test_e2e[p50-r5-c50]"], 0),
        ("empty", empty, _WITHOUT, _NOTHING_COLLECTED),
    ]
    return {
        name: run([*_PYTEST, *options], directory, expected=expected)
        for name, directory, options, expected in (contestants if forwards else reversed(contestants))
    }


MEASURE = Measure("select", "one project of 100,000 cells, against pytest and one node id of 100,000", take)
