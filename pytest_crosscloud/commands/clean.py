"""``crosscloud clean``: destroys what runs left behind, when neither their pytest nor their reaper could."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from .. import paths
from ..errors import ConfigurationError
from ..model import Cloud
from ..report.terminal import moment
from ..run import context, processes, reaper, tagged
from ..run.cluster_lease import NOT_OURS
from ..run.destroy import Owner, left
from ..run.processes import Process, send
from ..run.standing import Standing, is_running, standing
from ..run.store import Resource, RunRecord, Store, open_store
from . import loading, table

#: Seconds for the reaper of a run that is told to end.
_PATIENCE = 600.0

#: Seconds that a run which owns nothing is remembered after its end.
_REMEMBERED = 30 * 86400.0

_HEADER = ("run", "started", "is", "kind", "name", "state", "")
_STYLES = {"orphaned": "red", "running": "yellow", "ending": "yellow", "kept": "cyan", "failed": "red"}


@dataclass(frozen=True)
class Unknown:
    """Clouds of which nobody knows what runs have there."""

    unused: Collection[str] = ()  #: their credentials are not set here
    used: Collection[str] = ()  #: they did not answer, or have no way to


#: Where no cloud is asked which runs it has.
_ALL_ARE_KNOWN = Unknown()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--run", metavar="ID", help="this run, with what it keeps; if it lives, it is ended")
    which.add_argument("--all", action="store_true", help="all runs, like --run for each of them")
    parser.add_argument("--dry-run", action="store_true", help="only list, destroy nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask before a run that lives is ended")
    parser.add_argument("--json", action="store_true", help="for programs; what happens goes to standard error")
    loading.add_arguments(parser)
    parser.epilog = (
        "Without --run or --all: what belongs to runs whose pytest and reaper are dead, and what was kept until now.\n"
        "With them also what carries the run's tag on a cloud that can list it; so --run takes a run that is not\n"
        "recorded here, too, one of another computer, and --all finds all such runs, and asks before it ends them.\n"
        f"Without --run, runs that own nothing are forgotten {_REMEMBERED / 86400:.0f} days after their end,"
        " with their directories.\n"
        "exit codes: 0 nothing is left of it, 1 something could not be destroyed, or a cloud did not answer or, for\n"
        "--all, has no way to list by tag"
    )


def main(args: argparse.Namespace) -> int:
    if args.run == "":  # a script's variable that is not set: this must not become a plain clean
        raise ConfigurationError("--run names nothing")
    store = open_store()
    try:
        if args.run and store.run(args.run) is None:
            return _clean_unknown(args)
        runs = _chosen(store, args)
        whole = bool(args.run or args.all)
        configured = loading.load(args).clouds if whole else {}
        clouds, others = tagged.askable(configured.values() if args.all else ())
        unable = tagged.without_runs(clouds)
        for line in filter(None, (tagged.not_asked(others), tagged.unable(unable))):
            _say_to_stderr(line)
        listed_runs, silent = tagged.runs(clouds, _say_to_stderr)
        unknown = Unknown(others, [*silent, *unable])
        strangers = _strangers(store, clouds, listed_runs)
        if args.dry_run:
            _show([_listed(store, run) for run in runs] + strangers, as_json=args.json, unknown=unknown)
            return int(bool(unknown.used))
        alive = [run.id for run in runs if is_running(run)] if whole else []
        _confirm(alive + [stranger.id for stranger in strangers], args)
        say = _say_to_stderr if args.json else print
        tagged_left = [item for stranger in strangers for item in tagged.destroy(clouds, stranger.id, say)]
        for run in runs:
            if whole or standing(store, run) == Standing.ORPHANED:
                tagged_left += _clean(store, run, configured, kept=whole, say=say)
        runs = [record for run in runs if (record := store.run(run.id))]  # they have changed
        recorded_left = [
            resource
            for run in runs
            if whole or standing(store, run) == Standing.ORPHANED
            for resource in left(store, run.id, kept=whole)
        ]
        listed = [_listed(store, run) for run in runs]
        if not args.run:
            _forget(store)
        return _report(listed, recorded_left + tagged_left, as_json=args.json, unknown=unknown)
    finally:
        store.close()


def _clean_unknown(args: argparse.Namespace) -> int:
    """Destroy what carries the tag of a run that the store does not know: of another computer, or of a lost store.

    :raises ConfigurationError: no cloud has anything of it.
    """
    clouds, others = tagged.askable(loading.load(args).clouds.values())
    found = tagged.find(clouds, args.run)
    if not any(resource.state == "live" for resource in found):
        unknown = "".join(f"\n{resource.kind} could not be asked: {resource.error}" for resource in found)
        unable = tagged.unable(tagged.without_owned(clouds))
        unknown += "".join(f"\n{line}" for line in (tagged.not_asked(others), unable) if line)
        raise ConfigurationError(
            f"there is no run {args.run!r}, and no cloud has anything of it{unknown}",
            remedy="crosscloud clean --dry-run lists the runs",
        )
    if args.dry_run:
        _show([Listed(args.run, None, None, "unknown", found)], as_json=args.json)
        return 0
    _confirm([args.run], args)  # nobody here can tell that it does not live
    remaining = tagged.destroy(clouds, args.run, _say_to_stderr if args.json else print)
    return _report([Listed(args.run, None, None, "unknown", remaining)], remaining, as_json=args.json)


def _strangers(store: Store, clouds: Collection[Cloud], runs: Collection[str]) -> list[Listed]:
    """Runs that the store does not know, and that clouds have something of: of other computers, or of a lost store.

    Those of another store on this computer have a reaper here, as long as they own anything: they are left to it.
    """
    known = {run.id for run in store.runs()}
    found = [
        Listed(run, None, None, "unknown", tagged.find(clouds, run))
        for run in runs
        if run not in known and not processes.of_reaper(run)
    ]
    # Some clouds remember values of a tag that nothing carries any more.
    return [stranger for stranger in found if stranger.resources]


def _chosen(store: Store, args: argparse.Namespace) -> list[RunRecord]:
    if args.run:
        run = store.run(args.run)
        return [run] if run else []
    return [run for run in store.runs() if standing(store, run) != Standing.CLEAN]


def _confirm(alive: list[str], args: argparse.Namespace) -> None:
    """:raises ConfigurationError: the answer is no, or nobody can answer."""
    if not alive or args.yes:
        return
    question = f"still running, for all that is known: {', '.join(alive)}. End and destroy it all?"
    if not sys.stdin.isatty():
        raise ConfigurationError(question, remedy="--yes says so")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise ConfigurationError("nothing was destroyed")


def _clean(
    store: Store, run: RunRecord, configured: Mapping[str, Cloud], *, kept: bool, say: Callable[[str], None]
) -> list[Resource]:
    """Destroy what the run owns. :returns: what its clouds still have of it, if they were asked (with ``kept``)."""
    if is_running(run) and (controller := Process.of(run.pid)):
        say(f"ending run {run.id} (process {run.pid})")
        send(controller, signal.SIGTERM)  # its reaper does the rest
    limit = time.monotonic() + _PATIENCE
    while (lease := reaper.acquire(store, run.id)) is None:
        if time.monotonic() > limit:
            say(f"run {run.id}: its reaper is still busy; see {reaper.log(run.id)}")
            return []
        time.sleep(0.1)
    with reaper.hold(store, lease):
        reaper.destroy_run(store, run.id, say, kept=kept)
        if not kept:
            return []
        lent = _lent(store, run.id)
        for cluster in lent:
            say(f"cluster {cluster.name} is run {cluster.run}'s now: {cluster.spec['cloud']} is not searched by tag")
        spared = {cluster.spec["cloud"] for cluster in lent}
        # As cross-cloud.yml has them: their region may be a variable.
        known = {**Owner(run, store).plugins.clouds, **configured}
        clouds, others = tagged.askable([cloud for name, cloud in known.items() if name not in spared])
        if others:
            say(tagged.not_asked(others))
        return tagged.destroy(clouds, run.id, say)


def _lent(store: Store, run: str) -> list[Resource]:
    """Clusters that carry the run's tag, and that another run has taken over."""
    return [
        resource
        for resource in store.resources()
        if resource.run != run
        and resource.state not in NOT_OURS
        and resource.spec.get("tags", {}).get("crosscloud-run") == run
    ]


