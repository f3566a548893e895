"""What ``stable``, ``head`` and a literal ref are today, asked of git and of the Go module proxy."""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import StageError
from ..model import ErrorClass, Project, Ref
from ..toolchain.tools import tool

STABLE, HEAD = "stable", "head"

#: Seconds that git gets to answer; a firewall that drops packets must not cost more for every project.
GIT_TIMEOUT = 10.0

#: Seconds that the go command gets: it may have to fetch a whole repository where there is no proxy.
GO_TIMEOUT = 120.0

#: Seconds to find a version of which everything is served: the modules of several may have to be fetched for that.
SERVED_TIMEOUT = 120.0

#: Newest versions that are looked at for one of which everything is served.
_CANDIDATES = 4

_SHA = re.compile(r"[0-9a-f]{7,40}")
_SEMVER = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")


class Unreachable(StageError):
    """Git or the module proxy cannot be asked from here."""


@dataclass(frozen=True)
class Remote:
    """A git repository's branches and tags, with the commit of each."""

    url: str
    default: str  #: commit of the default branch
    branches: dict[str, str]
    tags: dict[str, str]


# -- git --------------------------------------------------------------------------------------------------------

_remotes: dict[str, Remote | str] = {}


def remote(url: str) -> Remote:
    """Ask a git repository for its refs, once per process.

    :raises Unreachable: git is not installed, or cannot reach it.
    """
    if url not in _remotes:
        _remotes[url] = _ls_remote(url)
    known = _remotes[url]
    if isinstance(known, str):
        raise Unreachable(f"git cannot reach {url}: {known}", remedy="check the network and the repository's address")
    return known


def _ls_remote(url: str) -> Remote | str:
    """The repository's refs, or why they cannot be had."""
    if not shutil.which("git"):
        return "git is not installed"
    # git must not ask for a password: nobody is there to type it.
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    command = ["git", "ls-remote", url, "HEAD", "refs/heads/*", "refs/tags/*"]
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=GIT_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer in {GIT_TIMEOUT:.0f} s"
    if done.returncode != 0:
        return done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
    refs = {name: sha for sha, _, name in (line.partition("\t") for line in done.stdout.splitlines())}
    tags = {name.removeprefix("refs/tags/"): sha for name, sha in refs.items() if name.startswith("refs/tags/")}
    # An annotated tag is listed twice: as its own object, and with ^{} as the commit that it names.
    tags = {name: tags.get(f"{name}^{{}}", sha) for name, sha in tags.items() if not name.endswith("^{}")}
    prefix = "refs/heads/"
    branches = {name.removeprefix(prefix): sha for name, sha in refs.items() if name.startswith(prefix)}
    return Remote(url, refs.get("HEAD", ""), branches, tags)


def git(url: str, project: Project, ref: str) -> Ref:
    """Resolve a ref of a git repository.

    :raises Unreachable: it cannot be asked.
    :raises StageError: (class configuration) no such ref.
    """
    found = remote(url)
    asked = ref
    if ref == STABLE:
        asked = project.stable_ref or newest(found.tags, project.release_tags)
        if not asked:
            raise no_such_ref(project, ref, found.tags, f"{url} has no release tag")
    if ref == HEAD:
        asked = project.head_ref
        if not asked:
            return Ref(ref, found.default[:12], found.default, page(url, found.default))
    if sha := found.tags.get(asked):
        return Ref(ref, asked, sha, page(url, asked))
    if sha := found.branches.get(asked):
        return Ref(ref, sha[:12], sha, page(url, sha), note=f"branch {asked}")
    if len(asked) == 40 and _SHA.fullmatch(asked):
        return Ref(ref, asked[:12], asked, page(url, asked))
    raise no_such_ref(project, asked, [*found.tags, *found.branches], f"{url} has no tag or branch of that name")


