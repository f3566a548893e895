"""``python -m benchmarks``: takes measures one after the other, and writes reports/out/bench.json."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from pytest_crosscloud import paths
from pytest_crosscloud.cli import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.redact import redact
from pytest_crosscloud.suggest import among

from . import host
from .measure import Bench, Measure
from .registry import MEASURES
from .report import Report


def main(argv: Sequence[str] | None = None, measures: Sequence[Measure] = MEASURES, out: Path | None = None) -> int:
    """Take the measures that ``argv`` names; return the exit code.

    A figure above its bound is a figure. 1: something could not be measured.

    :param out: where to write, by default reports/out of this checkout.
    """
    args = _parser().parse_args(argv)
    if args.list:
        for measure in measures:
            print(f"{measure.name:<12} {measure.summary}")
        return 0
    known = {measure.name: measure for measure in measures}
    if args.name and args.name not in known:
        print(f"benchmarks: error: there is no measure {args.name!r}{among(args.name, known)}", file=sys.stderr)
        return EXIT_USAGE
    out = out or paths.data("reports", "out")
    report = Report(out / "bench.json")
    try:
        for measure in [known[args.name]] if args.name else measures:
            _take(measure, args.runs, out / "bench" / measure.name, report)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    finally:
        print(f"\n{report.table()}\n{report.path}", flush=True)
    for name, reason in report.not_measured.items():
        print(f"{name} was not measured: {reason}", file=sys.stderr)
    return EXIT_FAILED if report.not_measured else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure what is promised about speed; docs/benchmarks.md says how."
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="one measure; default: all of them")
    parser.add_argument("--list", action="store_true", help="show the measures, and take none")
    parser.add_argument("--runs", type=_count, default=5, metavar="N", help="samples of each (default: %(default)s)")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _take(measure: Measure, runs: int, directory: Path, report: Report) -> None:
    """Take one measure. Whatever is wrong with it, the others are taken."""
    now = host.facts()
    print(f"{measure.name}: {measure.summary}\n  on {now}", flush=True)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    try:
        for figure in measure.take(Bench(measure.name, runs, directory)):
            report.add(figure, now)
    except CrosscloudError as error:
        report.miss(measure.name, redact(str(error)))
    except Exception as error:
        # A defect of the measure's: its traceback goes to a file, like that of a stage.
        log = directory / "error.log"
        log.write_text(redact(traceback.format_exc()))
        report.miss(measure.name, redact(f"{type(error).__name__}: {error}\n  traceback: {log}"))


def _terminate(number: int, _frame: object) -> None:
    """End as after an exception, so that what a measure started is ended and removed."""
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main())
