"""Finds a program that a run needs, and gets it where there is none."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .. import paths
from ..errors import ConfigurationError, StageError
from ..model import ErrorClass
from ..stage import StageContext
from .cached import made
from .download import Unavailable
from .pins import Pinned, pinned

_VERSION = re.compile(r"v?(\d+)\.(\d+)(\.\d+)?\S*")
_ORIGIN = "origin.json"


@dataclass(frozen=True)
class Found:
    """A tool that is there."""

    name: str
    path: Path
    version: str
    origin: str  #: where it is from, for a person: ``PATH``, ``$CROSSCLOUD_HELM``, ``release``, ``pypi``, …


def tool(name: str, stage: StageContext | None = None) -> Path:
    """The program of the tool ``name``, installed into the cache if it is nowhere else.

    In this order: the environment variable ``CROSSCLOUD_<NAME>``, the cache, PATH if the version there will do,
    else the first of its sources in ``pins.toml`` that can be reached.

    :param stage: gets progress, log and deadline of an installation.
    :raises ConfigurationError: the variable names no program.
    :raises StageError: it is not there and cannot be had.
    """
    found = find(name)
    return found.path if found else _install(pinned(name), stage or setup_stage())


def find(name: str) -> Found | None:
    """The tool if it is there already; touches neither network nor disk."""
    pin = pinned(name)
    return _from_environment(pin) or _from_cache(pin) or _from_path(pin)


def setup_stage(key: str = "setup") -> StageContext:
    """A stage for what is installed outside of any run; logs to the cache, shows nothing."""
    return StageContext(key=key, run="", directory=paths.cache("log"), deadline=time.monotonic() + 3600)


def _from_environment(pin: Pinned) -> Found | None:
    variable = f"CROSSCLOUD_{pin.name.upper()}"
    value = os.environ.get(variable)
    if not value:
        return None
    path = Path(value)
    if not os.access(path, os.X_OK) or path.is_dir():
        raise ConfigurationError(
            f"{variable}={value} is not a program", remedy=f"unset it, or name the {pin.name} to use"
        )
    return Found(pin.name, path, _version(path, pin) or "unknown", f"${variable}")


def _from_cache(pin: Pinned) -> Found | None:
    directory = paths.cache("tools", f"{pin.name}-{pin.fingerprint}")
    try:
        origin = json.loads((directory / _ORIGIN).read_text())
    except FileNotFoundError:
        return None
    return Found(pin.name, directory / origin["program"], origin["version"], origin["kind"])


def _from_path(pin: Pinned) -> Found | None:
    for program in pin.programs:
        path = shutil.which(program)
        version = _version(Path(path), pin) if path else ""
        if path and version and _number(version) >= _number(pin.minimum):
            return Found(pin.name, Path(path), version, "PATH")
    return None


def _version(path: Path, pin: Pinned) -> str:
    """What the program says its version is; empty if it does not say a version."""
    try:
        done = subprocess.run(
            [path, *pin.version], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = _VERSION.search(done.stdout) if done.returncode == 0 else None
    return match.group().lstrip("v") if match else ""


def _number(version: str) -> tuple[int, int]:
    match = _VERSION.match(version)
    assert match, version
    return int(match[1]), int(match[2])


def _install(pin: Pinned, stage: StageContext) -> Path:
    from . import sources  # which need tools themselves: Helm is built with Go, Allure installed with Node

    def make(directory: Path) -> None:
        refusals = []
        for source in pin.sources:
            into = directory / source.kind
            into.mkdir()
            try:
                program = sources.install(stage, pin.name, source, into)
            except Unavailable as error:
                shutil.rmtree(into)
                refusals.append(f"{source.kind}: {error}")
                stage.write(f"{pin.name}: {refusals[-1]}")
                continue
            origin = {"kind": source.kind, "version": source.version, "program": str(program.relative_to(directory))}
            (directory / _ORIGIN).write_text(json.dumps(origin))
            return
        raise StageError(
            f"{pin.name} is not there and cannot be had\n  " + "\n  ".join(refusals),
            remedy=f"put {pin.minimum} or newer on PATH, or name it in CROSSCLOUD_{pin.name.upper()}",
            error_class=ErrorClass.CONFIGURATION,
        )

    made(stage, "tools", f"{pin.name}-{pin.fingerprint}", pin.name, make)
    found = _from_cache(pin)
    assert found
    return found.path
