"""What commands share: the rootdir and configuration that pytest would use, loaded without pytest."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .. import config as configuration
from .. import plugins
from ..config import Config

#: What makes a folder pytest's rootdir, and what makes it ours.
_MARKS = (configuration.FILE_NAME, "pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rootdir", metavar="DIR", type=Path, help="default: as pytest finds it, from here upwards")
    parser.add_argument(
        "--crosscloud-config", metavar="FILE", type=Path, help="default: cross-cloud.yml in the rootdir"
    )


def load(args: argparse.Namespace) -> Config:
    """Plugins and configuration.

    :raises ConfigurationError: a file is wrong.
    """
    found = rootdir(args)
    conftest = found / "conftest.py"
    # Others' conftest files expect to be inside of pytest; one with a hook of ours names it.
    conftests = [conftest] if conftest.is_file() and "crosscloud_" in conftest.read_text(errors="replace") else []
    return configuration.load(args.crosscloud_config, plugins.load(found, conftests), found)


def rootdir(args: argparse.Namespace) -> Path:
    """The one that was given, or that pytest would find from here."""
    given: Path | None = args.rootdir
    return given or find_rootdir(Path.cwd())


def show_problems(config: Config) -> None:
    """What stops nothing, on standard error, one a line."""
    for problem in config.problems:
        print(f"crosscloud: {problem}", file=sys.stderr)


def find_rootdir(start: Path) -> Path:
    """The nearest folder, from ``start`` upwards, with a configuration file of pytest or ours; else ``start``."""
    folders = (start, *start.parents)
    return next((folder for folder in folders if any((folder / mark).is_file() for mark in _MARKS)), start)
