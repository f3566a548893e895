"""A reign of terror: runs of pytest on simulated clouds, several side by side, and SIGKILLs at random moments.

A *trial* is a run. Its controller, a worker, its reaper or several of them are killed: at a random moment, or as soon
as the ledger tells that a cluster was asked for (it is not there yet) or was created (nobody has heard of it yet). What
nobody is left to end is left to the next run, or to ``crosscloud clean``.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from pytest_crosscloud.run.processes import Process, of_reaper

from . import rootdir
from .behaviour import Behaviour
from .client import Client
from .ledger import Entry, lives
from .processes import carrying, children, command, is_over, of_runs, pidfd
from .zygote import Zygote

#: Runs side by side.
LANES = 4

#: Seconds from a run's start to a random kill, at most: a little more than a run takes that is let live.
_SPAN = 2.5

#: Seconds to wait for what must happen; what has not by then is left.
_PATIENCE = 30.0

_LOOK = 0.01

#: Seconds until the clouds show whatever they were asked for: the most of all ``accept``, and a little.
_SETTLES = 2.2

#: Each goes wrong in its own way, so that who is killed is killed in the middle of that, too.
CLOUDS = {
    "sim0": Behaviour(create=[0.05, 0.3], destroy=[0.0, 0.1]),
    "sim1": Behaviour(create=[0.05, 0.3], destroy=[0.0, 0.2], accept=[0.0, 2.0], answer=[0.0, 0.2]),
    "sim2": Behaviour(create=[0.0, 0.2], destroy=[0.0, 0.3], lose=list(range(2, 5000, 5)), destroy_fails=1),
    "sim3": Behaviour(create=[0.0, 0.5], error_rate=0.05, fail=list(range(3, 5000, 7))),
}

#: What a trial does, and how often of 20.
_PLANS = {"controller": 5, "all": 3, "reaper": 3, "worker": 3, "asked": 3, "created": 3}


@dataclass
class Reign:
    """What came of it."""

    kills: int = 0
    runs: int = 0  #: that were killed
    leaked: list[str] = field(default_factory=list)  #: clusters
    foreign: list[str] = field(default_factory=list)  #: clusters of others that were destroyed
    processes: list[str] = field(default_factory=list)  #: of the runs, that were left
    gone: list[float] = field(default_factory=list)  #: of each run that had clusters: seconds until none was left


class _Book:
    """The ledger, read as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._lock = threading.Lock()
        self._by_run: dict[str, list[Entry]] = defaultdict(list)

    def of(self, run: str) -> list[Entry]:
        with self._lock, self._path.open("rb") as file:
            file.seek(self._position)
            *lines, rest = file.read().split(b"\n")
            self._position = file.tell() - len(rest)
            for line in lines:
                entry = Entry(**json.loads(line))
                self._by_run[entry.run].append(entry)
            return list(self._by_run[run])


def reign(directory: Path, kills: int, seed: int = 0, say: Callable[[str], None] = lambda text: None) -> Reign:
    """Kill so many times.

    :param directory: gets state, logs and ledger.
    :param say: is told how far it is.
    """
    with _world(directory, seed) as world:
        others = _Others(world)
        with ThreadPoolExecutor(LANES) as lanes:
            for lane in [lanes.submit(world.lane, kills, say) for _ in range(LANES)]:
                lane.result()
        found = world.reign
        found.foreign += others.destroyed()
        others.end()
        # Whoever destroys has had its time: what is there now nobody will.
        mine = set(world.runs)
        found.runs = len(mine) - others.count
        found.leaked += [life.name for life in lives(world.ledger).values() if life.run in mine and not life.gone]
        found.processes += world.processes()
        return found


@contextmanager
def _world(directory: Path, seed: int) -> Iterator[_World]:
    directory.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "XDG_STATE_HOME": str(directory / "state"),
        "XDG_CACHE_HOME": str(directory / "cache"),  # empty: nobody waits for a report of Allure's
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTEST_ADDOPTS": "",
    }
    with rootdir.serve(directory / "ledger", CLOUDS, seed=seed) as client, closing(Zygote(environment)) as zygote:
        yield _World(directory, seed, client, zygote)


