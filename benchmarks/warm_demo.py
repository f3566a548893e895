"""``make demo`` when everything that it builds is in the cache: what somebody waits for who changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator

from pytest_crosscloud import paths

from .measure import Bench, Figure, Measure, median

#: Seconds, on two cores.
BOUND = 90.0

#: Seconds for a demo that has to build everything first.
_DEADLINE = 3600.0


def take(bench: Bench) -> Iterator[Figure]:
    _demo(bench, "the first one fills the cache")
    yield median("warm-demo", [_demo(bench, f"{n + 1} of {bench.runs}") for n in range(bench.runs)], "s", bound=BOUND)


def _demo(bench: Bench, which: str) -> float:
    with bench.item() as item:
        item.progress(which)
        stage = bench.stage("demo", _DEADLINE, item)
        # Not the settings of a make that runs us.
        environment = {"MAKEFLAGS": "", "MAKELEVEL": ""}
        started = time.monotonic()
        stage.command(
            ["make", "demo"],
            cwd=paths.data(),
            env=environment,
            on_line=lambda line: item.progress(f"{which}: {line.strip()}"),
        )
        taken = time.monotonic() - started
        item.end("done", f"{which}: {taken:.1f} s")
    return taken


MEASURE = Measure("warm-demo", "make demo when everything that it builds is in the cache", take)
