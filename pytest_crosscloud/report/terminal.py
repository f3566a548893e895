"""What a run looks like in the terminal: its header, a line for each stage, and the cncf.ci table at the end.

Only whole lines are printed: pytest writes its own progress at the same time, under xdist too, and a region that
repaints itself would be torn by it. So a terminal and a CI log show the same.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from ..model import StageName, StageResult, Status
from ..run.summary import RunSummary, alike
from . import files
from .rows import FLAKY, Row, badge, causes, rows, short_version, wanting

#: Seconds after which a stage that still runs is heard of again.
HEARTBEAT = 30.0

#: Seconds that a stage must run to be announced: a cached build is over sooner, and one line is enough for it.
ANNOUNCE = 1.0

_COLORS: dict[str, str] = {
    Status.SUCCESS: "32",
    Status.FAILED: "1;31",
    Status.RUNNING: "36",
    Status.CANCELLED: "33",
    Status.NA: "2",
    FLAKY: "33",
}
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x1f\x7f-\x9f]+")
_GAP = 2


class Live:
    """Prints progress while the run goes on: each stage as it starts and ends, and now and then while it runs."""

    def __init__(self, write_line: Callable[[str], None], color: bool) -> None:
        self._write_line = write_line
        self._color = color
        self._width = 0
        self._running: dict[str, StageResult] = {}
        self._said: dict[str, float] = {}  # by stage key: when it was last heard of

    def header(self, summary: RunSummary) -> None:
        """Say what the run is about to do."""
        builds = {cell.build.id for cell in summary.cells}
        clusters = {cell.cluster.id for cell in summary.cells}
        self._width = max((len(target) for target in (*builds, *clusters, *(c.id for c in summary.cells))), default=0)
        stages = len(builds) + len(clusters) + 2 * len(summary.cells)
        run = _paint(f"run {summary.id}", "1", self._color)
        self._write_line(f"{run}  {_count(len(summary.cells), 'cell')}: {_matrix(summary)}   {stages} stages")
        for line in alike(summary.kubernetes):
            self._write_line(f"  note: {line}")

    def update(self, results: Iterable[StageResult], now: float) -> None:
        """Take over changes of stages; to be called a few times a second, also without any.

        ``now`` is in seconds since the epoch, as the stages' times are.
        """
        unreached: defaultdict[str, list[StageResult]] = defaultdict(list)
        for result in results:
            if result.status == Status.RUNNING:
                before = self._running.get(result.key, result)
                self._running[result.key] = result
                if result.attempts > before.attempts:  # nobody should wait for the heartbeat to hear of that
                    self._said[result.key] = now - HEARTBEAT
                self._said.setdefault(result.key, (result.started or now) + ANNOUNCE - HEARTBEAT)
                continue
            self._running.pop(result.key, None)
            if result.status == Status.NA and result.upstream:
                unreached[result.upstream].append(result)
            else:
                self._line(result, "cached" if result.cached else clock(result.seconds), _outcome(result))
        for group in unreached.values():
            others = len(group) - 1
            more = f"; so {'is 1 more stage' if others == 1 else f'are {others} more stages'}" if others else ""
            self._line(group[0], "", _outcome(group[0]) + more)
        for key, result in self._running.items():
            if now - self._said[key] >= HEARTBEAT:
                self._said[key] = now
                self._line(result, clock(now - (result.started or now)), result.detail)

    def _line(self, result: StageResult, time: str, detail: str) -> None:
        target = result.target.ljust(self._width)
        word = FLAKY if result.flaky and result.status == Status.SUCCESS else result.status
        text = f"  {result.stage:<9}  {target}  {_status(word, 9, self._color)}  {time:>6}  {one_line(detail)}"
        self._write_line(text.rstrip())


def table(summary: RunSummary, out: Path, *, color: bool, width: int) -> str:
    """The cncf.ci table: release, build and a column for each cloud, with what failed below its row.

    ``out`` is where the reports lie, ``width`` the columns of the terminal. Clouds that do not fit beside each other
    go into further tables below.
    """
    lines = rows(summary)
    head = [("", [row.project.display_name for row in lines]), ("release", [_release(summary, row) for row in lines])]
    fixed = [max(len(title), *map(len, column), 0) for title, column in head]
    widths = {cloud.name: max(len(cloud.name), len(Status.CANCELLED)) for cloud in summary.clouds}
    text: list[str] = []
    shown: set[str] = set()
    for clouds in _blocks(widths, width - sum(fixed) - len(Status.CANCELLED) - 3 * _GAP):
        if text:
            text.append("")
        titles = [*(title.ljust(size) for (title, _), size in zip(head, fixed, strict=True)), "build".ljust(9)]
        text.append(_join([*titles, *(name.ljust(widths[name]) for name in clouds)]))
        previous = ""
        for number, row in enumerate(lines):
            project = row.project.display_name if row.project.name != previous else ""
            previous = row.project.name
            cells = [
                _status(badge(summary, row.cells[name]) if name in row.cells else "", widths[name], color)
                for name in clouds
            ]
            release = head[1][1][number].ljust(fixed[1])
            text.append(_join([project.ljust(fixed[0]), release, _status(row.build.status, 9, color), *cells]))
            text += _failures(summary, row, clouds, shown, out, color, width)
            text += _flaky(summary, row, clouds, color, width)
    text += _upgrades(summary, out, color, width)
    if number := sum(map(summary.is_flaky, summary.cells)):
        text += ["", f"{_count(number, 'flaky cell')}: red at first, and green when the e2e was run again"]
    return "\n".join([*text, "", *_reports(out)]).rstrip() + "\n"


def clock(seconds: float) -> str:
    """``0:41``, ``12:05`` or ``1:02:03``."""
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def moment(seconds: float) -> str:
    """A time (seconds since the epoch) with its date and zone: who reads a log may be elsewhere, and a day later."""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "minutes")


def one_line(text: str, limit: int = 160) -> str:
    """``text`` as one printable line: a compiler's colours and a log's line ends would break the table."""
    text = _CONTROL.sub(" ", text).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _failures(
    summary: RunSummary, row: Row, clouds: list[str], shown: set[str], out: Path, color: bool, width: int
) -> list[str]:
    """What failed or is out of reach in this row, each stage once in the whole table: why, where to look, how to
    repeat it."""
    text: list[str] = []
    for cell in (row.cells[name] for name in clouds if name in row.cells):
        for result in (*causes(summary, cell), *wanting(summary, cell)):
            if result.key in shown:
                continue
            shown.add(result.key)
            failure = result.failure
            fault = f" ({failure.error_class})" if failure else ""
            message = one_line(_outcome(result), 400) or "no reason was recorded"
            lines = textwrap.wrap(f"{result.key}{fault}: {message}", max(width - 4, 40))
            text += [f"    {_paint(line, _COLORS[result.status], color)}" for line in lines]
            evidence = files.folder(files.relative(result.log, out))
            for label, value in (
                ("remedy", one_line(failure.remedy, 400) if failure else ""),
                ("evidence", f"{_short(out / evidence)}/" if evidence else ""),
                ("repeat", summary.repeat(cell)),
            ):
                if value:
                    text.append(f"    {label:<8}  {value}")
    return text


def _upgrades(summary: RunSummary, out: Path, color: bool, width: int) -> list[str]:
    """Each release that was taken to another ref and back: how that went."""
    text: list[str] = []
    for result, _ in summary.upgrades.values():
        said = result.failure.error_class if result.failure else one_line(result.detail, 400)
        text += ["", f"{result.key}  {_status(result.status, 9, color)}  {said}".rstrip()]
        if result.failure:
            lines = textwrap.wrap(one_line(_outcome(result), 400), max(width - 4, 40))
            text += [f"    {_paint(line, _COLORS[Status.FAILED], color)}" for line in lines]
            evidence = files.folder(files.relative(result.log, out))
            text += [f"    remedy    {one_line(result.failure.remedy, 400)}"] if result.failure.remedy else []
            text += [f"    evidence  {_short(out / evidence)}/"] if evidence else []
    return text


def _flaky(summary: RunSummary, row: Row, clouds: list[str], color: bool, width: int) -> list[str]:
    """What the flaky cells of this row said before they passed."""
    text: list[str] = []
    for cell in (row.cells[name] for name in clouds if name in row.cells):
        if summary.is_flaky(cell):
            e2e = summary.stages(cell)[StageName.E2E]
            lines = textwrap.wrap(f"{e2e.key}: {one_line(e2e.detail, 400)}", max(width - 4, 40))
            text += [f"    {_paint(line, _COLORS[FLAKY], color)}" for line in lines]
    return text


def _reports(out: Path) -> list[str]:
    pages = {"page": out / "index.html", "allure": out / "allure" / "index.html", "results": out / "results.json"}
    return ["   ".join(f"{name} {_short(path)}" for name, path in pages.items() if path.exists())]


def _blocks(widths: dict[str, int], room: int) -> list[list[str]]:
    """The clouds in groups that fit into ``room`` columns; at least one in each."""
    blocks: list[list[str]] = [[]]
    left = room
    for name, width in widths.items():
        if blocks[-1] and left < width:
            blocks.append([])
            left = room
        blocks[-1].append(name)
        left -= width + _GAP
    return blocks


def _release(summary: RunSummary, row: Row) -> str:
    parts = [row.ref.name] if row.ref.name != row.release else []
    parts.append(row.release)
    if len(summary.kubernetes) > 1:
        parts.append(f"kubernetes {short_version(row.kubernetes)}")
    if len({cell.build.arch for cell in summary.cells}) > 1:
        parts.append(row.arch)
    return " ".join(parts)


def _matrix(summary: RunSummary) -> str:
    """``coredns {stable v1.14.7, head v1.15.0} × local × kubernetes v1.36.3``; counts where names would be many."""
    projects: dict[str, dict[str, None]] = {}
    for row in rows(summary):
        release = row.release if row.release == row.ref.name else f"{row.ref.name} {row.release}"
        projects.setdefault(row.project.name, {})[release] = None
    names = [f"{name} {{{', '.join(releases)}}}" for name, releases in projects.items()]
    clouds = [cloud.name for cloud in summary.clouds]
    arch = list(dict.fromkeys(cell.build.arch for cell in summary.cells))
    parts = [
        " + ".join(names) if len(names) <= 2 else f"{len(names)} projects",
        ", ".join(clouds) if len(clouds) <= 4 else f"{len(clouds)} clouds",
        "kubernetes " + ", ".join(short_version(ref) for ref in summary.kubernetes.values()),
    ]
    return " × ".join([*parts, *([", ".join(arch)] if len(arch) > 1 else [])])


def _outcome(result: StageResult) -> str:
    return result.failure.message.partition("\n")[0] if result.failure else result.detail


def _status(status: str, width: int, color: bool) -> str:
    return _paint(status, _COLORS.get(status, ""), color) + " " * (width - len(status))


def _paint(text: str, code: str, color: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if color and code and text else text


def _join(columns: list[str]) -> str:
    return (" " * _GAP).join(columns).rstrip()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _short(path: Path) -> str:
    """Relative to where the user stands, if that is below."""
    here = Path(os.path.relpath(path))
    return str(path if here.parts[:1] == ("..",) else here)