def _forget(store: Store) -> None:
    """Forget runs that own nothing and are long over, with their directories, and directories that no run has."""
    limit = time.time() - _REMEMBERED
    for run in store.runs():
        is_over = run.finished and run.finished < limit and standing(store, run) == Standing.CLEAN
        if is_over and not _lent(store, run.id):  # the state of one that is lies in this run's directory
            shutil.rmtree(context.directory(run.id), ignore_errors=True)
            store.forget_run(run.id)
    known = {run.id for run in store.runs()}
    for directory in paths.state("runs").glob("*"):
        # An old one: where the store was lost, Terraform's state in it may be all that tells of a cluster.
        if directory.name not in known and directory.stat().st_mtime < limit:
            shutil.rmtree(directory, ignore_errors=True)


@dataclass(frozen=True)
class Listed:
    """A run as it is listed."""

    id: str
    started: float | None  #: None: it is not recorded here
    finished: float | None
    standing: str  #: a Standing, or ``unknown``
    resources: list[Resource]


def _listed(store: Store, run: RunRecord) -> Listed:
    return Listed(run.id, run.started, run.finished, standing(store, run), left(store, run.id, kept=True))


def _report(
    listed: list[Listed], remaining: list[Resource], *, as_json: bool, unknown: Unknown = _ALL_ARE_KNOWN
) -> int:
    """Say what is left of what was to go; the exit code."""
    if as_json:
        _show(listed, as_json=True, unknown=unknown)
    for item in remaining:
        print(f"run {item.run}: {item.kind} {item.name} is not destroyed: {item.error or item.state}", file=sys.stderr)
    if not remaining and not as_json:
        print(_nothing_left(unknown))
    return int(bool(remaining or unknown.used))


