"""One program from its start to its end: how long it took, and how much memory."""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .measure import NotMeasured

#: Seconds between two looks at a process's memory, the last of which may come so much too early.
_INTERVAL = 0.01


@dataclass(frozen=True)
class Used:
    seconds: float  #: from start to end
    processor: float  #: seconds of the processor's time, with those of its children that it waited for
    memory: float  #: MiB that it had at its peak


def run(
    command: Sequence[str], directory: Path, *, expected: int | None = 0, variables: Mapping[str, str] | None = None
) -> Used:
    """Run ``command`` in ``directory``, without what this environment says to pytest.

    :param expected: its exit code; None: whatever it is.
    :param variables: of its environment, over this one's.
    :raises NotMeasured: it ended otherwise.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**kept, **(variables or {})}
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=directory, env=environment, stdout=said, stderr=said)
        try:
            memory = _peak(process.pid)
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if expected is not None and process.returncode != expected:
            said.seek(0)
            text = said.read().decode(errors="replace")[-2000:]
            raise NotMeasured(f"{Path(command[0]).name} exited with {process.returncode}: {text}")
    return Used(seconds, used.ru_utime + used.ru_stime, memory)


def _peak(pid: int) -> float:
    """MiB that a process has had at most when it ends.

    The kernel's own word for it, ``ru_maxrss``, begins with the memory of whoever started the process.
    """
    most = 0.0
    with os.fdopen(os.pidfd_open(pid), "rb", 0) as process:
        while not select.select([process], [], [], _INTERVAL)[0]:
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                name, _, value = line.partition(":")
                if name == "VmHWM":
                    most = max(most, int(value.split()[0]) / 1024)
    return most
