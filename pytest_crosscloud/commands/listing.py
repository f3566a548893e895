"""``crosscloud list``: clouds and projects after configuration, and where each is declared."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..config import Config
from ..model import AUTO, Cloud, Project
from . import loading, table

_HEADER = ("kind", "name", "display name", "active", "arch", "refs", "declared in")
_STYLES = {"yes": "green", "no": "dim", "cloud": "cyan", "project": "magenta"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", nargs="?", choices=("clouds", "projects"), help="default: both")
    parser.add_argument("--json", action="store_true", help="for programs: everything, problems too")
    loading.add_arguments(parser)
    parser.epilog = (
        "Columns are separated by tabs when the output is not a terminal: kind, name, display name, active,\n"
        "arch, refs, declared in. Broken plugins are named on standard error, and do not stop the others."
    )


def main(args: argparse.Namespace) -> int:
    config = loading.load(args)
    loading.show_problems(config)
    specs: list[Cloud | Project] = []
    if args.kind != "projects":
        specs += config.clouds.values()
    if args.kind != "clouds":
        specs += config.projects.values()
    records = [_record(config, spec) for spec in specs]
    if args.json:
        problems = [asdict(found) for found in config.problems]
        answer = {f"{kind}s": [record for record in records if record["kind"] == kind] for kind in ("cloud", "project")}
        print(json.dumps({**answer, "problems": problems}, indent=2))
        return 0
    rows = [
        (
            record["kind"],
            record["name"],
            record["display_name"],
            "yes" if record["active"] else "no",
            ",".join(record["arch"]),
            " ".join(f"{name}={ref}" for name, ref in record.get("refs", {}).items()),
            record["file"],
        )
        for record in records
    ]
    table.show(_HEADER, rows, _STYLES)
    return 0


def _record(config: Config, spec: Cloud | Project) -> dict[str, Any]:
    kind = "cloud" if isinstance(spec, Cloud) else "project"
    record: dict[str, Any] = {
        "kind": kind,
        "name": spec.name,
        "display_name": spec.title,
        "active": spec.active,
        "order": spec.order,
        "arch": list(spec.arch),
        "file": _shown(config.plugins.files[kind, spec.name]),
    }
    if not spec.active:
        record["deactivated_in"] = _shown(config.deactivated[kind, spec.name])
    if isinstance(spec, Cloud):
        record["credentials"] = [
            {"name": found.name, "required": found.required, "set": found.name in os.environ, "help": found.help}
            for found in spec.credentials
        ]
    else:
        record["refs"] = {"stable": spec.stable_ref or AUTO, "head": spec.head_ref or "default"}
        if spec.is_kubernetes:
            record["refs"] = {"head": "newest", **config.kubernetes}
        record["chart"] = spec.chart
        record["e2e"] = spec.e2e is not None
    return record


def _shown(file: str) -> str:
    """A path as short as it can be from here."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
