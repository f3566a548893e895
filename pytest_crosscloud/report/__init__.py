"""What a run shows: results.json, the page, Allure's report and the terminal, each made from a RunSummary."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..run.summary import RunSummary
from ..toolchain.tools import find
from . import allure, dashboard, junit, results


@dataclass
class Written:
    """What came of writing the reports, for a person."""

    failures: list[str] = field(default_factory=list)  #: what could not be written though it should have been
    notes: list[str] = field(default_factory=list)  #: what was left out


def write_live(summary: RunSummary, out: Path) -> None:
    """Write what a person or a program may look at while the run goes on, and finds if it was killed."""
    results.write(summary, out)
    dashboard.write(summary, out)


def write_all(summary: RunSummary, out: Path, junit_file: Path | None = None) -> Written:
    """Write every report of a run below ``out``. One that fails does not take the others with it.

    :param junit_file: where a JUnit file is wanted.
    """
    written = Written()

    def generate(_: RunSummary, out: Path) -> None:
        found = find("allure")
        if note := allure.generate(out, found.path if found else None):
            written.notes.append(note)

    # A run of tests that touched no stage has a result for each test, which is allure-pytest's, and none for a cell.
    of_stages = [("allure-results", allure.write), ("allure", generate)] if summary.results else []
    for name, write in (
        ("results.json", results.write),
        *of_stages,
        ("index.html", dashboard.write),  # links Allure's report if it is there
        *([(str(junit_file), lambda summary, _: junit.write(summary, junit_file))] if junit_file else []),
    ):
        try:
            write(summary, out)
        except Exception as error:
            reason = error if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            written.failures.append(f"{name} could not be written: {reason}")
    return written
