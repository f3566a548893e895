"""Rows on standard output: aligned and coloured for a person, tab-separated for a program."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence


def show(header: Sequence[str], rows: Iterable[Sequence[str]], styles: Mapping[str, str]) -> None:
    """Print rows, with the header if a person reads them.

    :param styles: rich's style of a cell that has just this text.
    """
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(" ".join(cell.split()) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in header:
        table.add_column(name, overflow="fold")  # not cut: a path is there to be copied
    for row in rows:
        table.add_row(*(Text(cell, styles.get(cell, "")) for cell in row))
    Console(highlight=False).print(table)
