"""Writes index.html: the cncf.ci table as one page that needs no other file and asks no server for anything."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from .. import paths
from ..model import Cell, ErrorClass, StageName, StageResult, Status
from ..run.summary import ProjectInfo, RunSummary
from . import files, results
from .rows import FLAKY, Row, badge, causes, rows, short_version
from .terminal import clock, one_line

#: What deserves a look comes first: the order of the filter, and of a sorted column.
SEVERITY = (Status.FAILED, Status.CANCELLED, Status.RUNNING, Status.NA, FLAKY, Status.SUCCESS)

#: What the page shows of a stage; the end is the start and the seconds.
_STAGE = ("status", "started", "seconds", "cached", "flaky", "detail", "error", "upstream", "log")

#: Up to so many clouds there is room for more than the status in a cell.
ROOMY = 3

#: Rows of the summary above the table; the rest is a number.
FAILURES = 8


@dataclass(frozen=True)
class Badge:
    """A status that leads to its details."""

    status: str
    href: str
    title: str = ""  #: why, of anything but a success
    detail: str = ""  #: shown beside it where there is room

    @property
    def css(self) -> str:
        return "na" if self.status == Status.NA else self.status


@dataclass(frozen=True)
class Column:
    """A cloud: its header, and what became of its clusters."""

    name: str
    title: str
    cluster: Badge
    note: str


def write(summary: RunSummary, out: Path) -> Path:
    """Write ``out``/index.html and return its path."""
    path = out / "index.html"
    files.write(path, render(summary, out))
    return path


def render(summary: RunSummary, out: Path) -> str:
    """The page. Links to logs and evidence are relative to ``out``."""
    folder = paths.data("reports", "templates")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"web": web_address, "embed": embed}
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    lines = rows(summary)
    columns = _columns(summary)
    document = results.document(summary, out)
    style += _card_labels(columns) + f":root {{ --least: {434 + 98 * len(columns)}px }}\n"
    return environment.get_template("index.html").render(
        run=document["run"],
        counts=_counts(document["run"]),
        columns=columns,
        groups=_groups(summary, lines, columns),
        roomy=len(columns) <= ROOMY,
        releases=len(lines),
        failures=[*_failures(summary), *_failed_upgrades(summary, out)],
        upgrades=_upgrades(summary, out),
        shown=FAILURES,
        kubernetes=[(name, short_version(ref)) for name, ref in summary.kubernetes.items()],
        arch=list(dict.fromkeys(cell.build.arch for cell in summary.cells)),
        allure=(out / "allure" / "index.html").exists(),
        data=_data(document, summary),
        style=Markup(style),  # noqa: S704 - ours, and let in by its hash
        script=Markup(script),  # noqa: S704
        style_hash=_content_hash(style),
        script_hash=_content_hash(script),
    )


def _counts(run: dict[str, Any]) -> list[tuple[str, str, int]]:
    """How many cells the table shows with which word; that, its class in the style sheet, and the number."""
    counts = {**run["counts"], FLAKY: run["flaky"]}
    counts[Status.SUCCESS] -= run["flaky"]
    return [(str(word), Badge(word, "").css, counts[word]) for word in SEVERITY]


def embed(data: Any) -> Markup:
    """JSON that can stand in a ``<script>`` element: no character of it ends the element or a line of the script."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - what could be markup has just been escaped


def web_address(url: str) -> str:
    """``url`` if it is http or https, else nothing: a link on the page must not run a script."""
    return url if re.match(r"https?://", url) else ""


