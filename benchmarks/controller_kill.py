"""kill -9 of pytest's controller at random moments: what it had shown, and what is in the reports afterwards."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from pytest_crosscloud.model import stage_key
from pytest_crosscloud.report import results
from pytest_crosscloud.run.destroy import left
from pytest_crosscloud.run.store import open_store

from . import junit_schema
from .measure import Bench, Figure, Measure, NotMeasured
from .simulated import rootdir
from .simulated.behaviour import Behaviour

#: Kills for each of ``--runs``; the peer, of which it is known, gets a tenth.
KILLS, PEER_KILLS = 40, 4

#: Runs side by side.
_AT_ONCE = 2

#: Seconds for whatever a run needs to come to an end.
_DEADLINE = 120.0

_CLOUDS = ("sim0", "sim1")
_PROJECTS = ("one", "two", "three", "four")

#: Seconds that each stage takes.
_STAGES: dict[str, float | str] = {"build": 0.1, "deploy": 0.1, "e2e": 0.15, "build two-stable": "false"}

_TESTS = """\
import time, pytest

@pytest.mark.parametrize("number", range(14))
def test_cell(number):
    time.sleep(0.25)
    assert number != 5
"""

#: What a whole line says has ended: one of ours about a stage, and pytest's about a test, with and without a worker.
_STAGE = re.compile(r"^  (build|provision|deploy|e2e) +(\S+) +(success|failed|n/a)\b")
_TEST = re.compile(r"^(?:\[gw\d+\] \[ *\d+%\] (PASSED|FAILED|SKIPPED|ERROR) (\S+)|(\S+::\S+) (PASSED|FAILED|SKIPPED))")


#: Allure's own (allure_commons.model2.Status).
_ALLURE = {"passed", "failed", "broken", "skipped", "unknown"}


@dataclass(frozen=True)
class Killed:
    """What became of one kill."""

    shown: int  #: results that the terminal had
    lost: tuple[str, ...]  #: those of them that no report has
    invalid: str = ""  #: what is wrong with a report


class Contestant:
    """A pytest that can be started, killed, and asked for its reports.

    :param root: its rootdir; each kill has a state and an output of its own below ``bench``'s directory.
    """

    def __init__(self, bench: Bench, root: Path) -> None:
        self.bench = bench
        self.root = root

    def kill(self, name: str, seconds: float | None) -> tuple[float, Path]:
        """Run pytest, and kill it after so many seconds; None: not at all.

        :returns: how long it ran, and a directory with its output in ``terminal``.
        """
        directory = self.bench.directory / name
        directory.mkdir(parents=True)
        started = time.monotonic()
        with (directory / "terminal").open("wb") as terminal:
            process = subprocess.Popen(
                [sys.executable, "-m", "pytest", "-v", "-n2", "-p", "no:cacheprovider", *self.arguments(directory)],
                cwd=self.root,
                env=self.environment(directory),
                stdin=subprocess.DEVNULL,
                stdout=terminal,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                process.wait(_DEADLINE if seconds is None else seconds)
            except subprocess.TimeoutExpired:
                pass
            finally:
                process.kill()
                process.wait()
        return time.monotonic() - started, directory

    def environment(self, directory: Path) -> dict[str, str]:
        # No Allure generator in this cache: what is measured is what is written, not Node's.
        changes = {"XDG_STATE_HOME": str(directory / "state"), "XDG_CACHE_HOME": str(directory / "cache")}
        changes["PYTHONUNBUFFERED"] = "1"  # as on a terminal: a line is there once it is printed
        return {**os.environ, **changes, "PYTEST_ADDOPTS": ""}

    def arguments(self, directory: Path) -> list[str]:
        raise NotImplementedError

    def look(self, directory: Path) -> Killed:
        """Compare what was shown with what the reports have."""
        raise NotImplementedError


class Ours(Contestant):
    """With the plugin, over the simulated cloud."""

    def arguments(self, directory: Path) -> list[str]:
        names = [f"--clouds={','.join(_CLOUDS)}", f"--projects={','.join(_PROJECTS)}", "--refs=stable"]
        return ["--registry=registry.test", *names, f"--crosscloud-out={directory / 'out'}"]

    def look(self, directory: Path) -> Killed:
        stages, tests = shown(directory / "terminal")
        store = open_store(directory / "state" / "crosscloud" / "crosscloud.db")
        try:
            if not (runs := store.runs()):
                return Killed(len(stages) + len(tests), (*stages, *tests))
            (run,) = runs
            out = directory / "report"
            invalid = self._report(directory, run.id, out)
            # Without any stage there is nothing of ours that Allure could show.
            if not invalid and store.results(run.id):
                invalid = _wrong_allure(out / "allure-results", _document(out)["cells"])
            if invalid:
                return Killed(len(stages) + len(tests), (), invalid)
            # What is not in the reports is lost, whatever the store has.
            found_stages, found_tests = self._found(out)
            limit = time.monotonic() + _DEADLINE
            while left(store, run.id) and time.monotonic() < limit:
                time.sleep(0.05)  # its reaper is another measure's affair, but it is not to be left behind
        finally:
            store.close()
        lost = [f"{key}: {status}" for key, status in stages.items() if found_stages.get(key) != status]
        lost += [f"{nodeid}: {outcome}" for nodeid, outcome in tests.items() if found_tests.get(nodeid) != outcome]
        return Killed(len(stages) + len(tests), tuple(lost))

    def _report(self, directory: Path, run: str, out: Path) -> str:
        """Write the reports; what is wrong with them."""
        done = subprocess.run(
            [sys.executable, "-m", "pytest_crosscloud", "report", run, "--out", str(out)],
            env=self.environment(directory),
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=_DEADLINE,
        )
        if done.returncode != 0:
            return f"crosscloud report exited with {done.returncode}: {done.stderr}"
        try:
            junit_schema.check(out / "junit.xml")
            jsonschema.Draft202012Validator(json.loads(results.SCHEMA.read_text())).validate(_document(out))
        except (ValueError, SyntaxError, jsonschema.ValidationError) as error:
            return f"{type(error).__name__}: {error}"
        page = (out / "index.html").read_text()
        return "" if run in page and 'data-finished="yes"' in page else "the page is not of an ended run"

    @staticmethod
    def _found(out: Path) -> tuple[dict[str, str], dict[str, str]]:
        document = _document(out)
        stages = {
            stage_key(name, stage["target"]): stage["status"]
            for cell in document["cells"]
            for name, stage in cell["stages"].items()
        }
        return stages, {test["nodeid"]: test["outcome"] for test in document["tests"]}


def _wrong_allure(directory: Path, cells: Sequence[dict[str, Any]]) -> str:
    """What is wrong with the results that Allure's generator reads: one for each cell, build and cluster."""
    shared = {(name, cell["stages"][name]["target"]) for cell in cells for name in ("build", "provision")}
    try:
        found = [json.loads(path.read_text()) for path in directory.glob("*-result.json")]
    except ValueError as error:
        return f"an Allure result: {error}"
    whole = {one["historyId"] for one in found if one["uuid"] and one["name"] and one["status"] in _ALLURE}
    wanted = len(cells) + len(shared)
    return (
        "" if len(whole) == len(found) == wanted else f"{len(whole)} whole of {len(found)} Allure results, not {wanted}"
    )


