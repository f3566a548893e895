"""Reads ``pins.toml``: which versions of which tools, and where each can be had."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError

_ARCHES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """One place where a tool can be had; the fields are those of ``pins.toml``."""

    kind: str  #: ``release``, ``pypi``, ``module`` or ``npm``
    version: str
    program: tuple[str, ...]
    url: str = ""
    package: str = ""
    ldflags: str = ""
    sum: Mapping[str, str] = field(default_factory=dict)  #: by arch, ``sha256:…``
    hashes: Mapping[str, str] = field(default_factory=dict)  #: by arch, ``sha256:…``

    def filled(self, text: str) -> str:
        """``text`` with this source's version and this computer's arch in it."""
        return text.replace("{version}", self.version).replace("{arch}", host_arch())


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """A tool: the names it has on PATH, the least version that will do, and its sources in order."""

    name: str
    programs: tuple[str, ...]
    minimum: str
    version: tuple[str, ...]  #: arguments that make it print its version
    sources: tuple[Source, ...]

    @property
    def fingerprint(self) -> str:
        """Changes when any pin of the tool does."""
        return hashlib.sha256(json.dumps([asdict(self), host_arch()], sort_keys=True).encode()).hexdigest()[:16]


def host_arch() -> str:
    """This computer's arch as Go spells it.

    :raises ConfigurationError: it is none that the pins know.
    """
    machine = platform.machine()
    if machine not in _ARCHES:
        raise ConfigurationError(f"no tools are pinned for {machine}", remedy="use an x86_64 or aarch64 computer")
    return _ARCHES[machine]


def pinned(name: str) -> Pinned:
    """A tool's pins.

    :raises KeyError: no such tool.
    """
    table = load()["tools"][name]
    sources = [Source(**{**source, "program": tuple(source["program"])}) for source in table["sources"]]
    return Pinned(
        name=name,
        programs=tuple(table["programs"]),
        minimum=table["minimum"],
        version=tuple(table["version"]),
        sources=tuple(sources),
    )


def load() -> dict[str, Any]:
    """All pins: the file beside this module, and over it the one that CROSSCLOUD_PINS names.

    :raises ConfigurationError: that file cannot be read or is not TOML.
    """
    return _load(os.environ.get("CROSSCLOUD_PINS", ""))


@functools.cache
def _load(override: str) -> dict[str, Any]:
    pins = tomllib.loads(Path(__file__).with_name("pins.toml").read_text())
    if not override:
        return pins
    try:
        return _merged(pins, tomllib.loads(Path(override).read_text()))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"CROSSCLOUD_PINS: {override}: {error}") from error


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
