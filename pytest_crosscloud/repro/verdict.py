"""Whether a repetition failed as its bundle did: in the same stage, with the same checks or the same first line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..model import Cell, E2EResult, StageName, StageResult, Status
from ..redact import PLACEHOLDER
from ..run.summary import RunSummary
from .bundle import Bundle

#: What Kubernetes appends to the names of pods, and of replica sets before them: letters and digits of its own choice.
_SUFFIX = re.compile(r"(?:-[bcdfghjklmnpqrstvwxz2456789]{6,10})?-[bcdfghjklmnpqrstvwxz2456789]{5}(?![\w-])")

#: What a failure begins with that came again and again.
_ATTEMPTS = re.compile(r"^after \d+ attempts: ")


def verdict(bundle: Bundle, summary: RunSummary) -> Iterator[str]:
    """What a person is told; the answer is the last line."""
    if bundle["redacted"]:
        yield f"secrets that the bundle has not, and that were {PLACEHOLDER} now: {', '.join(bundle['redacted'])}"
    failure = bundle["failure"]
    before = _line(failure["stage"], failure["message"])
    cell = summary.cells[0]
    stages = summary.stages(cell)
    failed = next((result for result in stages.values() if result.status == Status.FAILED), None)
    if failed is None and all(result.status == Status.SUCCESS for result in stages.values()):
        yield f"not reproduced: all stages succeeded; what failed was {before}"
    elif failed is None:
        yield f"no answer: the run did not come to its end; what failed was {before}"
    else:
        now = _line(failed.stage, failed.failure.message if failed.failure else "")
        if _same(bundle, cell, failed, summary.id):
            yield f"reproduced: the same failure came again: {now}"
        else:
            yield f"not reproduced: another failure: {now}; what failed was {before}"


def _same(bundle: Bundle, cell: Cell, failed: StageResult, run: str) -> bool:
    failure = bundle["failure"]
    if failed.stage != failure["stage"]:
        return False
    checks = E2EResult.from_json(failed.data).failures if failed.stage == StageName.E2E and failed.data else ()
    if checks or failure["checks"]:
        return _names(checks) == _names(failure["checks"])
    said = bundle["cell"]
    of_bundle = (bundle["run"]["id"], said["id"], said["build"], said["cluster"])
    message = failed.failure.message if failed.failure else ""
    return _shape(message, (run, cell.id, cell.build.id, cell.cluster.id)) == _shape(failure["message"], of_bundle)


def _names(checks: Iterable[str]) -> set[str]:
    """Of failed checks, which are ``name: message``."""
    return {check.partition(": ")[0] for check in checks}


def _shape(message: str, names: Iterable[str]) -> str:
    """A message's first line without what is another in every run: names, addresses, suffixes, numbers."""
    line = _ATTEMPTS.sub("", message.partition("\n")[0])
    for name in sorted(names, key=len, reverse=True):
        line = line.replace(name, "_")
    return " ".join("#" if any(map(str.isdigit, word)) else word for word in _SUFFIX.sub("", line).split())


def _line(stage: str, message: str) -> str:
    return f"{stage}: {message.partition(chr(10))[0]}"
