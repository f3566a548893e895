"""Answers a name that nobody knows with the closest known ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def among(name: str, known: Iterable[str]) -> str:
    """The end of a message about ``name``: ``"; did you mean 'aws'? known: aws, azure"``."""
    names = list(known)
    matches = difflib.get_close_matches(name, names, n=1)
    meant = f" did you mean {matches[0]!r}?" if matches else ""
    return f";{meant} known: {', '.join(names) or 'none'}"
