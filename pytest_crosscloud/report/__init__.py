"""What a run shows: results.json, the page, Allure's report and the terminal, each made from a RunSummary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..run.summary import RunSummary
from . import results


def write_all(summary: RunSummary, out: Path) -> list[str]:
    """Write every report of a run below ``out``.

    :returns: what could not be written, for a person: one report that fails does not take the others with it.
    """
    problems: list[str] = []
    writers: tuple[tuple[str, Callable[[RunSummary, Path], object]], ...] = (("results.json", results.write),)
    for name, write in writers:
        try:
            write(summary, out)
        except Exception as error:
            problems.append(f"{name} could not be written: {type(error).__name__}: {error}")
    return problems
