"""The first ``make demo`` of a bare host: nothing cached, nothing on PATH but what the distribution has."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pytest_crosscloud import paths
from pytest_crosscloud.run.destroy import left
from pytest_crosscloud.run.store import open_store
from pytest_crosscloud.stage import StageContext

from .measure import Bench, Figure, Measure

#: Seconds in all, on two cores, with everything built from source.
BOUND = 900.0

#: Seconds for each command.
_DEADLINE = 7200.0

#: Seconds for the reaper of a demo that was interrupted.
_REAPED = 120.0

#: The distribution's own programs; a Go or Terraform beside them would not be on a bare host.
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

#: The line with which ``crosscloud setup`` ends a part: ``12:30:59 kubernetes: done: v1.36.3 built: …``.
_SET_UP = re.compile(r"\d\d:\d\d:\d\d (?P<part>[\w-]+): (?:done|left out): ")

#: What the user types, in order; ``make demo`` does the others, too, and finds them done.
COMMANDS = (("make", "venv"), ("make", "setup"), ("make", "demo"))


def take(bench: Bench, commands: Sequence[Sequence[str]] = COMMANDS) -> Iterator[Figure]:
    """Taken once, whatever ``bench.runs``: it is a matter of minutes, and of compilers rather than of chance."""
    total = 0.0
    with _bare_host(bench) as (checkout, environment):
        for command in (("git", "clone", "--quiet", f"file://{paths.data()}", str(checkout)), *commands):
            parts, taken = _timed(bench, command, checkout if checkout.exists() else checkout.parent, environment)
            total += taken
            name = "clone" if command[0] == "git" else command[1]
            for part, seconds in parts.items():
                yield Figure(f"first-run-{name}-{part}", seconds, "s")
            yield Figure(f"first-run-{name}", taken, "s")
    if commands == COMMANDS:
        yield Figure("first-run", total, "s", BOUND)


def _timed(
    bench: Bench, command: Sequence[str], directory: Path, environment: Mapping[str, str]
) -> tuple[dict[str, float], float]:
    """Seconds that a command took, and of each part that it says it has set up."""
    parts: dict[str, float] = {}
    what = " ".join(command[:2])
    with bench.item() as item:
        item.progress(what)
        started = last = time.monotonic()

        def read(line: str) -> None:
            nonlocal last
            item.progress(f"{what}: {line.strip()}")
            if match := _SET_UP.match(line):
                now = time.monotonic()
                parts[match["part"]], last = now - last, now

        bench.stage("first-run", _DEADLINE, item).command(command, cwd=directory, env=environment, on_line=read)
        taken = time.monotonic() - started
        item.end("done", f"{what}: {taken:.1f} s")
    return parts, taken


@contextmanager
def _bare_host(bench: Bench) -> Iterator[tuple[Path, dict[str, str]]]:
    """A place for a checkout, and the environment in which every cache is empty; all of it is removed in the end."""
    root = Path(tempfile.mkdtemp(prefix="crosscloud-first-run-"))
    names = ("XDG_CACHE_HOME", "XDG_STATE_HOME", "GOMODCACHE", "GOCACHE", "npm_config_cache")
    environment = {name: str(root / name.lower()) for name in names}
    environment |= {"PATH": _PATH, "MAKEFLAGS": "", "MAKELEVEL": ""}
    try:
        yield root / "checkout", environment
    finally:
        _remove(root, Path(environment["XDG_STATE_HOME"], "crosscloud/crosscloud.db"), bench.stage("remove", _REAPED))


def _remove(root: Path, database: Path, stage: StageContext) -> None:
    """Remove everything, but not under the feet of the reaper of a demo that was interrupted."""
    if database.exists():
        store = open_store(database)
        stage.wait_until(
            lambda: not any(left(store, run.id, kept=True) for run in store.runs()),
            f"the reaper, which needs {root}",
        )
        store.close()
    for directory, _, _ in os.walk(root):
        Path(directory).chmod(0o700)  # Go's module cache is read-only
    shutil.rmtree(root)


MEASURE = Measure("first-run", "the first make demo of a bare host, nothing cached, and each part of it; once", take)
