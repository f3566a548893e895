"""10,000 cells with a test that does nothing, on 8 workers: what the machinery costs, against pytest-xdist's own."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from . import wide
from .measure import Bench, Figure, Measure, median
from .process import Used, run

#: Times what pytest-xdist takes.
BOUND = 0.5

CLOUDS, PROJECTS, WORKERS = 100, 100, 8

_PYTEST = (sys.executable, "-m", "pytest", "-q", f"-n{WORKERS}", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")

_OURS = """
def test_nothing(pipeline):
    pass
"""

_PEER = f"""
import pytest

@pytest.mark.parametrize("cell", [f"p{{p}}-stable-c{{c}}" for p in range({PROJECTS}) for c in range({CLOUDS})])
def test_nothing(cell):
    pass
"""


def take(bench: Bench) -> Iterator[Figure]:
    ours, peer = bench.directory / "ours", bench.directory / "peer"
    wide.write(ours, clouds=CLOUDS, projects=PROJECTS)
    peer.mkdir()
    (peer / "pytest.ini").write_text("[pytest]\n")
    for directory, text in ((ours, _OURS), (peer, _PEER)):
        (directory / "test_cells.py").write_text(text)
    pairs = []
    for number in range(bench.runs):
        with bench.item() as item:
            item.progress(f"{number + 1} of {bench.runs}")
            # Who comes first alternates.
            order = ("ours", "peer") if number % 2 else ("peer", "ours")
            taken = {name: _ours(ours) if name == "ours" else _peer(peer) for name in order}
            item.end("done", ", ".join(f"{name} {used.seconds:.1f} s" for name, used in taken.items()))
        pairs.append((taken["ours"], taken["peer"]))
    # The processor's time, too: on a busy computer the wall clock says more about the others than about us.
    for name, unit, of in (("trivial", "s", "seconds"), ("trivial-processor", "s", "processor")):
        mine, others = ([getattr(used, of) for used in side] for side in zip(*pairs, strict=True))
        yield median(name, [one / other for one, other in zip(mine, others, strict=True)], "times", bound=BOUND)
        yield median(f"{name}-seconds", mine, unit, peer={"pytest-xdist": statistics.median(others)})


def _ours(directory: Path) -> Used:
    # A registry that is given, so that none is started: nothing is pushed to it.
    options = [f"--clouds={wide.names('c', CLOUDS)}", f"--projects={wide.names('p', PROJECTS)}", "--refs=stable"]
    state = {name: str(directory / name.lower()) for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME")}
    return run([*_PYTEST, *options, "--registry=registry.test", "test_cells.py"], directory, variables=state)


def _peer(directory: Path) -> Used:
    return run([*_PYTEST, "-p", "no:crosscloud", "test_cells.py"], directory)


MEASURE = Measure("trivial", "10,000 cells with a test that does nothing on 8 workers, against pytest-xdist", take)