def _nothing_left(unknown: Unknown) -> str:
    if unknown.used:
        return f"nothing was found but what is destroyed; {', '.join(sorted(unknown.used))} may have more"
    return "nothing is left behind" + (" on the clouds that were asked" if unknown.unused else "")


def _show(listed: list[Listed], *, as_json: bool, unknown: Unknown = _ALL_ARE_KNOWN) -> None:
    if as_json:
        record = {"runs": [_record(run) for run in listed], "not_asked": sorted({*unknown.unused, *unknown.used})}
        print(json.dumps(record, indent=2))
        return
    rows: list[tuple[str, ...]] = []
    for run in listed:
        started = moment(run.started) if run.started else ""
        head = (run.id, started, run.standing)
        rows += [(*head, item.kind, item.name, item.state, _note(item)) for item in run.resources]
        rows += [] if run.resources else [(*head, "", "", "", "")]
    table.show(_HEADER, rows, _STYLES)


def _record(run: Listed) -> dict[str, Any]:
    return {
        "run": run.id,
        "started": run.started,
        "finished": run.finished,
        "is": run.standing,
        "resources": [
            {"kind": item.kind, "name": item.name, "state": item.state, "expires": item.expires, "error": item.error}
            for item in run.resources
        ],
    }


def _note(resource: Resource) -> str:
    if resource.error:
        return resource.error.splitlines()[0]
    if resource.expires is None:
        return ""
    return f"until {moment(resource.expires)}"


def _say_to_stderr(text: str) -> None:
    print(text, file=sys.stderr)
