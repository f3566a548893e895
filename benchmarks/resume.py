"""10,000 cells, of which half are finished when pytest is killed: what the other half takes, resumed and on its own."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_crosscloud.model import StageName
from pytest_crosscloud.run.destroy import left
from pytest_crosscloud.run.store import Store, open_store

from .measure import Bench, Figure, Measure, NotMeasured, median
from .process import Used, run
from .simulated import rootdir

#: Projects and clouds: their product is the number of cells.
SIDE = 100

#: Seconds over those of the same cells in a run of their own.
BOUND = 1.0

WORKERS = 2

#: Seconds for one pytest.
_DEADLINE = 3600.0

#: Leaves out the tests that a file names: a run of only the others, which knows nothing of an earlier one.
_CONFTEST = """\
import os, pathlib

def pytest_collection_modifyitems(config, items):
    path = os.environ.get("LEAVE_OUT")
    if path:
        names = set(pathlib.Path(path).read_text().splitlines())
        items[:] = [item for item in items if item.nodeid not in names]
"""

_PEER = """\
import pathlib, pytest

@pytest.mark.parametrize("number", range({cells}))
def test_cell(number):
    with pathlib.Path("ledger").open("a") as ledger:
        ledger.write(f"{{number}}\\n")
"""


@dataclass(frozen=True)
class Half:
    """A run that was killed at half, with all that there is of it."""

    directory: Path
    run: str
    finished: frozenset[str]  #: keys of its e2e stages that are


def take(bench: Bench, side: int = SIDE) -> Iterator[Figure]:
    root = bench.directory / "root"
    names = [f"n{number}" for number in range(side)]
    with rootdir.serve(bench.directory / "ledger") as client:
        made = bench.directory / "made"
        rootdir.write(root, client, {name: {} for name in names}, {name: {} for name in names}, {}, made)
        (root / "conftest.py").write_text(_CONFTEST)
        half = _half(bench, root, names)
        pairs: list[tuple[Used, Used]] = []
        again = 0
        for number in range(bench.runs):
            with bench.item() as item:
                taken = {}
                for name in ("fresh", "resumed") if number % 2 else ("resumed", "fresh"):
                    item.progress(f"{number + 1} of {bench.runs}: {name}")
                    taken[name], rerun = _other_half(bench, root, names, half, name == "resumed")
                    again += rerun if name == "resumed" else 0
                item.end("done", ", ".join(f"{name} {used.seconds:.1f} s" for name, used in taken.items()))
            pairs.append((taken["resumed"], taken["fresh"]))
    peer = _peer(bench, root, side * side)
    yield Figure("resume-rerun", again, "finished cells", 0, {"pytest --lf": peer})
    yield median("resume-overhead", [resumed.seconds - fresh.seconds for resumed, fresh in pairs], "s", bound=BOUND)
    yield median("resume-processor", [resumed.processor - fresh.processor for resumed, fresh in pairs], "s")
    fresh = statistics.median(fresh.seconds for _, fresh in pairs)
    yield median("resume-seconds", [resumed.seconds for resumed, _ in pairs], "s", peer={"fresh": fresh})
    yield Figure("resume-finished", len(half.finished), f"of {side * side} cells when it was killed")


def _half(bench: Bench, root: Path, names: Sequence[str]) -> Half:
    # Where each resumed one is put, too: a run knows the folders that it wrote to.
    directory = bench.directory / "run"
    with bench.item() as item:
        item.progress("the first half")
        process = subprocess.Popen(
            _command(names, directory),
            cwd=root,
            env=_environment(directory),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        store = open_store(_database(directory))
        try:
            limit = time.monotonic() + _DEADLINE
            while len(_e2e(store)) < len(names) ** 2 / 2:
                if process.poll() is not None or time.monotonic() > limit:
                    raise NotMeasured(f"pytest ended before half of the cells were finished: {process.poll()}")
                time.sleep(0.5)
            process.kill()
            process.wait()
            (run,) = store.runs()
            while left(store, run.id) or (found := store.run(run.id)) is None or found.finished is None:
                if time.monotonic() > limit:
                    raise NotMeasured("the reaper of the killed run does not end")
                time.sleep(0.2)
            finished = frozenset(_e2e(store))
        finally:
            process.kill()
            process.wait()
            store.close()
        item.end("done", f"killed with {len(finished)} of {len(names) ** 2} cells finished")
    kept = bench.directory / "half"
    directory.rename(kept)
    return Half(kept, run.id, finished)


def _other_half(bench: Bench, root: Path, names: Sequence[str], half: Half, resumed: bool) -> tuple[Used, int]:
    """What the cells that are left take, and how many finished ones were made again."""
    directory = bench.directory / "run"
    shutil.rmtree(directory, ignore_errors=True)
    extra = {}
    made = bench.directory / "made"
    made.write_text("")
    if resumed:
        shutil.copytree(half.directory, directory)
    else:
        directory.mkdir()
        finished = bench.directory / "finished"
        finished.write_text("".join(f"test_e2e.py::test_e2e[{key.partition(' ')[2]}]\n" for key in half.finished))
        extra = {"LEAVE_OUT": str(finished)}
    command = _command(names, directory, *(["--resume"] if resumed else []))
    taken = run(command, root, expected=0 if resumed else None, variables=_environment(directory) | extra)
    # By what the plugin did, not by what the store says of it.
    ran = [key for key in made.read_text().splitlines() if key.startswith(StageName.E2E)]
    again = len(half.finished.intersection(ran))
    if len(set(ran)) - again != len(names) ** 2 - len(half.finished):
        raise NotMeasured(f"{len(ran)} cells ran, {again} of them again, and not those that were left")
    return taken, again


def _e2e(store: Store) -> list[str]:
    """Keys of the e2e stages that have ended, of the only run."""
    runs = store.runs()
    found = store.results(runs[0].id).values() if runs else ()
    return [result.key for result in found if result.stage == StageName.E2E and result.status == "success"]


def _command(names: Sequence[str], directory: Path, *more: str) -> list[str]:
    what = ",".join(names)
    return [
        *(sys.executable, "-m", "pytest", "-q", f"-n{WORKERS}", "-p", "no:cacheprovider", "--registry=registry.test"),
        *(f"--clouds={what}", f"--projects={what}", "--refs=stable", f"--crosscloud-out={directory / 'out'}", *more),
    ]


def _environment(directory: Path) -> dict[str, str]:
    # No Allure generator in this cache: it takes minutes for 10,000 results, in both.
    places = {"XDG_STATE_HOME": str(directory / "state"), "XDG_CACHE_HOME": str(directory / "cache")}
    return {**os.environ, **places, "PYTEST_ADDOPTS": ""}


def _database(directory: Path) -> Path:
    return directory / "state" / "crosscloud" / "crosscloud.db"


def _peer(bench: Bench, root: Path, cells: int) -> int:
    """How many finished tests ``pytest --lf`` runs again after a kill at half."""
    (root / "test_peer.py").write_text(_PEER.format(cells=cells))
    ledger = root / "ledger"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:crosscloud", "test_peer.py"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as process:
        while not ledger.exists() or ledger.stat().st_size < sum(len(f"{number}\n") for number in range(cells // 2)):
            if process.poll() is not None:
                raise NotMeasured("the peer ended before it could be killed")
            time.sleep(0.01)
        process.kill()
    finished = set(ledger.read_text().split()[:-1])  # the last may have been cut off
    ledger.unlink()
    bench.stage("peer", _DEADLINE).command([*command, "--lf"], cwd=root)
    return len(finished & set(ledger.read_text().split()))


MEASURE = Measure("resume", "10,000 cells killed at half: the other half resumed, against on its own", take)