class _World:
    """The clouds, a rootdir, and what was done there."""

    def __init__(self, directory: Path, seed: int, client: Client, zygote: Zygote) -> None:
        self.directory = directory
        self.ledger = directory / "ledger"
        self.client = client
        self.zygote = zygote
        self.reign = Reign()
        self.runs: list[str] = []
        self._seed = seed
        self._book = _Book(self.ledger)
        self._lock = threading.Lock()
        self._trials = 0
        self.root = directory / "root"
        stages: dict[str, float | str] = {"build": 0.02, "deploy": 0.05, "e2e": "sleep 0.2"}
        rootdir.write(self.root, client, {name: {"settles": _SETTLES} for name in CLOUDS}, {"demo": {}}, stages)
        (directory / "log").mkdir()

    def pytest(self, name: str, root: Path, *arguments: str) -> int:
        """Start it; its pid."""
        out = self.directory / "out" / name
        command = ["pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--registry=registry.test"]
        command += [f"--crosscloud-out={out}", "--projects=demo", "--refs=stable", *arguments]
        return self.zygote.start(command, root, self.directory / "log" / name)

    def run_of(self, pid: int, since: float) -> str:
        """The id of the run whose controller this is; empty: it has not got as far."""
        database = self.directory / "state" / "crosscloud" / "crosscloud.db"
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
            row = db.execute("SELECT id FROM runs WHERE pid = ? AND started >= ?", (pid, since)).fetchone()
            return str(row[0]) if row else ""
        return ""

    def lane(self, kills: int, say: Callable[[str], None]) -> None:
        while True:
            with self._lock:
                if self.reign.kills >= kills:
                    return
                self._trials += 1
                number = self._trials
            self._trial(number, random.Random(f"{self._seed} {number}"))  # noqa: S311
            with self._lock:
                say(f"{self.reign.kills} of {kills} kills, {len(self.reign.leaked)} leaked")

    # -- one trial --------------------------------------------------------------------------------------------

    def _trial(self, number: int, source: random.Random) -> None:
        plan = source.choices(list(_PLANS), list(_PLANS.values()))[0]
        workers = 2 if plan == "worker" or source.random() < 0.15 else 0
        clouds = ",".join(source.sample(list(CLOUDS), 2))
        name = f"trial-{number}"
        since = time.time()
        pid = self.pytest(name, self.root, f"-n{workers}", f"--clouds={clouds}")
        with pidfd(pid) as controller:
            self._kill_by(plan, pid, controller, since, source)
            if plan in ("reaper", "worker", "asked", "created") and not is_over(controller):
                if source.random() < 0.5:
                    is_over(controller, source.uniform(0, 1))
                    self._kill([pid])
                if not is_over(controller, 2 * _PATIENCE):
                    self.reign.processes.append(f"{name}: pytest ({pid}) does not end")
                    self._kill([pid])
            is_over(controller, _PATIENCE)
        ended = time.monotonic()
        run = self.run_of(pid, since)
        if run:
            if not of_reaper(run):  # nobody is left who could
                ended = time.monotonic()
                self._next(number, source)
            self._bury(run, ended)
            with self._lock:
                self.runs.append(run)
        shutil.rmtree(self.directory / "out" / name, ignore_errors=True)

    def _kill_by(self, plan: str, pid: int, controller: int, since: float, source: random.Random) -> None:
        """Kill whom the plan says, when it says."""
        if plan in ("asked", "created"):
            by = self._creator(pid, controller, since, {"asked": "asked", "created": "create"}[plan])
            self._kill([by] if by else [])
            return
        is_over(controller, source.uniform(0, _SPAN))
        run = self.run_of(pid, since)
        reapers = [process.pid for process in of_reaper(run)] if run and plan in ("all", "reaper") else []
        if plan == "reaper":
            self._kill(reapers[:1])
        elif plan == "worker":
            self._kill(children(pid)[:1])
        else:
            self._kill([*reapers, pid])

    def _creator(self, pid: int, controller: int, since: float, what: str) -> int:
        """The process that asks for a cluster, once the ledger has ``what``; 0: the run is over before."""
        limit = time.monotonic() + _PATIENCE
        run = ""
        while not is_over(controller, _LOOK) and time.monotonic() < limit:
            run = run or self.run_of(pid, since)
            for entry in self._book.of(run) if run else []:
                if entry.what == what:
                    return int(entry.by.split()[-1])
        return 0

    def _kill(self, pids: list[int]) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                with self._lock:
                    self.reign.kills += 1

    def _next(self, number: int, source: random.Random) -> None:
        """Whoever comes next."""
        name = f"next-{number}"
        if source.random() < 0.5:
            pid = self.zygote.start(["crosscloud", "clean"], self.root, self.directory / "log" / name)
        else:
            pid = self.pytest(name, self.root, "-n0", "--clouds=sim0")
        with pidfd(pid) as process:
            is_over(process, 2 * _PATIENCE)
        shutil.rmtree(self.directory / "out" / name, ignore_errors=True)

    def _bury(self, run: str, ended: float) -> None:
        """Wait until no cluster of the run is left, and note how long that took."""
        limit = time.monotonic() + _PATIENCE
        while True:
            entries = self._book.of(run)
            whats = [entry.what for entry in entries]
            pending = whats.count("asked") - whats.count("create") - whats.count("refused")
            there = whats.count("create") - whats.count("gone") - whats.count("taken")
            if not pending and not there:
                break
            if time.monotonic() > limit:  # what goes later, or never, is told as this long at least
                self.reign.gone.append(time.monotonic() - ended)
                return
            time.sleep(_LOOK)
        if gone := [entry.monotonic for entry in entries if entry.what in ("gone", "taken")]:
            self.reign.gone.append(max(0.0, max(gone) - ended))

    def processes(self) -> list[str]:
        """What is left of the runs, after those had their time that are about to end."""
        limit = time.monotonic() + _PATIENCE
        while (found := list(carrying(of_runs(*self.runs)))) and time.monotonic() < limit:
            time.sleep(0.1)
        return [f"{pid} {command(pid)}" for pid in found]