class Peer(Contestant):
    """pytest and pytest-xdist alone, with ``--junitxml``."""

    def arguments(self, directory: Path) -> list[str]:
        return ["-p", "no:crosscloud", f"--junitxml={directory / 'junit.xml'}", "test_peer.py"]

    def look(self, directory: Path) -> Killed:
        _, tests = shown(directory / "terminal")
        path = directory / "junit.xml"
        try:
            found = {f"{case.get('name')}" for case in junit_schema.check(path).iter("testcase")}
        except (OSError, ValueError, SyntaxError) as error:
            return Killed(len(tests), tuple(tests), f"{type(error).__name__}: {error}")
        return Killed(len(tests), tuple(nodeid for nodeid in tests if nodeid.rpartition("::")[2] not in found))


def shown(terminal: Path) -> tuple[dict[str, str], dict[str, str]]:
    """What whole lines of the terminal say: status by stage key, outcome by node id."""
    stages, tests = {}, {}
    *lines, _ = terminal.read_text(errors="replace").split("\n")
    for line in lines:
        if found := _STAGE.match(line):
            stages[stage_key(found[1], found[2])] = found[3]
        elif found := _TEST.match(line):
            tests[found[2] or found[3]] = (found[1] or found[4]).lower()
    return stages, tests


def take(bench: Bench, kills: int = KILLS, peer_kills: int = PEER_KILLS) -> Iterator[Figure]:
    source = random.Random(bench.runs)  # noqa: S311 - moments, no secrets
    root = bench.directory / "root"
    behaviour = {cloud: Behaviour(create=0.5, destroy=0.1) for cloud in _CLOUDS}
    with rootdir.serve(bench.directory / "ledger", behaviour) as client:
        rootdir.write(root, client, {name: {} for name in _CLOUDS}, {name: {} for name in _PROJECTS}, _STAGES)
        (root / "test_peer.py").write_text(_TESTS)
        ours = _kill_all(bench, Ours(bench, root), "ours", kills * bench.runs, source)
        peer = _kill_all(bench, Peer(bench, root), "peer", peer_kills * bench.runs, source)
    for killed in ours:
        if killed.lost or killed.invalid:
            print(f"{bench.name}: lost {', '.join(killed.lost) or 'nothing'}; {killed.invalid}", flush=True)
    yield _figure("controller-kill-lost", "% of what was shown", 0.0, _lost(ours), _lost(peer))
    yield _figure("controller-kill-invalid", "% of kills", 0.0, _invalid(ours), _invalid(peer))
    yield Figure("controller-kill-shown", sum(killed.shown for killed in ours), "results in all")
    yield Figure("controller-kill-kills", len(ours), "kills", peer={"pytest --junitxml": len(peer)})


