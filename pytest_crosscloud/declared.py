"""Asks one plugin for its clouds or projects, and checks what it answers."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pluggy

from .errors import CrosscloudError
from .model import Cloud, Project

#: RFC 1123: names become parts of host names, namespaces and tags.
DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

#: As on cncf.ci: the width of the column.
SUB_TITLE_LENGTH = 21

_TEXTS = ("display_name", "sub_title", "project_url", "repository_url", "logo_url", "cncf_relation")
_REFS = ("stable_ref", "head_ref", "release_tags")
_STRATEGY = ("resolve", "fingerprint", "build")


@dataclass(frozen=True)
class Problem:
    """Something that is wrong and does not stop the rest; ``crosscloud list`` shows it."""

    file: str
    reason: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}" if self.line else f"{self.file}: {self.reason}"


Spec = TypeVar("Spec", bound=Cloud | Project)


def ask(implementation: pluggy.HookImpl, wanted: type[Spec], file: str) -> tuple[list[Spec], list[Problem]]:
    """Call one ``crosscloud_clouds`` or ``crosscloud_projects``; return what is right, and what is wrong with the rest.

    :param wanted: ``Cloud`` or ``Project``.
    :param file: what to call the plugin in problems.
    """
    function = implementation.function
    line = first_line(function)
    if implementation.wrapper or implementation.hookwrapper:
        return [], [Problem(file, f"{function.__name__} cannot be a wrapper", line)]
    try:
        answer = function()
        # An iterator may raise as well; a string would be a list of its letters.
        specs = list(answer) if isinstance(answer, Iterable) and not isinstance(answer, str) else answer
    except Exception as error:
        code = getattr(function, "__code__", None)
        where = line_of(error, Path(code.co_filename)) if code else None
        return [], [Problem(file, f"{function.__name__} raised {describe(error)}", where or line)]
    if specs is None:
        return [], []
    if not isinstance(specs, list):
        return [], [Problem(file, f"{function.__name__} returned {specs!r}, not a list of {wanted.__name__}", line)]
    right: list[Spec] = []
    problems = []
    for spec in specs:
        if isinstance(spec, wanted):
            wrong = [f"{wanted.__name__.lower()} {spec.name!r}: {reason}" for reason in faults(spec)]
        else:
            wrong = [f"{function.__name__} returned {spec!r}, which is not a {wanted.__name__}"]
        problems += [Problem(file, reason, line) for reason in wrong]
        if not wrong:
            right.append(spec)
    return right, problems


def faults(spec: Cloud | Project) -> Iterator[str]:
    """What is wrong with a declaration: dataclasses do not check types, and a wrong one shows much later."""
    if not isinstance(spec.name, str) or not DNS_LABEL.fullmatch(spec.name):
        yield "a name is a DNS label: at most 63 of a-z, 0-9 and '-', with '-' neither first nor last"
    if not isinstance(spec.arch, tuple) or not spec.arch:
        yield f"arch is a tuple of at least one name, not {spec.arch!r}"
    elif not all(isinstance(arch, str) and DNS_LABEL.fullmatch(arch) for arch in spec.arch):
        yield f"arch has names such as 'amd64' and 'arm64', not {spec.arch!r}"
    if not isinstance(spec.active, bool):
        yield f"active is True or False, not {spec.active!r}"
    if not isinstance(spec.order, int):
        yield f"order is a whole number, not {spec.order!r}"
    for name in (*_TEXTS, *_REFS):
        if not isinstance(getattr(spec, name, ""), str):
            yield f"{name} is text, not {getattr(spec, name)!r}"
    if isinstance(spec, Cloud):
        if not isinstance(spec.variables, Mapping):
            yield f"variables is a mapping, not {spec.variables!r}"
        return
    if isinstance(spec.sub_title, str) and len(spec.sub_title) > SUB_TITLE_LENGTH:
        yield f"sub_title has at most {SUB_TITLE_LENGTH} characters, and this has {len(spec.sub_title)}"
    if isinstance(spec.release_tags, str) and spec.release_tags and not _has_groups(spec.release_tags):
        yield f"release_tags is a regular expression whose groups are numbers, not {spec.release_tags!r}"
    if not isinstance(spec.chart, str) or not spec.chart:
        yield f"chart is a name, a path or a reference, not {spec.chart!r}"
    if not isinstance(spec.timeout, (int, float)) or spec.timeout <= 0:
        yield f"timeout is a number of seconds above 0, not {spec.timeout!r}"
    if not isinstance(spec.chosen_by, tuple) or not all(isinstance(name, str) and name for name in spec.chosen_by):
        yield f"chosen_by is a tuple of environment variables' names, not {spec.chosen_by!r}"
    strategies = {"build": spec.build, **({"e2e.build": spec.e2e.build} if spec.e2e else {})}
    for owner, strategy in strategies.items():
        if missing := [name for name in _STRATEGY if not callable(getattr(strategy, name, None))]:
            yield f"{owner} is a build strategy, and {strategy!r} has no {' and no '.join(missing)}"


def _has_groups(pattern: str) -> bool:
    try:
        return re.compile(pattern).groups > 0
    except re.error:
        return False


def describe(error: BaseException) -> str:
    """``ValueError: what it says``, as the last line of a traceback; of an error of ours, what it says."""
    if isinstance(error, CrosscloudError):
        return ": ".join(filter(None, (error.message, error.remedy)))
    return traceback.format_exception_only(error)[-1].strip()


def line_of(error: BaseException, file: Path) -> int | None:
    """The line in ``file`` at which an error happened, if it passed through that file."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == str(file)), None)


def first_line(function: object) -> int | None:
    """Where a function is defined."""
    code = getattr(getattr(function, "__wrapped__", function), "__code__", None)
    return code.co_firstlineno if code else None
