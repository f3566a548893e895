"""Where things lie: the bundled data, the cache of built things, the state that outlives pytest."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data(*parts: str) -> Path:
    """A bundled file or folder, e.g. ``data("terraform", "local")``.

    A wheel carries clouds/, projects/, terraform/, charts/ and reports/ inside the package; a checkout (also
    an editable install) has them beside it.
    """
    packaged = _PACKAGE / "_data"
    return (packaged if packaged.is_dir() else _PACKAGE.parent).joinpath(*parts)


def cache(*parts: str) -> Path:
    """A path in the cache: what can be built again (``$XDG_CACHE_HOME/crosscloud``)."""
    return _xdg("XDG_CACHE_HOME", ".cache").joinpath("crosscloud", *parts)


def state(*parts: str) -> Path:
    """A path in the state: runs, leases, clusters (``$XDG_STATE_HOME/crosscloud``). Losing it loses clusters."""
    return _xdg("XDG_STATE_HOME", ".local/state").joinpath("crosscloud", *parts)


def _xdg(variable: str, default: str) -> Path:
    # The XDG specification: a relative path in these variables is invalid and must be ignored.
    value = Path(os.environ.get(variable, ""))
    return value if value.is_absolute() else Path.home() / default
