"""``crosscloud clean``: destroys what runs left behind, when neither their pytest nor their reaper could."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ..errors import ConfigurationError
from ..run import reaper
from ..run.destroy import left
from ..run.processes import Process, send
from ..run.standing import Standing, is_running, standing
from ..run.store import Resource, RunRecord, Store, open_store
from . import table

#: Seconds for the reaper of a run that is told to end.
_PATIENCE = 600.0

_HEADER = ("run", "started", "is", "kind", "name", "state", "")
_STYLES = {"orphaned": "red", "running": "yellow", "ending": "yellow", "kept": "cyan", "failed": "red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--run", metavar="ID", help="this run, with what it keeps; if it lives, it is ended")
    which.add_argument("--all", action="store_true", help="all runs, like --run for each of them")
    parser.add_argument("--dry-run", action="store_true", help="only list, destroy nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask before a run that lives is ended")
    parser.add_argument("--json", action="store_true", help="for programs; what happens goes to standard error")
    parser.epilog = (
        "Without --run or --all: what belongs to runs whose pytest and reaper are dead, and what was kept until now.\n"
        "exit codes: 0 nothing is left of it, 1 something could not be destroyed"
    )


def main(args: argparse.Namespace) -> int:
    store = open_store()
    try:
        runs = _chosen(store, args)
        if args.dry_run:
            _show(store, runs, as_json=args.json)
            return 0
        _confirm(runs, args)
        say = _say_to_stderr if args.json else print
        whole = bool(args.run or args.all)
        for run in runs:
            if whole or standing(store, run) == Standing.ORPHANED:
                _clean(store, run, kept=whole, say=say)
        runs = [record for run in runs if (record := store.run(run.id))]  # they have changed
        return _report(store, runs, kept=whole, as_json=args.json)
    finally:
        store.close()


def _chosen(store: Store, args: argparse.Namespace) -> list[RunRecord]:
    if args.run:
        run = store.run(args.run)
        if run is None:
            raise ConfigurationError(
                f"there is no run {args.run!r}", remedy="crosscloud clean --dry-run lists the runs"
            )
        return [run]
    return [run for run in store.runs() if standing(store, run) != Standing.CLEAN]


def _confirm(runs: list[RunRecord], args: argparse.Namespace) -> None:
    """:raises ConfigurationError: the answer is no, or nobody can answer."""
    alive = [run.id for run in runs if is_running(run)]
    if not alive or args.yes or not (args.run or args.all):
        return
    question = f"still running: {', '.join(alive)}. End and destroy it all?"
    if not sys.stdin.isatty():
        raise ConfigurationError(question, remedy="--yes says so")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise ConfigurationError("nothing was destroyed")


def _clean(store: Store, run: RunRecord, *, kept: bool, say: Callable[[str], None]) -> None:
    if is_running(run) and (controller := Process.of(run.pid)):
        say(f"ending run {run.id} (process {run.pid})")
        send(controller, signal.SIGTERM)  # its reaper does the rest
    limit = time.monotonic() + _PATIENCE
    while (lease := reaper.acquire(store, run.id)) is None:
        if time.monotonic() > limit:
            return say(f"run {run.id}: its reaper is still busy; see {reaper.log(run.id)}")
        time.sleep(0.1)
    with reaper.hold(store, lease):
        reaper.destroy_run(store, run.id, say, kept=kept)
    return None


def _report(store: Store, runs: list[RunRecord], *, kept: bool, as_json: bool) -> int:
    """Say what is left of what was to go; the exit code."""
    remaining = [
        resource
        for run in runs
        if kept or standing(store, run) == Standing.ORPHANED
        for resource in left(store, run.id, kept=kept)
    ]
    if as_json:
        _show(store, runs, as_json=True)
    for item in remaining:
        print(f"run {item.run}: {item.kind} {item.name} is not destroyed: {item.error or item.state}", file=sys.stderr)
    if not remaining and not as_json:
        print("nothing is left behind")
    return 1 if remaining else 0


def _show(store: Store, runs: list[RunRecord], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"runs": [_record(store, run) for run in runs]}, indent=2))
        return
    rows: list[tuple[str, ...]] = []
    for run in runs:
        started = datetime.fromtimestamp(run.started).astimezone().isoformat(" ", "seconds")
        head = (run.id, started, standing(store, run))
        resources = left(store, run.id, kept=True)
        rows += [(*head, item.kind, item.name, item.state, _note(item)) for item in resources]
        rows += [] if resources else [(*head, "", "", "", "")]
    table.show(_HEADER, rows, _STYLES)


def _record(store: Store, run: RunRecord) -> dict[str, Any]:
    return {
        "run": run.id,
        "started": run.started,
        "finished": run.finished,
        "is": standing(store, run),
        "resources": [
            {"kind": item.kind, "name": item.name, "state": item.state, "expires": item.expires, "error": item.error}
            for item in left(store, run.id, kept=True)
        ],
    }


def _note(resource: Resource) -> str:
    if resource.error:
        return resource.error.splitlines()[0]
    if resource.expires is None:
        return ""
    return f"until {datetime.fromtimestamp(resource.expires).astimezone():%Y-%m-%d %H:%M}"


def _say_to_stderr(text: str) -> None:
    print(text, file=sys.stderr)
