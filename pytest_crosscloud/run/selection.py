"""What a command line selects, as data: recorded with a run, so that ``--resume`` can take it from there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

#: As pytest's options call them.
_OPTIONS = (
    "clouds",
    "projects",
    "refs",
    "kubernetes",
    "arch",
    "registry",
    "keyword",
    "markexpr",
    "pyargs",
    "upgrade",
    "rollback",
)
_CONFIG = "crosscloud_config"


def is_given(config: pytest.Config) -> bool:
    """Whether the command line itself selects a matrix."""
    options = config.known_args_namespace
    return options.clouds is not None or options.projects is not None


def read(config: pytest.Config) -> dict[str, Any]:
    """What the command line selects, independent of the folder that it was typed in."""
    here = config.invocation_params.dir
    selection = {
        name: value for name in _OPTIONS if (value := getattr(config.option, name, None)) not in (None, False, "")
    }
    if given := config.option.crosscloud_config:
        selection[_CONFIG] = str(here / given)
    if config.args_source is pytest.Config.ArgsSource.ARGS:
        selection["args"] = [_absolute(argument, here) for argument in config.args]
    return selection


def apply(config: pytest.Config, selection: Mapping[str, Any]) -> None:
    """Select the same; what the command line says besides counts more."""
    for name in (*_OPTIONS, _CONFIG):
        if name in selection and not getattr(config.option, name, None):
            setattr(config.option, name, selection[name])
    if config.args_source is not pytest.Config.ArgsSource.ARGS and selection.get("args"):
        config.args = list(selection["args"])
        config.args_source = pytest.Config.ArgsSource.ARGS


def _absolute(argument: str, here: Path) -> str:
    path, colons, rest = argument.partition("::")
    return f"{here / path}{colons}{rest}" if (here / path).exists() else argument