def _figure(name: str, unit: str, bound: float, ours: float, peer: float) -> Figure:
    return Figure(name, ours, unit, bound, {"pytest --junitxml": peer})


def _lost(kills: Sequence[Killed]) -> float:
    shown = sum(killed.shown for killed in kills)
    return 100.0 * sum(len(killed.lost) for killed in kills) / shown if shown else 0.0


def _invalid(kills: Sequence[Killed]) -> float:
    return 100.0 * sum(bool(killed.invalid) for killed in kills) / len(kills)


def _kill_all(bench: Bench, who: Contestant, name: str, count: int, source: random.Random) -> list[Killed]:
    whole, directory = who.kill(f"{name}-whole", None)
    if not who.look(directory).shown:
        raise NotMeasured(f"{name} shows nothing: see {directory / 'terminal'}")
    done: list[Killed] = []
    with bench.item() as item, ThreadPoolExecutor(_AT_ONCE) as pool:

        def one(number: int, seconds: float) -> Killed:
            return who.look(who.kill(f"{name}-{number}", seconds)[1])

        # From before there is a run until after its end: two at a time take longer than one did.
        moments = [source.uniform(0.3, 1.3) * whole for _ in range(count)]
        for killed in pool.map(one, range(count), moments):
            done.append(killed)
            bad = sum(bool(one.lost or one.invalid) for one in done)
            item.progress(f"{name}: {len(done)} of {count} kills, {bad} with a loss")
        item.end("done", f"{name}: {count} kills, {sum(bool(one.lost or one.invalid) for one in done)} with a loss")
    return done


def _document(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / "results.json").read_text())
    return document


MEASURE = Measure(
    "controller-kill", "kill -9 of the controller at 200 random moments: what is lost of what it showed", take
)
