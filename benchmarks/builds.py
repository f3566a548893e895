"""Every build that can be made here: from nothing, again, and after another one that shares what it compiles.

BENCH_PROJECTS (names with commas) takes a few of them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_crosscloud import config, paths, plugins
from pytest_crosscloud.build import registry
from pytest_crosscloud.build.resolve import HEAD, STABLE
from pytest_crosscloud.errors import StageError

from .measure import Bench, Figure, Measure, NotMeasured

#: Seconds for one build of which nothing is cached.
_DEADLINE = 7200.0

#: Times what a build from nothing takes, for a second project at the same set of Go dependencies.
BOUND = 0.7

#: Two programs of one go.mod, each built here as a project of its own.
_FIRST, _SECOND = "notary:notary-server", "notary:notary-signer"

#: The variable that names projects.
SELECTION = "BENCH_PROJECTS"


@dataclass(frozen=True)
class Built:
    """What ``benchmarks.builder`` says of one build."""

    version: str
    seconds: float  #: of the build, with its e2e container and the push
    cached: bool
    bytes: int  #: of all images, the e2e container's too


def take(bench: Bench) -> Iterator[Figure]:
    """Taken once, whatever ``bench.runs``: minutes, of compilers rather than of chance."""
    taken = 0
    with _registry(bench) as host:
        for project in selected():
            try:
                for figure in _project(bench, host, project):
                    taken += 1
                    yield figure
            except StageError as error:
                with bench.item() as item:
                    item.end("left out", f"{project}: {error.message.splitlines()[-1]}")
        if _SECOND.partition(":")[0] in selected():
            yield from _second(bench, host)
    if not taken:
        raise NotMeasured("nothing could be built here")


def selected() -> list[str]:
    """The projects to take: those of BENCH_PROJECTS, else all that are active."""
    root = paths.data()
    known = [found.name for found in config.load(None, plugins.load(root), root).projects.values() if found.active]
    wanted = [name for name in os.environ.get(SELECTION, "").split(",") if name]
    if unknown := set(wanted) - set(known):
        raise NotMeasured(f"{SELECTION}: there is no project {', '.join(sorted(unknown))}")
    return wanted or known


def _project(bench: Bench, host: str, project: str) -> Iterator[Figure]:
    with _nothing_cached() as empty:
        stable = _build(bench, host, project, STABLE, empty, "cold")
        yield Figure(f"build-{project}-stable", stable.seconds, "s")
        yield Figure(f"build-{project}-stable-size", stable.bytes / 2**20, "MiB")
        again = _build(bench, host, project, STABLE, empty, "warm")
        if not again.cached:
            raise NotMeasured(f"{project} was built again, of unchanged inputs")
        yield Figure(f"build-{project}-stable-warm", again.seconds, "s")
        after = _build(bench, host, project, HEAD, empty, "after stable")
    if after.version == stable.version:
        return
    with _nothing_cached() as empty:
        head = _build(bench, host, project, HEAD, empty, "cold")
    yield Figure(f"build-{project}-head", head.seconds, "s")
    yield Figure(f"build-{project}-head-size", head.bytes / 2**20, "MiB")
    yield Figure(f"build-{project}-head-after-stable", after.seconds, "s", peer={"from nothing": head.seconds})


def _second(bench: Bench, host: str) -> Iterator[Figure]:
    with _nothing_cached() as empty:
        _build(bench, host, _FIRST, STABLE, empty, "cold")
        after = _build(bench, host, _SECOND, STABLE, empty, f"after {_FIRST}")
    with _nothing_cached() as empty:
        alone = _build(bench, host, _SECOND, STABLE, empty, "cold")
    yield Figure("build-second-seconds", after.seconds, "s", peer={"from nothing": alone.seconds})
    yield Figure("build-second", after.seconds / alone.seconds, "times", bound=BOUND)


def _build(bench: Bench, host: str, project: str, ref: str, cache: Mapping[str, str], how: str) -> Built:
    """Build in a new process, as a worker does. Its clock starts when its imports are done."""
    with bench.item() as item:
        which = f"{project} {ref}, {how}"
        item.progress(which)
        stage = bench.stage(f"build {project}-{ref}", _DEADLINE, item)
        command = [sys.executable, "-m", "benchmarks.builder", project, ref, host, str(bench.directory)]

        def said(line: str) -> None:
            item.progress(f"{which}: {line.strip()}")

        done = stage.command(command, cwd=paths.data(), env=cache, on_line=said)
        built = Built(**json.loads(done.output.splitlines()[-1]))
        item.end("done", f"{which}: {built.version} in {built.seconds:.1f} s, {built.bytes / 2**20:.0f} MiB")
    return built


@contextmanager
def _nothing_cached() -> Iterator[dict[str, str]]:
    """The environment in which nothing was built. Tools and Go modules that were fetched are there."""
    root = Path(tempfile.mkdtemp(prefix="crosscloud-builds-"))
    cache = root / "cache" / "crosscloud"
    cache.mkdir(parents=True)
    (cache / "tools").symlink_to(paths.cache("tools"))
    try:
        yield {"XDG_CACHE_HOME": str(root / "cache"), "GOCACHE": str(root / "go")}
    finally:
        shutil.rmtree(root)


@contextmanager
def _registry(bench: Bench) -> Iterator[str]:
    """A registry with nothing in it."""
    specs: list[dict[str, object]] = []
    run = f"bench-{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="crosscloud-registry-") as storage:
        try:
            yield registry.start(run, bench.directory, specs.append, storage=Path(storage)).host
        finally:
            for spec in specs:
                registry.release(spec)


MEASURE = Measure("builds", "every build that can be made here, from nothing and again; image sizes", take)
