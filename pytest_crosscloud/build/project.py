"""What Build does unless a plugin says otherwise: a project's images, and its e2e container, by their strategies."""

from __future__ import annotations

from dataclasses import replace

from ..errors import StageError
from ..model import Artifacts, BuildRequest, ErrorClass
from .names import pin_name


def build(request: BuildRequest) -> Artifacts:
    """Build, push and pin everything that the project's Deploy and e2e need.

    :raises StageError: one of them could not be built.
    """
    project = request.project
    artifacts = project.build.build(request)
    if project.e2e is None:
        return artifacts
    request.stage.progress("building the e2e container")
    tests = project.e2e.build.build(request)
    if not tests.pins:
        raise StageError(f"{project.name}: its e2e build made no image", error_class=ErrorClass.CONFIGURATION)
    pin = replace(tests.pins[0], name=f"{pin_name(project)}_E2E")
    return replace(artifacts, e2e=pin, cached=artifacts.cached and tests.cached)