def _content_hash(text: str) -> str:
    """Source expression of the Content-Security-Policy that lets exactly this inline text in."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _columns(summary: RunSummary) -> list[Column]:
    clusters: defaultdict[str, dict[str, StageResult]] = defaultdict(dict)
    for cell in summary.cells:
        clusters[cell.cluster.cloud][cell.cluster.id] = summary.stages(cell)[StageName.PROVISION]
    columns = []
    for cloud in summary.clouds:
        provisions = sorted(clusters[cloud.name].values(), key=lambda result: _severity(result.status))
        if not provisions:
            continue
        worst = provisions[0]
        bad = sum(result.status == worst.status for result in provisions)
        note = f"{bad} of {len(provisions)} {worst.status}" if len(provisions) > 1 else f"cluster {worst.status}"
        if worst.status == Status.SUCCESS:
            note = f"{len(provisions)} clusters" if len(provisions) > 1 else f"cluster {clock(worst.seconds)}"
        badge = Badge(worst.status, _route("cluster", worst.target), _title(worst))
        columns.append(Column(cloud.name, cloud.display_name, badge, note))
    return columns


def _groups(summary: RunSummary, lines: list[Row], columns: list[Column]) -> list[dict[str, Any]]:
    """The projects by their relation to the CNCF, in the order in which the first of each comes."""
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    for row in lines:
        project = row.project
        entry = groups.setdefault(project.cncf_relation, {}).setdefault(
            project.name, {"info": project, "logo": _logo(project), "rows": []}
        )
        entry["rows"].append(_row(summary, row, columns))
    return [{"relation": relation, "projects": list(projects.values())} for relation, projects in groups.items()]


def _row(summary: RunSummary, row: Row, columns: list[Column]) -> dict[str, Any]:
    return {
        "ref": row.ref,
        "release": row.release,
        "kubernetes": row.kubernetes.name,
        "kubernetes_version": short_version(row.kubernetes),
        "arch": row.arch,
        "build": Badge(
            row.build.status,
            _route("build", row.build.target),
            _title(row.build),
            _title(row.build) if row.build.failure else _took(row.build),
        ),
        "cells": [
            _cell_badge(summary, row.cells[column.name]) if column.name in row.cells else None for column in columns
        ],
    }


def _cell_badge(summary: RunSummary, cell: Cell) -> Badge:
    status = summary.cell_status(cell)
    stages = summary.stages(cell).values()
    reason = next((stage for stage in stages if stage.status in (status, Status.FAILED)), None)
    title = f"{reason.key}: {_title(reason)}" if reason and status != Status.SUCCESS else ""
    if summary.is_flaky(cell):
        title = f"e2e {cell.id}: {_title(summary.stages(cell)[StageName.E2E])}"
    return Badge(badge(summary, cell), _route("cell", cell.id), title, title or _done(summary, cell))


def _done(summary: RunSummary, cell: Cell) -> str:
    """Of a success: how long its own stages took, and what the e2e container said."""
    stages = summary.stages(cell)
    own = [stages[name] for name in (StageName.DEPLOY, StageName.E2E)]
    return ", ".join([*(f"{stage.stage} {_took(stage)}" for stage in own), *filter(None, [_title(own[-1])])])


def _took(stage: StageResult) -> str:
    ended = stage.started is not None and stage.status != Status.RUNNING
    return "cached" if stage.cached else clock(stage.seconds) if ended else ""


def _failures(summary: RunSummary) -> Iterator[dict[str, Any]]:
    """Each failed stage once, with the number of deployments that it took along."""
    affected: Counter[str] = Counter()
    first: dict[str, tuple[StageResult, Cell]] = {}
    for cell in summary.cells:
        for result in causes(summary, cell):
            affected[result.key] += 1
            first.setdefault(result.key, (result, cell))
    names = {project.name: project.display_name for project in summary.projects}
    several_arch = len({cell.build.arch for cell in summary.cells}) > 1
    clouds = {cloud.name: cloud.display_name for cloud in summary.clouds}
    for key, (result, cell) in first.items():
        project, cloud = f"{names[cell.build.project]} {cell.build.ref}", clouds[cell.cluster.cloud]
        where = {StageName.BUILD: (project,), StageName.PROVISION: (cloud,)}.get(StageName(result.stage))
        axes = [f"K8s {short_version(summary.kubernetes[cell.cluster.kubernetes])}"] * (
            len(summary.kubernetes) > 1 and result.stage != StageName.BUILD
        ) + [cell.build.arch] * several_arch
        yield {
            "stage": result.stage,
            "where": " on ".join(where or (project, cloud)),
            "class": result.failure.error_class if result.failure else ErrorClass.INFRASTRUCTURE,
            "message": _title(result),
            "href": _details(result),
            "axes": " ".join(axes),
            "lost": affected[key] if where else 0,
            "project": "" if result.stage == StageName.PROVISION else cell.build.project,
        }


def _upgrades(summary: RunSummary, out: Path) -> list[tuple[str, str, Badge]]:
    """Of each release that was taken to another ref and back: project, cluster, and how it went, with its log."""
    return [
        (
            _project_title(summary, cell),
            cell.cluster.id,
            Badge(result.status, quote(files.relative(result.log, out)), detail=_title(result)),
        )
        for result, cell in summary.upgrades.values()
    ]


def _failed_upgrades(summary: RunSummary, out: Path) -> Iterator[dict[str, Any]]:
    for result, cell in summary.upgrades.values():
        if result.failure:
            yield {
                "stage": result.stage,
                "where": f"{_project_title(summary, cell)} on {cell.cluster.id}",
                "class": result.failure.error_class,
                "message": _title(result),
                "href": quote(files.relative(result.log, out)),
                "axes": "",
                "lost": 0,
                "project": cell.build.project,
            }


def _project_title(summary: RunSummary, cell: Cell) -> str:
    """How the table calls a cell's project."""
    return next(found.display_name for found in summary.projects if found.name == cell.build.project)


