"""Stand-ins for the reaper's tests: a cloud whose clusters are files, and a controller that creates and creates.

``python -m tests.run.standin ROOT`` is that controller; it prints the run's id once its reaper is up.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pytest_crosscloud import paths
from pytest_crosscloud.model import Ref
from pytest_crosscloud.run import context, processes, reaper
from pytest_crosscloud.run.sqlite import SqliteStore
from pytest_crosscloud.run.store import Resource, RunRecord
from pytest_crosscloud.stage import RUN_VARIABLE

#: A cluster of this cloud is a file. ``fail-NAME`` holds how many more attempts to destroy it fail.
CLOUD = """
from pathlib import Path
from pytest_crosscloud import hookimpl
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import Cloud

ROOT = Path(__file__).parents[1]

class Files(Cloud):
    def destroy(self, request):
        with (ROOT / "attempts").open("a") as attempts:
            attempts.write(request.name + "\\n")
        fail = ROOT / f"fail-{request.name}"
        if fail.exists() and (left := int(fail.read_text())):
            fail.write_text(str(left - 1))
            raise StageError("the cloud says no")
        (ROOT / "exists" / request.name).unlink(missing_ok=True)
    def owned(self, run):
        return []  # nothing has a tag here
    def runs(self):
        return []

@hookimpl
def crosscloud_clouds():
    return [Files(name="files")]
"""


class World:
    """A rootdir with the cloud of files, and a store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.exists = root / "exists"
        self.exists.mkdir(parents=True, exist_ok=True)
        (root / "clouds").mkdir(exist_ok=True)
        (root / "clouds" / "files.py").write_text(CLOUD)
        self.store = SqliteStore()

    def new_run(self, pid: int | None = None) -> str:
        run = f"t{time.time_ns():x}"
        sources = {"rootdir": str(self.root), "conftests": []}
        record = {"settings": {"plugins": sources}}
        self.store.create_run(RunRecord(run, time.time(), None, pid or os.getpid(), record))
        return run

    def create_cluster(self, run: str, name: str, state: str = "live", expires: float | None = None) -> Resource:
        """Create a cluster as the engine does: intent, creation, record."""
        spec = {
            "target": name,
            "cloud": "files",
            "name": name,
            "kubernetes": Ref("stable", "v1").to_json(),
            "arch": "amd64",
            "workers": 0,
            "variables": {},
            "directory": str(context.directory(run) / "clusters" / name),
            "tags": {},
            "registries": [],
        }
        self.store.put_resource(Resource(run, "cluster", name, "intended", spec))
        (self.exists / name).touch()
        self.store.set_resource(run, "cluster", name, state, expires=expires)
        return next(resource for resource in self.store.resources(run) if resource.name == name)

    def states(self, run: str) -> dict[str, str]:
        return {resource.name: resource.state for resource in self.store.resources(run)}

    def clusters(self) -> set[str]:
        """What exists on the cloud."""
        return {path.name for path in self.exists.iterdir()}

    def attempts(self, name: str) -> int:
        """How often someone tried to destroy it."""
        path = self.root / "attempts"
        return path.read_text().split().count(name) if path.exists() else 0

    def controller(self) -> tuple[subprocess.Popen[str], str]:
        """Start the stand-in in a session of its own, as a terminal would; the process and its run."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.run.standin", str(self.root)],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "XDG_STATE_HOME": str(paths.state().parent)},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout
        with process.stdout as output:
            return process, output.readline().strip()

    def is_gone(self, run: str) -> bool:
        """Nothing of the run is left: on the cloud, in the store, among the processes."""
        return (
            not any(name.startswith(run) for name in self.clusters())
            and set(self.states(run).values()) <= {"destroyed"}
            and not processes.of_run(run)
            and not processes.of_reaper(run)
        )


def sleeper(**variables: str) -> subprocess.Popen[bytes]:
    """A process that would stay for ten minutes, with these environment variables."""
    return subprocess.Popen(["sleep", "600"], env={**os.environ, **variables}, start_new_session=True)


def eventually(condition: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.02)


def main(root: str) -> None:
    world = World(Path(root))
    run = world.new_run()
    os.environ[RUN_VARIABLE] = run
    mine = reaper.start(world.store, run)
    print(run, flush=True)
    try:
        for number in range(10_000):
            sleeper()
            world.create_cluster(run, f"{run}-{number}", state="released" if number % 3 == 2 else "live")
            time.sleep(0.01)
    finally:
        mine.finish(lambda text: None)


if __name__ == "__main__":
    main(sys.argv[1])
