"""Runs Go: any command in a module, and builds that say how far they are."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .. import capacity
from ..errors import StageError
from ..model import ErrorClass
from ..stage import Completed, StageContext
from .tools import tool

#: Lines of a failed build that its error shows.
_LINES = 20

#: Bytes of memory for each compiler, of which go runs one per processor, that may collect garbage less often.
_MEMORY_PER_COMPILER = 2 * 2**30

#: What go, its compiler and its linker say of a package, and of what is wrong with it.
_ERROR = re.compile(
    r"^# |\.(go|s|mod|sum):\d+(:\d+)?: |undefined\b|not defined|^\t(have|want) |^go: |^(\S*/)?(link|compile|asm): "
)


def go(
    stage: StageContext,
    directory: Path,
    *argv: str,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
    check: bool = True,
    error_class: ErrorClass = ErrorClass.INFRASTRUCTURE,
) -> Completed:
    """Run ``go argv…`` in ``directory``.

    :raises StageError: it failed (unless ``check`` is False); ``error_class`` says whose fault that is.
    """
    # A go.work above the directory, or vendoring that the caller's flags ask for, must not change what is built.
    settings = {"GOWORK": "off", "GOFLAGS": "-buildvcs=false", **(env or {})}
    program = str(tool("go", stage))
    return stage.command(
        [program, *argv], cwd=directory, env=settings, on_line=on_line, check=check, error_class=error_class
    )


def go_build(
    stage: StageContext,
    directory: Path,
    package: str | Sequence[str],
    output: Path | None,
    *,
    arch: str,
    ldflags: str = "",
    tags: str = "",
    label: str = "",
    error_class: ErrorClass = ErrorClass.PRODUCT,
) -> None:
    """Compile ``package`` of the module in ``directory`` into the static Linux binary ``output``.

    Reports progress as ``<label>: compiling 412 of 690 packages``; packages in Go's build cache are not counted.

    :param package: several, and they become programs in the directory ``output``.
    :param output: None: what is compiled goes to Go's build cache alone.
    :param arch: as Go spells it, ``amd64`` or ``arm64``.
    :param error_class: of a failing build; packages that cannot be loaded at all count as the same.
    :raises StageError: it does not compile.
    """
    prefix = f"{label}: " if label else ""
    wanted = [package] if isinstance(package, str) else package
    env, flags = _environment(arch), _flags(ldflags, tags)

    stage.progress(f"{prefix}counting the packages to compile")
    stale = "{{if .Stale}}{{.ImportPath}}{{end}}"
    listed = go(stage, directory, "list", "-deps", *flags, "-f", stale, *wanted, env=env, error_class=error_class)
    packages = frozenset(listed.output.split())
    waiting, total = set(packages), len(packages)

    def compiled(line: str) -> None:
        if line in waiting:
            waiting.remove(line)
            say()

    def say() -> None:
        # Every package that go starts to compile is a line of `-v`. The last one is the program's own, and small:
        # what takes time from there on is linking, which go does not announce.
        started = total - len(waiting)
        stage.progress(f"{prefix}compiling {started} of {total} packages" if len(waiting) > 1 else f"{prefix}linking")

    say()
    into = []
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        into = ["-o", str(output)]
    command = ["build", "-v", *flags, *into, *wanted]
    done = go(stage, directory, *command, env=env, on_line=compiled, check=False)
    if done.code != 0:
        # What else was being compiled meanwhile says nothing about the failure.
        lines = [line for line in done.errors.splitlines() if line not in packages]
        reason = gist([line for line in lines if not line.startswith("go: downloading ")])
        raise StageError(f"{stage.key}: {prefix}go build exited with {done.code}: {reason}", error_class=error_class)


def go_test_program(
    stage: StageContext, directory: Path, package: str, output: Path, *, arch: str, ldflags: str, label: str
) -> None:
    """Compile the tests of ``package`` into the static Linux binary ``output``, as ``go test -c`` does.

    :raises StageError: they do not compile.
    """
    # Go says of a test's packages only when all of them are compiled.
    imports = go(stage, directory, "list", "-f", '{{join .TestImports " "}} {{join .XTestImports " "}}', package)
    go_build(stage, directory, imports.output.split(), None, arch=arch, ldflags=ldflags, label=label)
    stage.progress(f"{label}: linking the tests")
    # Its vet would look at every package that is imported, for longer than it takes to compile them.
    command = ["test", "-c", "-vet=off", *_flags(ldflags), "-o", str(output), package]
    go(stage, directory, *command, env=_environment(arch), error_class=ErrorClass.PRODUCT)


def _environment(arch: str) -> dict[str, str]:
    return {"CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": arch, **_collect_less()}


def _flags(ldflags: str, tags: str = "") -> list[str]:
    flags = ["-trimpath", f"-ldflags={ldflags}", f"-tags={tags}"]
    if "-w" in ldflags.split():
        # The linker would drop what debuggers need; compilers that do not make it take 7 % less time.
        flags.append("-gcflags=all=-dwarf=false")
    return flags


def _collect_less() -> dict[str, str]:
    """What lets the compilers collect garbage less often where there is memory for it: a sixth of their time."""
    enough = capacity.memory() >= _MEMORY_PER_COMPILER * (os.cpu_count() or 1)
    return {"GOGC": "400"} if enough and "GOGC" not in os.environ else {}


def gist(lines: Sequence[str]) -> str:
    """The lines of a failed ``go build`` that say why: errors, with the package that they are in, if there are any.

    The linker prints its usage after some errors: 50 lines that the last ones of its output would be.
    """
    telling = [line for line in lines if _ERROR.search(line)]
    if any(not line.startswith("# ") for line in telling):
        return "\n".join(telling[:_LINES])
    if len(lines) > _LINES:
        return "\n".join([*lines[: _LINES // 2], "…", *lines[-_LINES // 2 :]])
    return "\n".join(lines)
