"""``crosscloud refs``: what stable and head are today; with ``--update``, new releases go into cross-cloud.yml."""

from __future__ import annotations

import argparse
import codecs
import difflib
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .. import config as configuration
from .. import yaml_edit
from ..build import resolve
from ..config import Config
from ..errors import ConfigurationError, CrosscloudError, StageError
from ..marked_yaml import decode
from ..model import AUTO, Project, Ref
from ..redact import redact
from ..run.refs import WORKERS
from ..suggest import among
from . import loading, table

_HEADER = ("project", "stable", "newest release", "head", "note")
_STYLES = {AUTO: "dim"}


@dataclass(frozen=True)
class Found:
    """What the releases of one project are today."""

    project: str
    stable: str  #: as configured: a tag, or ``auto``
    newest: str = ""  #: the newest release; empty: it is not known
    head: str = ""
    note: str = ""
    error: str = ""  #: why something is not known
    update: bool = False  #: the newest release is newer than what is configured


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("projects", nargs="*", metavar="PROJECT", help="default: all that are active")
    parser.add_argument(
        "--update", action="store_true", help="write newer releases into cross-cloud.yml; print the diff"
    )
    parser.add_argument("--json", action="store_true", help="for programs: everything, the diff too")
    loading.add_arguments(parser)
    parser.epilog = (
        "Columns are separated by tabs when the output is not a terminal: project, stable as configured, newest\n"
        "release, head, note. A stable_ref that is auto, or a branch or commit, is never changed, and none is put\n"
        "back to an older release. Versions of a project's further parts are its plugin's: the note has them.\n"
        "exit codes: 0 all is known, and written with --update; 1 a project's releases cannot be asked, or its ref\n"
        "cannot be changed: the others are done; 4 wrong usage or configuration"
    )


def main(args: argparse.Namespace) -> int:
    config = loading.load(args)
    loading.show_problems(config)
    projects = _chosen(config, args.projects)
    with ThreadPoolExecutor(WORKERS) as pool:
        found = list(pool.map(_look, projects))
    failed = any(each.error for each in found)
    diff, refused = _update(config, loading.rootdir(args), found) if args.update else ("", [])
    for line in (*(f"{each.project}: {each.error}" for each in found if each.error), *refused):
        print(redact(f"crosscloud: {line}"), file=sys.stderr)
    if args.json:
        answer = {"projects": [asdict(each) for each in found], "diff": diff, "refused": refused}
        print(redact(json.dumps(answer, indent=2)))
    elif args.update:
        print(redact(diff), end="")
        if not diff and not refused:
            print("crosscloud: nothing to update: no newer release is known", file=sys.stderr)
    else:
        rows = [(each.project, each.stable, each.newest or "?", each.head or "?", each.note) for each in found]
        table.show(_HEADER, rows, _STYLES)
    return int(failed or bool(refused))


def _chosen(config: Config, names: Iterable[str]) -> list[Project]:
    """:raises ConfigurationError: a name that nobody declares."""
    wanted = list(dict.fromkeys(name for text in names for name in text.split(",") if name))
    if unknown := [name for name in wanted if name not in config.projects]:
        raise ConfigurationError(
            "\n".join(f"unknown project {name!r}{among(name, config.projects)}" for name in unknown),
            remedy="crosscloud list projects shows what there is",
        )
    return [project for name, project in config.projects.items() if (name in wanted if wanted else project.active)]


def _look(project: Project) -> Found:
    """Ask the project's strategy, three times: one answer may be had where another is not."""
    errors: list[str] = []

    def ask(asked: Project, ref: str) -> Ref:
        try:
            return asked.build.resolve(asked, ref)
        except Exception as error:  # a plugin's defect must not stop the others
            errors.append(_gist(error).removeprefix(f"{project.name}: "))
            return Ref(ref, "")

    newest = ask(replace(project, stable_ref=AUTO), resolve.STABLE)
    # Not as it is written: a release may have another name than its tag.
    stable = ask(project, resolve.STABLE) if project.stable_ref and newest.version else newest
    head = ask(project, resolve.HEAD)
    notes = [newest.note, _parts(stable, newest), head.note]
    is_newer = resolve.is_newer(newest.version, stable.version, project.release_tags)
    if is_newer:
        notes.insert(0, "a newer release is out")
    elif stable.version and not resolve.is_release(stable.version, project.release_tags):
        notes.insert(0, "stable is no release tag")
    elif stable.version and newest.version != stable.version:
        notes.insert(0, "stable is newer than that")
    errors = list(dict.fromkeys(errors))
    return Found(
        project.name,
        project.stable_ref or AUTO,
        newest.version,
        head.version,
        note="; ".join(dict.fromkeys(text for text in (*notes, *errors) if text)),
        error="; ".join(errors),
        update=is_newer,
    )


def _parts(stable: Ref, newest: Ref) -> str:
    """What the project is tested beside: no file says which, but its plugin."""
    versions = []
    for name, part in stable.parts.items():
        released = newest.parts.get(name, part).version
        versions.append(f"{name} {part.version}" + (f" (newest: {released})" if released != part.version else ""))
    return f"with {', '.join(versions)}" if versions else ""


def _gist(error: Exception) -> str:
    if isinstance(error, StageError):
        return error.message.partition("\n")[0]
    return f"{type(error).__name__}: {error}".partition("\n")[0]


# -- cross-cloud.yml --------------------------------------------------------------------------------------------


def _update(config: Config, rootdir: Path, found: Iterable[Found]) -> tuple[str, list[str]]:
    """Write what is newer. :returns: the diff, and what could not be changed."""
    path = config.path or rootdir / configuration.FILE_NAME
    content = path.read_bytes() if path.exists() else b""
    before = after = decode(path, content)
    refused = []
    for each in found:
        if not each.update:
            continue
        try:
            after = yaml_edit.put(after, _place(config.projects[each.project]), each.newest, path)
        except ConfigurationError as error:
            refused.append(str(error))
    if after == before:
        return "", refused
    _write(path, content, _encoded(after, content))
    shown = path.relative_to(rootdir) if path.is_relative_to(rootdir) else path
    diff = difflib.unified_diff(before.splitlines(), after.splitlines(), f"a/{shown}", f"b/{shown}", lineterm="")
    return "".join(f"{line}\n" for line in diff), refused


def _place(project: Project) -> tuple[str, ...]:
    """Where the file says what is stable; of Kubernetes that is where clusters have it from."""
    return ("kubernetes", "stable") if project.is_kubernetes else ("projects", project.name, "stable_ref")


def _encoded(text: str, like: bytes) -> bytes:
    """In the encoding, and with the mark, of the content that was there before."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if like.startswith(mark):
            return mark + text.encode(encoding)
    return text.encode()


def _write(path: Path, before: bytes, after: bytes) -> None:
    """Replace a file's content, wholly or not at all; it stays the same user's, with the same rights.

    :raises CrosscloudError: it is not what it was when it was read, or cannot be written.
    """
    target = path.resolve()  # what a link leads to is what is meant
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if target.exists():
                    status = target.stat()
                    os.fchmod(file.fileno(), status.st_mode & 0o7777)
                    if os.geteuid() == 0:
                        os.fchown(file.fileno(), status.st_uid, status.st_gid)
                else:
                    os.fchmod(file.fileno(), 0o644)
                file.write(after)
                file.flush()
                os.fsync(file.fileno())
            if (target.read_bytes() if target.exists() else b"") != before:
                raise CrosscloudError(f"{path} has just been changed by somebody else", remedy="try again")
            Path(name).replace(target)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise CrosscloudError(f"{path} cannot be written: {error.strerror}") from error
