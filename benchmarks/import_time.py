"""What the plugin costs a pytest that selects no cloud: the whole process with it against the whole process without."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from .measure import Bench, Figure, Measure, NotMeasured, median

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
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen([*_PYTEST, *options], cwd=directory, env=environment, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        taken = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != _NOTHING_COLLECTED:
            said.seek(0)
            raise NotMeasured(f"pytest exited with {process.returncode}: {said.read().decode(errors='replace')}")
    return taken * 1000, (used.ru_utime + used.ru_stime) * 1000


MEASURE = Measure("import", "import time of the plugin in a pytest that selects no cloud", take)
