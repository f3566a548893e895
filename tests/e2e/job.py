"""pytest over the real local cloud, as a process that tests may end in any way, and what it leaves on this computer."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jsonschema

import pytest_crosscloud
from pytest_crosscloud import machine
from pytest_crosscloud.run import processes
from pytest_crosscloud.run.store import open_store
from tests.e2e.computer import Computer

#: Seconds for one run, with what it builds cached or not.
DEADLINE = 1500.0

#: Seconds after a kill -9 in which a run's last trace must be gone.
GONE = 10.0

SCHEMA = json.loads((Path(pytest_crosscloud.__file__).parent / "report" / "results.schema.json").read_text())


class Job:
    """pytest over the matrix in an empty rootdir, as somebody who installed the package would run it.

    :param pytest: what is run: this environment's, unless another is to be tried.
    """

    def __init__(
        self, rootdir: Path, *arguments: str, pytest: Sequence[str | Path] = (sys.executable, "-m", "pytest")
    ) -> None:
        command = [*pytest, "-n", "auto", "--clouds=local", "--projects=coredns", *arguments]
        self.out = rootdir / "reports" / "out"
        self.log = rootdir / "pytest.log"
        self._before = Computer()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=rootdir,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self, seconds: float = DEADLINE) -> int:
        return self.process.wait(seconds)

    @property
    def text(self) -> str:
        return self.log.read_text()

    @property
    def run(self) -> str:
        """The run's id, from the first line that it prints."""
        words = next((line.split() for line in self.text.splitlines() if line.startswith("run ")), ["", ""])
        return words[1]

    def is_running(self, stage: str) -> bool:
        results = open_store().results(self.run).values()
        return any(result.stage == stage and result.status == "running" for result in results)

    def is_done(self, stage: str) -> bool:
        results = open_store().results(self.run).values() if self.run else ()
        return any(result.stage == stage and result.status == "success" for result in results)

    def cells(self) -> dict[str, Any]:
        data = json.loads((self.out / "results.json").read_text())
        jsonschema.validate(data, SCHEMA)
        return {cell["id"]: cell for cell in data["cells"]}

    def traces(self) -> list[str]:
        """What is left of the run on this computer: what the product says, and what this computer shows itself."""
        resources = open_store().resources(self.run)
        return [
            *(f"process {process.pid}" for process in processes.of_run(self.run)),
            *machine.leftovers(self.run),
            *(f"{item.kind} {item.name} is {item.state}" for item in resources if item.state != "destroyed"),
            *self._before.left(self.run),
        ]


def wait_for(condition: Callable[[], object], what: str, seconds: float, *, every: float = 0.05) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"no {what} within {seconds:.0f} s"
        time.sleep(every)
