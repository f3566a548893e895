"""What the plugin costs a pytest that selects no cloud: the whole process with it against the whole process without."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .measure import Bench, Figure, Measure, median
from .process import run

#: Milliseconds over pytest itself.
BOUND = 30.0

#: Pairs for each run that is asked for: one process start varies by more than what is measured.
PAIRS = 10

_PYTEST = (sys.executable, "-m", "pytest", "--collect-only", "--quiet")
_WITHOUT = ("-p", "no:crosscloud")

#: pytest's exit code for an empty directory.
_NOTHING_COLLECTED = 5


def take(bench: Bench) -> Iterator[Figure]:
    pairs = PAIRS * bench.runs
    plugin: list[tuple[float, float]] = []
    alone: list[tuple[float, float]] = []
    with bench.item() as item, tempfile.TemporaryDirectory() as empty:
        _start(empty)  # compiles what is not compiled yet
        for number in range(pairs):
            item.progress(f"pair {number + 1} of {pairs}")
            # Who comes first alternates, so that neither always runs on what the other left in the caches.
            order = ((), _WITHOUT) if number % 2 else (_WITHOUT, ())
            taken = {options: _start(empty, *options) for options in order}
            (wall, cpu), (wall_alone, cpu_alone) = taken[()], taken[_WITHOUT]
            plugin.append((wall - wall_alone, cpu - cpu_alone))
            alone.append((wall_alone, cpu_alone))
        item.end("done", f"{pairs} pairs")
    # Processor time, too: on a busy computer the wall clock says more about the others than about us.
    for name, differences, others in zip(
        ("import", "import-cpu"), zip(*plugin, strict=True), zip(*alone, strict=True), strict=True
    ):
        yield median(name, differences, "ms", bound=BOUND, peer={"pytest alone": statistics.median(others)})


def _start(directory: str, *options: str) -> tuple[float, float]:
    """Milliseconds of one process from start to end, and of the processor's time in it."""
    used = run([*_PYTEST, *options], Path(directory), expected=_NOTHING_COLLECTED)
    return used.seconds * 1000, used.processor * 1000


MEASURE = Measure("import", "import time of the plugin in a pytest that selects no cloud", take)