def checked_out(directory: Path) -> str:
    """The commit that a Go module's directory is a checkout of; empty if it is none, or was changed since."""
    command = ["git", "-C", str(directory)]
    env = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    answers = []
    # What git ignores, like a package below a .venv, is no part of the checkout around it.
    for question in (["ls-files", "--error-unmatch", "go.mod"], ["status", "--porcelain", "."], ["rev-parse", "HEAD"]):
        try:
            done = subprocess.run([*command, *question], env=env, capture_output=True, text=True, timeout=GIT_TIMEOUT)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        if done.returncode != 0:
            return ""
        answers.append(done.stdout.strip())
    _, changed, commit = answers
    return "" if changed else commit


# -- the module proxy -------------------------------------------------------------------------------------------


def go_module(
    module: str,
    project: Project,
    ref: str,
    lacks: Callable[[str], str] | None = None,
    release_of: Callable[[str], str] = str,
) -> Ref:
    """Resolve a ref of a Go module to a version that the module proxy serves.

    ``head`` is the branch's commit where git can be reached, else the newest tag that the proxy serves with all that
    it requires; so is a ``stable`` that every run finds out for itself, among releases. A ``head_ref`` that the proxy
    serves as a version is that version, whether git can be reached or not.

    :param lacks: tells what a version requires that the proxy does not serve; empty: nothing. A TimeoutError of it ends
        the search.
    :param release_of: what the project calls a version, where that is another word.
    :raises Unreachable: the proxy cannot be asked.
    :raises StageError: (class configuration) no such ref.
    """
    url = project.repository_url or _guess_repository(module)
    versions = _versions(module)
    asked, note = ref, ""
    if ref == STABLE:
        asked = project.stable_ref
        if not asked:
            asked, note = _newest_release(versions, project, lacks)
    elif ref == HEAD:
        asked, note = _head(url, project, versions, lacks)
    if not asked:
        raise no_such_ref(project, ref, versions, f"the module proxy serves no version of {module}")
    asked = next((version for version in versions if release_of(version) == asked), asked)
    version = asked if asked in versions else _query(module, project, asked, versions)
    if (release := release_of(version)) != version:
        note = "; ".join(filter(None, (f"release {release}", note)))
    try:
        commits = remote(url).tags
    except Unreachable:
        commits = {}
    commit = asked if _SHA.fullmatch(asked) and len(asked) == 40 else commits.get(version, "")
    return Ref(ref, version, commit, page(url, commit or version), note)


def _head(url: str, project: Project, versions: list[str], lacks: Callable[[str], str] | None) -> tuple[str, str]:
    if project.head_ref in versions:
        return project.head_ref, f"the project's head is the tag {project.head_ref}"
    try:
        found = remote(url)
    except Unreachable:
        # The proxy lists versions in semantic order, pre-releases included: the last one is the newest.
        note = "git unreachable: newest tag that the module proxy serves"
        version, remark = _newest_served(versions[::-1], lacks)
        return version, f"{note}{remark}"
    if not project.head_ref:
        return found.default, ""
    if sha := found.branches.get(project.head_ref):
        return sha, f"branch {project.head_ref}"
    if sha := found.tags.get(project.head_ref):
        return sha, f"tag {project.head_ref}"
    known = [*found.branches, *found.tags]
    raise no_such_ref(project, project.head_ref, known, f"{url} has no branch or tag of that name")


def _newest_release(versions: list[str], project: Project, lacks: Callable[[str], str] | None) -> tuple[str, str]:
    scheme = project.release_tags
    releases = [version for version in versions if is_release(version, scheme)]
    releases.sort(key=lambda version: _precedence(version, scheme), reverse=True)
    version, remark = _newest_served(releases, lacks)
    return version, f"newest release that the module proxy serves{remark}" if remark else ""


