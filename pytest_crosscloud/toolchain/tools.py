"""Finds a program, and gets it where there is none."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..errors import StageError
from ..model import ErrorClass
from ..stage import StageContext


def tool(name: str, stage: StageContext | None = None) -> Path:
    """The program ``name``.

    :raises StageError: (class configuration) it is not there and cannot be had.
    """
    found = shutil.which(name)
    if not found:
        raise StageError(f"{name} is not there", error_class=ErrorClass.CONFIGURATION)
    return Path(found)
