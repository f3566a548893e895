"""The names that a build gives: variables of release.env, tags of images."""

from __future__ import annotations

import re

from ..model import Project


def pin_name(project: Project) -> str:
    """The prefix of a project's variables in release.env: ``node-exporter`` is ``NODE_EXPORTER``."""
    return re.sub(r"[^A-Z0-9]", "_", project.name.upper())


def image_tag(version: str) -> str:
    """An image tag for a version: no ``+`` of build metadata, no ``/`` of a branch, at most 128 characters."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", version)[:128]
