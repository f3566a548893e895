"""SIGTERM at every stage of a run, on a simulated cloud: the exit code, the JUnit file, and who is still there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pytest_crosscloud.model import StageName, Status
from pytest_crosscloud.run.processes import of_run
from pytest_crosscloud.run.store import Store, open_store

from . import junit_schema
from .kubetest2 import LEFT, Kubetest2, kubetest2
from .measure import Bench, Figure, Measure, NotMeasured, median
from .simulated import ledger, rootdir
from .simulated.behaviour import Behaviour
from .simulated.client import Client
from .simulated.processes import carrying, command, is_over, of_runs, pidfd

#: When: as soon as there is a run, in each of its stages, and when its cluster is being destroyed.
MOMENTS = ("start", *StageName, "teardown")

#: kubetest2's: it has no stage of its own for a deploy.
PEER_MOMENTS = ("start", StageName.BUILD, StageName.PROVISION, StageName.E2E, "teardown")

#: Seconds for what must happen.
_PATIENCE = 60.0

_LOOK = 0.01

#: Nobody's patience lasts for the second one's clusters.
BEHAVIOUR = {"sim0": Behaviour(create=0.2, destroy=0.5), "sim1": Behaviour(create=600.0, destroy=0.5)}


@dataclass(frozen=True)
class Ended:
    """How it ended after a SIGTERM."""

    moment: str
    code: int
    junit: bool  #: whether there is a JUnit file that can be read and says what was run
    left: tuple[str, ...]  #: what it ran and was still there five seconds after the signal, and all that stayed
    seconds: float  #: from the signal to its end

    @property
    def is_green(self) -> bool:
        return self.code == 0


def take(bench: Bench) -> Iterator[Figure]:
    ended = []
    with rootdir.serve(bench.directory / "ledger", BEHAVIOUR) as client:
        for number in range(bench.runs):
            for workers in (0, 2):
                for moment in MOMENTS:
                    with bench.item() as item:
                        what = f"{number + 1} of {bench.runs}, -n{workers}: {moment}"
                        item.progress(what)
                        ended.append(
                            terminated(bench.directory / f"{number}-{workers}-{moment}", client, moment, workers)
                        )
                        item.end("done", f"{what}: {_said(ended[-1])}")
    with kubetest2(bench) as peer:
        others = [_terminated_peer(bench, peer, moment) for moment in PEER_MOMENTS]
    yield from figures(ended, others)


def figures(ended: Sequence[Ended], peer: Sequence[Ended]) -> Iterator[Figure]:
    """How many of the peer's moments went wrong; of ours, which are taken more often, the share, in the same unit."""

    def worst(name: str, bad: Callable[[Ended], float], unit: str) -> Figure:
        per = len(PEER_MOMENTS)
        ours, others = (sum(map(bad, all_)) * per / len(all_) for all_ in (ended, peer))
        return Figure(f"sigterm-{name}", ours, unit, 0, {"kubetest2": others})

    yield worst("exit-0", lambda one: one.is_green, f"of {len(PEER_MOMENTS)}")
    yield worst("no-junit", lambda one: not one.junit, f"of {len(PEER_MOMENTS)}")
    yield worst("left", lambda one: bool(one.left), f"of {len(PEER_MOMENTS)}")
    yield median("sigterm-seconds", [one.seconds for one in ended], "s")