def _data(document: dict[str, Any], summary: RunSummary) -> dict[str, Any]:
    """What the details are made from: results.json with each stage, ref and list of pins once.

    A build that is deployed on eight clouds is eight times in results.json, which would be megabytes on the page.
    """
    cells, stages, builds, clusters = {}, {}, {}, {}
    for cell, entry in zip(summary.cells, document["cells"], strict=True):
        for name, stage in entry["stages"].items():
            key = f"{name} {stage['target']}"
            if key not in stages:
                stages[key] = {field: stage[field] for field in _STAGE if stage[field] not in (None, "", False)}
        builds[cell.build.id] = {
            "project": cell.build.project,
            "arch": cell.build.arch,
            "ref": entry["ref"],
            "pins": entry["pins"],
        }
        clusters[cell.cluster.id] = {
            "cloud": cell.cluster.cloud,
            "arch": cell.cluster.arch,
            "kubernetes": entry["kubernetes"],
            "cluster": entry["cluster"],
        }
        cells[cell.id] = {
            "build": cell.build.id,
            "cluster": cell.cluster.id,
            **{
                field: entry[field]
                for field in ("status", "flaky", "release", "checks", "files", "repeat")
                if entry[field]
            },
        }
    return {
        "run": document["run"],
        "projects": {project.name: asdict(project) for project in summary.projects},
        "clouds": {cloud.name: cloud.display_name for cloud in summary.clouds},
        "builds": builds,
        "clusters": clusters,
        "cells": cells,
        "stages": stages,
    }


def _card_labels(columns: list[Column]) -> str:
    """On a phone every row is a card, and each badge says its cloud: the header's text by the column's place.

    Counted from the end, because only a project's first row begins with the project. As CSS, because the text in
    each of 40,000 cells would be a megabyte.
    """
    rules = (
        f'  .matrix td:nth-last-child({len(columns) - place})::before {{ content: "{_css_string(column.title)}"; }}\n'
        for place, column in enumerate(columns)
    )
    return "@media (max-width: 719px) {\n" + "".join(rules) + "}\n"


def _css_string(text: str) -> str:
    return "".join(character if character.isalnum() else f"\\{ord(character):06x}" for character in text)


def _details(result: StageResult) -> str:
    kinds = {StageName.BUILD: "build", StageName.PROVISION: "cluster"}
    return _route(kinds.get(StageName(result.stage), "cell"), result.target)


def _route(kind: str, target: str) -> str:
    return f"#{kind}={quote(target, safe='')}"


def _severity(status: str) -> int:
    return SEVERITY.index(Status(status))


def _title(result: StageResult) -> str:
    return one_line(result.failure.message.partition("\n")[0] if result.failure else result.detail, 300)


def _logo(project: ProjectInfo) -> str:
    """The logo if it is in the configuration as a data: image; a page that asks nobody cannot show another."""
    return project.logo_url if re.match(r"data:image/(png|svg\+xml|jpeg|webp|gif)[;,]", project.logo_url) else ""
