"""``crosscloud report``: writes a run's reports from what the store knows of it, also when its pytest was killed."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections import Counter
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import report
from ..errors import ConfigurationError, CrosscloudError
from ..model import Status
from ..report import results, terminal
from ..run import output, plan
from ..run.standing import is_killed, is_running, standing
from ..run.store import RunRecord, Store, open_store
from . import table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..run.summary import RunSummary

_HEADER = ("run", "started", "is", "status", *(status.value for status in Status), "tests")
_STYLES = {"failed": "red", "success": "green", "cancelled": "yellow", "running": "cyan", "orphaned": "red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", metavar="RUN", help="default: the newest")
    parser.add_argument("--list", action="store_true", help="only list the runs, the oldest first")
    parser.add_argument("--json", action="store_true", help="with --list, for programs")
    parser.add_argument("--out", metavar="DIR", type=Path, help="default: where the run itself reports")
    parser.add_argument("--junit", metavar="FILE", type=Path, help="default: junit.xml beside the other reports")
    parser.epilog = (
        "Everything comes from the store, whatever has become of pytest, of the plugins and of the files.\n"
        "Of a run that was killed, what was not done by then is cancelled.\n"
        "--list has a line for each run, its columns separated by tabs when the output is not a terminal:\n"
        f"  {', '.join(_HEADER)}\n"
        "where those named as a status say how many cells have it.\n"
        "exit codes: 0 written, 1 something could not be written, 4 there is no such run"
    )


def main(args: argparse.Namespace) -> int:
    if args.json and not args.list:
        raise ConfigurationError("--json is for --list", remedy="results.json is what a program reads of one run")
    store = open_store()
    try:
        if args.list:
            _list([_listed(store, run) for run in store.runs()], as_json=args.json)
            return 0
        return _write(store, _chosen(store, args.run), args)
    finally:
        store.close()


def _chosen(store: Store, wanted: str | None) -> RunRecord:
    run = store.run(wanted) if wanted else next(reversed(store.runs()), None)
    if run is None:
        raise ConfigurationError(
            f"there is no run {wanted!r}" if wanted else "there is no run yet",
            remedy="crosscloud report --list shows the runs",
        )
    return run


def _write(store: Store, run: RunRecord, args: argparse.Namespace) -> int:
    summary = plan.summarize(store, run, killed=is_killed(run))
    usual = Path(run.record["settings"]["out"])
    out: Path = args.out or usual
    with _held(run, out, usual):
        output.copy_logs(usual, out, of=run.id)
        junit: Path = args.junit or out / "junit.xml"
        written = report.write_all(summary, out, junit)
    color = sys.stdout.isatty()
    print(terminal.table(summary, out, color=color, width=shutil.get_terminal_size((120, 24)).columns), end="")
    if junit.exists():
        print(f"junit {junit}")
    for line in (*written.notes, *written.failures):
        print(f"crosscloud: {line}", file=sys.stderr)
    return 1 if written.failures else 0


@contextmanager
def _held(run: RunRecord, out: Path, usual: Path) -> Iterator[None]:
    """Nobody else reports into ``out`` meanwhile, but the run itself, which writes the same.

    :raises ConfigurationError: the folder has, or is about to have, the reports of another run.
    """
    if is_running(run) and out.resolve() == usual.resolve():
        yield
        return
    folder = output.Output(out, given=out != usual)
    try:
        if out == usual and (other := output.reporter(out)) not in ("", run.id):
            raise ConfigurationError(
                f"{out} has the reports of run {other} by now", remedy="--out DIR writes those of this one elsewhere"
            )
        yield
    finally:
        folder.release()


def _listed(store: Store, run: RunRecord) -> dict[str, Any]:
    record: dict[str, Any] = {
        "run": run.id,
        "started": results.timestamp(run.started),
        "is": standing(store, run),
        "status": "",
        "counts": {status.value: 0 for status in Status},
        "tests": {},
        "command": run.record.get("command", ""),
        "out": run.record["settings"].get("out", ""),
    }
    try:
        summary = plan.summarize(store, run, killed=is_killed(run))
    except CrosscloudError:  # an earlier version recorded it
        return record
    return record | {"status": results.run_status(summary), **_counts(summary)}


def _counts(summary: RunSummary) -> dict[str, Any]:
    cells = Counter(summary.cell_status(cell) for cell in summary.cells)
    return {
        "counts": {status.value: cells[status] for status in Status},
        "tests": dict(Counter(test.outcome for test in summary.tests)),
    }


def _list(runs: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"runs": runs}, indent=2))
        return
    rows = [
        (
            run["run"],
            _local(run["started"]),
            run["is"],
            run["status"],
            *(str(count) for count in run["counts"].values()),
            " ".join(f"{count} {outcome}" for outcome, count in run["tests"].items()),
        )
        for run in runs
    ]
    table.show(_HEADER, rows, _STYLES)


def _local(timestamp: str) -> str:
    return datetime.fromisoformat(timestamp).astimezone().isoformat(" ", "seconds")