def terminated(directory: Path, client: Client, moment: str, workers: int) -> Ended:
    """One run of ours in ``directory``, with a state of its own, and what a SIGTERM at this moment does to it.

    The stage that is met takes ten minutes if nobody ends it.
    """
    state, junit = directory / "state", directory / "junit.xml"
    state.mkdir(parents=True)
    cloud = "sim1" if moment == StageName.PROVISION else "sim0"
    rootdir.write(directory / "root", client, {cloud: {}}, {"demo": {}}, {moment: "sleep 600"})
    command_ = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"-n{workers}", "--registry=registry.test"]
    command_ += [f"--clouds={cloud}", "--projects=demo", "--refs=stable", f"--junitxml={junit}"]
    environment = {**os.environ, "XDG_STATE_HOME": str(state), "XDG_CACHE_HOME": str(directory / "cache")}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            command_, cwd=directory / "root", env=environment, stdout=log, stderr=log, start_new_session=True
        )
    with process, closing(open_store(state / "crosscloud" / "crosscloud.db")) as store:
        try:
            _wait(lambda: _is_at(store, moment), moment, process)
            sent = time.monotonic()
            process.send_signal(signal.SIGTERM)
            (run,) = store.runs()
            with pidfd(process.pid) as fd:
                early = is_over(fd, LEFT)
                # Its reaper may take longer: it waits for the cloud. What works for the run must have ended.
                left = [] if early else [found.pid for found in of_run(run.id) if found.pid != process.pid]
                is_over(fd, _PATIENCE)
            seconds = time.monotonic() - sent
        finally:
            process.kill()
    time.sleep(max(0.0, LEFT - seconds))
    left += carrying(of_runs(run.id))
    whose = tuple(f"{pid} {command(pid)}" for pid in left)
    return Ended(moment, process.returncode, is_valid(junit, moment), whose, seconds)


def _is_at(store: Store, moment: str) -> bool:
    """Whether the one run of the store has got there."""
    for run in store.runs():
        if moment == "start":
            return True
        if moment == "teardown":
            return any(item.state == "released" for item in store.resources(run.id))
        if any(one.stage == moment and one.status == Status.RUNNING for one in store.results(run.id).values()):
            return True
    return False


def is_junit(path: Path) -> bool:
    """Whether it is a JUnit file: whole, with a suite in it. More is not asked of a peer, who has a form of its own."""
    try:
        return ET.parse(path).getroot().find(".//testsuite") is not None  # noqa: S314
    except (OSError, ET.ParseError):
        return False


def is_valid(path: Path, moment: str) -> bool:
    """Whether it is valid, and has the tests that were begun by then."""
    try:
        cases = list(junit_schema.check(path).iter("testcase"))
    except (OSError, ValueError, SyntaxError):
        return False
    return bool(cases) or moment == "start"


def _terminated_peer(bench: Bench, peer: Kubetest2, moment: str) -> Ended:
    name = f"term-{moment}"
    log = bench.directory / f"kubetest2-{name}.log"
    with bench.item() as item, peer.start(name) as process, pidfd(process.pid) as fd:
        item.progress(f"kubetest2: {moment}")

        def is_at() -> bool:
            there = [entry.what for entry in ledger.read(bench.directory / "kubetest2-ledger") if entry.name == name]
            return {
                "start": True,
                StageName.BUILD: any(command(pid).startswith("sleep 1 ") for pid in peer.processes(name)),
                StageName.PROVISION: "create" in there,
                StageName.E2E: any(command(pid).startswith("sleep 60 ") for pid in peer.processes(name)),
                "teardown": "delete" in there,
            }[moment]

        if moment == "teardown":  # its tester must end first
            _wait(lambda: peer.end_tester(name), "kubetest2's tester", process)
        _wait(is_at, f"kubetest2's {moment}", process)
        sent = time.monotonic()
        process.send_signal(signal.SIGTERM)
        if not is_over(fd, _PATIENCE):
            process.kill()
            raise NotMeasured(f"kubetest2 does not end: see {log}")
        seconds = time.monotonic() - sent
        code = process.wait()
        time.sleep(max(0.0, LEFT - seconds))
        ended = Ended(moment, code, is_junit(peer.junit(name)), tuple(peer.left(name)), seconds)
        item.end("done", f"kubetest2: {moment}: {_said(ended)}")
    return ended


def _wait(condition: Callable[[], bool], what: str, process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + _PATIENCE
    while not condition():
        if process.poll() is not None or time.monotonic() > limit:
            raise NotMeasured(f"there was no {what}: it exited with {process.returncode}")
        time.sleep(_LOOK)


def _said(ended: Ended) -> str:
    junit = "JUnit" if ended.junit else "no JUnit"
    return f"exit {ended.code} after {ended.seconds:.1f} s, {junit}, {len(ended.left)} processes left"


MEASURE = Measure("sigterm", "SIGTERM at every stage: exit code, JUnit, and what is left after 5 s", take)