def _newest_served(versions: list[str], lacks: Callable[[str], str] | None) -> tuple[str, str]:
    """The newest version that lacks nothing, and what is to be said of it; the newest of all if each lacks something.

    :param versions: the newest first.
    """
    newest, *older = versions[:_CANDIDATES] or [""]
    missing = ""
    if lacks is None:
        return newest, ""
    try:
        missing = lacks(newest) if older else ""
        for version in older if missing else ():
            if not lacks(version):
                return version, f" with all that it requires: {newest} lacks {missing}"
    except TimeoutError:
        if missing:
            return newest, f"; it lacks {missing}, and there was no time to look at older ones"
        return newest, "; there was no time to see whether all that it requires is served too"
    return newest, ""


def _versions(module: str) -> list[str]:
    """All versions of a module, in semantic order."""
    return list(_go_list(module, "-versions").get("Versions", []))


def _query(module: str, project: Project, asked: str, versions: list[str]) -> str:
    """What the proxy, or the repository behind it, makes of a tag, branch or commit."""
    try:
        version: str = _go_list(f"{module}@{asked}")["Version"]
    except StageError as error:
        # The proxy answered a moment ago; that the repository behind it cannot be asked tells the user less.
        reason = " ".join(error.message.split())
        raise no_such_ref(project, asked, versions, reason) from error
    return version


def _go_list(*arguments: str) -> dict[str, Any]:
    # GOFLAGS of the user may hold -mod=vendor, and a go.work may lie above: neither has a say here.
    env = {**os.environ, "GOFLAGS": "", "GOWORK": "off"}
    query = next(argument for argument in arguments if not argument.startswith("-"))
    flags = [argument for argument in arguments if argument.startswith("-")]
    command = [str(tool("go")), "list", "-m", "-json", *flags, query]
    try:
        done = subprocess.run(
            command, cwd="/", env=env, capture_output=True, text=True, timeout=GO_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise Unreachable(f"the module proxy did not answer within {GO_TIMEOUT:.0f} s: {query}") from None
    if done.returncode != 0:
        raise Unreachable(
            f"the module proxy does not serve {query}: {done.stderr.strip()}",
            remedy="check the network, and `go env GOPROXY`",
        )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


# -- versions ---------------------------------------------------------------------------------------------------


def newest(versions: Iterable[str], scheme: str = "") -> str:
    """The newest release among tags; tags that are none are passed over. Empty: none is.

    :param scheme: a project's ``release_tags``; empty: semantic versions.
    """
    releases = {version: key for version in versions if (key := _precedence(version, scheme))}
    return max(releases, key=releases.__getitem__, default="")


def is_release(version: str, scheme: str = "") -> bool:
    """Whether a tag is one of a release, by the scheme."""
    return bool(_precedence(version, scheme))


def is_newer(version: str, than: str, scheme: str = "") -> bool:
    """Whether one release came after another. False if one of them is none: nobody can tell."""
    mine, theirs = _precedence(version, scheme), _precedence(than, scheme)
    return bool(mine and theirs) and mine > theirs


def _precedence(version: str, scheme: str) -> tuple[int, ...]:
    """What releases are ordered by; empty: it is none."""
    if scheme:
        found = re.fullmatch(scheme, version)
        return tuple(int(number or 0) for number in found.groups()) if found else ()
    found = _SEMVER.fullmatch(version)
    return tuple(int(number) for number in found.groups()[:3]) if found and not found[4] else ()


def no_such_ref(project: Project, ref: str, known: Iterable[str], reason: str) -> StageError:
    """The error for a ref that does not exist, with the closest of those that do."""
    candidates = list(known)
    close = difflib.get_close_matches(ref, candidates, 3, 0.5) or candidates[-3:][::-1]
    return StageError(
        f"{project.name}: no such ref {ref!r}: {reason}",
        remedy=f"known: {', '.join(close)}" if close else "",
        error_class=ErrorClass.CONFIGURATION,
    )


def _guess_repository(module: str) -> str:
    """Where a module's repository is, for hosts with owner/name addresses."""
    return "https://" + "/".join(module.split("/")[:3])


def page(url: str, name: str) -> str:
    """A page that shows a tag or commit, as GitHub and Gitea have it."""
    return f"{url.removesuffix('.git')}/tree/{name}" if url.startswith("http") and name else ""
