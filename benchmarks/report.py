"""What was measured, as bench.json and as a table."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .host import Host
from .measure import Figure


@dataclass
class Report:
    """The figures of one ``python -m benchmarks``; the file is whole at any time."""

    path: Path
    figures: list[tuple[Figure, Host]] = field(default_factory=list)
    not_measured: dict[str, str] = field(default_factory=dict)  #: reasons, by the measure's name

    def add(self, figure: Figure, host: Host) -> None:
        """Add a figure and the host as it was when the measure began."""
        self.figures.append((figure, host))
        self.write()

    def miss(self, measure: str, reason: str) -> None:
        """Note that a measure could not be taken, or not to its end."""
        self.not_measured[measure] = reason
        self.write()

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        partial.write_text(json.dumps(self.to_json(), indent=2) + "\n")
        partial.rename(self.path)

    def to_json(self) -> dict[str, Any]:
        """The file's content; docs/benchmarks.md says what its keys mean."""
        return {
            "measures": [
                {
                    "name": figure.name,
                    "value": _rounded(figure.value),
                    "unit": figure.unit,
                    "peer": {name: _rounded(value) for name, value in figure.peer.items()} if figure.peer else None,
                    "bound": figure.bound,
                    "ok": figure.ok,
                    "samples": [_rounded(sample) for sample in figure.samples],
                    "host": asdict(host),
                }
                for figure, host in self.figures
            ],
            "not_measured": [{"name": name, "reason": reason} for name, reason in self.not_measured.items()],
        }

    def table(self) -> str:
        """The figures, aligned."""
        rows = [("measure", "value", "bound", "", "samples", "others")]
        rows += [_row(figure) for figure, _ in self.figures]
        rows += [(name, "not measured", "", "", "", "") for name in self.not_measured]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
        return "".join(f"{line.rstrip()}\n" for line in lines)


def _row(figure: Figure) -> tuple[str, str, str, str, str, str]:
    spread = f"{min(figure.samples):.4g} to {max(figure.samples):.4g}, {len(figure.samples)}" if figure.samples else ""
    return (
        figure.name,
        f"{figure.value:.4g} {figure.unit}",
        "" if figure.bound is None else f"{figure.bound:g} {figure.unit}",
        {None: "", True: "ok", False: "over"}[figure.ok],
        spread,
        ", ".join(f"{name} {value:.4g}" for name, value in (figure.peer or {}).items()),
    )


def _rounded(value: float) -> float:
    return round(value, 3)
