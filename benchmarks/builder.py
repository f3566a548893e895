"""``python -m benchmarks.builder PROJECT REF REGISTRY DIRECTORY``: one build in this environment; a line of JSON.

``PROJECT:PART`` is one of the images that a project has, as if it were a project of its own.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from pytest_crosscloud import paths, plugins
from pytest_crosscloud.build import project as builds
from pytest_crosscloud.build.distribution import Repository
from pytest_crosscloud.build.parts import Parts
from pytest_crosscloud.model import BuildRequest, Pin, Project
from pytest_crosscloud.stage import StageContext

#: Seconds; whoever started us has the deadline.
_DEADLINE = 86400.0


def main(name: str, ref: str, registry: str, directory: Path) -> None:
    project = _project(*name.split(":"))
    version = project.build.resolve(project, ref)
    stage = StageContext(f"build {name}-{ref}", "bench", directory, time.monotonic() + _DEADLINE)
    stage.on_progress = lambda text: print(text, flush=True)
    started = time.monotonic()
    made = builds.build(BuildRequest(project, version, project.arch[0], registry, stage))
    seconds = time.monotonic() - started
    size = sum(_bytes(pin) for pin in (*made.pins, *((made.e2e,) if made.e2e else ())))
    print(json.dumps({"version": version.version, "seconds": seconds, "cached": made.cached, "bytes": size}))


def _project(name: str, part: str = "") -> Project:
    project = plugins.load(paths.data()).projects[name]
    if not part:
        return project
    assert isinstance(project.build, Parts)
    return replace(project, name=part, build=project.build.parts[part].build, e2e=None)


def _bytes(pin: Pin) -> int:
    """The bytes of an image's layers and configuration."""
    manifest = Repository.parse(pin.image).manifest(pin.digest)
    return int(sum(blob["size"] for blob in (manifest["config"], *manifest["layers"])))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
