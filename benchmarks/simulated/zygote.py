"""Starts pytest or ``crosscloud`` without importing it each time: by a fork of this process.

``python -m benchmarks.simulated.zygote`` reads a JSON object a line, ``{"argv": ["pytest", …], "cwd": …, "log": …}``
and answers each with the new process's id; it ends with its input. What it starts is in a session of its own and
outlives it.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_crosscloud import paths


class Zygote:
    """The other end: ``start`` a program, from any thread; ``close`` ends the zygote."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.simulated.zygote"],
            cwd=paths.data(),
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()

    def start(self, argv: Sequence[str], cwd: Path, log: Path) -> int:
        """:returns: the process's id."""
        assert self._process.stdin and self._process.stdout
        with self._lock:
            print(json.dumps({"argv": argv, "cwd": str(cwd), "log": str(log)}), file=self._process.stdin, flush=True)
            return int(self._process.stdout.readline())

    def close(self) -> None:
        with self._process:  # which closes its input, and waits
            pass


def main() -> None:
    _import()
    gc.freeze()  # a collection in a child would write to, and so copy, all that it shares with us
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the children are nobody's
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if not pid:
            _become(**order)
        print(pid, flush=True)


def _import() -> None:

    import pytest_crosscloud.cli
    import pytest_crosscloud.commands.clean
    import pytest_crosscloud.plugin
    import pytest_crosscloud.run.controller
    import pytest_crosscloud.run.scheduler
    import pytest_crosscloud.run.session  # noqa: F401


def _become(argv: Sequence[str], cwd: str, log: str) -> None:
    """Be the program, from here to the end of the process."""
    import pytest

    from pytest_crosscloud import cli

    code: Any = 70
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.chdir(cwd)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        sys.argv = list(argv)
        code = pytest.main(sys.argv[1:]) if argv[0] == "pytest" else cli.main(sys.argv[1:])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(int(code))


if __name__ == "__main__":
    main()