class _Others:
    """Whom it is none of the trials' business to touch: clusters of nobody, of another computer's run, of runs that
    live as long as all of this takes, beside the trials and in the same store."""

    def __init__(self, world: _World) -> None:
        self._world = world
        self._pids: dict[int, str] = {}
        for number, tags in enumerate(({}, {"crosscloud-run": "0ther"}, {"owner": "somebody"})):
            for cloud in CLOUDS:
                _create(world.client, cloud, f"foreign-{number}", tags)
        root = world.directory / "bystander"
        rootdir.write(root, world.client, {name: {} for name in CLOUDS}, {"demo": {}}, {"e2e": "sleep 3600"})
        since = time.time()
        pid = world.pytest("bystander", root, "-n0", "--clouds=sim0")
        limit = time.monotonic() + _PATIENCE
        while not (run := world.run_of(pid, since)) and time.monotonic() < limit:
            time.sleep(_LOOK)
        self._pids[pid] = run

    def destroyed(self) -> list[str]:
        """Which of them somebody has destroyed, and which runs have ended."""
        names = {life.name for life in lives(self._world.ledger).values() if life.run in self._pids.values()}
        found = [
            life.name
            for life in lives(self._world.ledger).values()
            if life.deleted and (life.name.startswith("foreign-") or life.name in names)
        ]
        dead = [f"run {run}" for pid, run in self._pids.items() if Process.of(pid) is None]
        return found + dead + ["no cluster of a run that lives"] * (not names)

    @property
    def count(self) -> int:
        return len(self._pids)

    def end(self) -> None:
        for pid, run in self._pids.items():
            self._world.runs.append(run)
            with suppress(ProcessLookupError), pidfd(pid) as process:
                os.kill(pid, signal.SIGTERM)
                is_over(process, _PATIENCE)


def _create(client: Client, cloud: str, name: str, tags: dict[str, str]) -> None:
    """Until it is there: these clouds refuse now and then, and lose answers."""
    while not any(found["name"] == name for found in _listed(client, cloud)):
        with suppress(Exception):
            client.create(cloud, name, tags)


def _listed(client: Client, cloud: str) -> list[dict[str, str]]:
    while True:
        with suppress(Exception):
            return client.list(cloud, {})
