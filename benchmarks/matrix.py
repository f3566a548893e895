"""The full local matrix in one run: all that can be built here, stable and head, on Kubernetes stable and head.

BENCH_PROJECTS (names with commas) takes a few projects, BENCH_KUBERNETES one Kubernetes.
"""

from __future__ import annotations

import collections
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_crosscloud.build import registry

from .builds import selected
from .measure import Bench, Figure, Measure, NotMeasured

#: Seconds for all of it, with nothing built.
_DEADLINE = 6 * 3600.0

#: Seconds between two looks at the memory.
_INTERVAL = 0.5

#: pytest's exit codes of a run that came to its end, green or red.
_ENDED = (0, 1)

#: A line of the registry's log: who asked, for what, and how it was answered.
_BLOB = re.compile(r'^(?P<who>\S+) .*"GET /v2/\S+/blobs/(?P<digest>sha256:[0-9a-f]{64}) HTTP/[\d.]+" 200 ')


def take(bench: Bench) -> Iterator[Figure]:
    """Taken once, whatever ``bench.runs``."""
    projects = selected()
    rootdir = bench.directory / "root"
    rootdir.mkdir()
    (rootdir / "pytest.ini").write_text("[pytest]\n")
    # Else stable may well be what head is.
    (rootdir / "cross-cloud.yml").write_text("kubernetes:\n  stable: auto\n")
    with _registry(bench) as (host, log), bench.item() as item:
        which = f"{len(projects)} projects"
        item.progress(which)
        stage = bench.stage("matrix", _DEADLINE, item)
        command = [sys.executable, "-m", "pytest", "-n", "auto", "-p", "no:cacheprovider", "--clouds=local"]
        command += [f"--projects={','.join(projects)}", "--refs=stable,head", f"--registry={host}"]
        command += [f"--kubernetes={os.environ.get('BENCH_KUBERNETES') or 'stable,head'}"]
        started = time.monotonic()
        with _Memory() as memory:
            done = stage.command(command, cwd=rootdir, on_line=lambda line: item.progress(line.strip()), check=False)
        seconds = time.monotonic() - started
        if done.code not in _ENDED:
            raise NotMeasured(f"pytest exited with {done.code}: {done.output[-2000:]}")
        results = json.loads((rootdir / "reports/out/results.json").read_text())
        item.end("done", f"{which}: {len(results['cells'])} cells in {seconds:.0f} s")
        pulls = pulled(log.read_text(errors="replace").splitlines())
    parts = sum(stages(results).values())
    states = collections.Counter(cell["status"] for cell in results["cells"])
    yield Figure("matrix", seconds, "s", peer={"its stages one after the other": parts})
    yield Figure("matrix-share", seconds / parts, "times")
    yield Figure("matrix-memory", memory.most, "MiB")
    yield Figure("matrix-pulls", pulls.total(), "blobs")
    yield Figure("matrix-pulled-twice", sum(count - 1 for count in pulls.values()), "blobs", bound=0)
    yield Figure("matrix-cells", len(results["cells"]), "cells", peer={str(name): states[name] for name in states})


def stages(results: dict[str, Any]) -> dict[str, float]:
    """Seconds of every stage that ran, by its key: cells share builds and clusters."""
    return {
        f"{name} {stage['target']}": stage["seconds"]
        for cell in results["cells"]
        for name, stage in cell["stages"].items()
        if stage["seconds"]
    }


def pulled(log: list[str]) -> collections.Counter[tuple[str, str]]:
    """How often each node (by its address) fetched each blob, from the registry's log."""
    return collections.Counter((found["who"], found["digest"]) for line in log if (found := _BLOB.match(line)))


@dataclass
class _Memory:
    """How much memory of this computer went, at most, while the block ran: MiB. Others on it are counted, too."""

    most: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> _Memory:
        self._before = _available()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_INTERVAL):
            self.most = max(self.most, self._before - _available())


def _available() -> float:
    line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:"))
    return int(line.split()[1]) / 1024


@contextmanager
def _registry(bench: Bench) -> Iterator[tuple[str, Path]]:
    """A registry with nothing in it, and its log, which has each request."""
    specs: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="crosscloud-registry-") as storage:
        run = f"bench-{os.getpid()}"
        try:
            started = registry.start(run, bench.directory, specs.append, storage=Path(storage), access_log=True)
            yield started.host, bench.directory / "registry.log"
        finally:
            for spec in specs:
                registry.release(spec)


MEASURE = Measure("matrix", "the full local matrix in one run: time, memory, and what is pulled", take)
