"""Debian's packages that a run needs: which are missing, and their installation."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from ..errors import StageError
from ..model import ErrorClass
from ..stage import StageContext
from .pins import load

#: Where Debian keeps administrators' programs; not on every user's PATH.
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


def missing(programs: Mapping[str, str] | None = None) -> list[str]:
    """The packages whose programs are not there, each once.

    :param programs: program (a name, or a path if it is on no PATH) → package; default: the pins'.
    """
    wanted: Mapping[str, str] = load()["debian"] if programs is None else programs
    return list(dict.fromkeys(package for program, package in wanted.items() if not is_there(program)))


def is_there(program: str) -> bool:
    """Whether this computer has a program; a name is looked for on PATH, and where administrators' programs are."""
    if program.startswith("/"):
        return Path(program).exists()
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:{_SBIN}") is not None


def install(stage: StageContext, packages: list[str]) -> None:
    """Install packages with apt-get; its lists are updated only if they do not know one of them.

    :raises StageError: no apt-get, no root, or apt-get failed; says what to install.
    """
    names = " ".join(packages)
    if not shutil.which("apt-get"):
        raise StageError(
            f"missing: {', '.join(packages)} (Debian's names), and this system has no apt-get",
            remedy="install them with this system's package manager",
            error_class=ErrorClass.CONFIGURATION,
        )
    if os.geteuid() != 0:
        raise StageError(
            f"missing Debian packages: {', '.join(packages)}",
            remedy=f"as root: apt-get install --yes --no-install-recommends {names}",
            error_class=ErrorClass.CONFIGURATION,
        )
    if not _apt(stage, packages, check=False):
        stage.progress("apt-get update")
        stage.command(["apt-get", "update"])
        _apt(stage, packages, check=True)


def _apt(stage: StageContext, packages: list[str], *, check: bool) -> bool:
    def say(line: str) -> None:
        # "Get:3 http://… containerd 1.6.20", "Unpacking runc (1.1.4) …", "Setting up …"
        if line.startswith(("Get:", "Unpacking ", "Setting up ")):
            stage.progress(f"apt-get: {line.split(' (')[0]}")

    stage.progress(f"apt-get install {' '.join(packages)}")
    # Debian asks about configuration files otherwise, of a user who is not there.
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    return stage.command(command, env=env, on_line=say, check=check).code == 0
