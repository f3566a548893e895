"""Starts a simulated cloud, and makes rootdirs whose clouds and projects are on it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_crosscloud import paths
from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.run.processes import REAPER_VARIABLE, RUN_VARIABLE

from .behaviour import Behaviour
from .client import Client

#: Seconds for the server to come up.
_START = 30.0

_PLUGIN = """\
from pathlib import Path
from benchmarks.simulated.cloud import Plugin

plugin = Plugin(Path(__file__).parents[1] / "simulated.json")
globals().update({name: getattr(plugin, name) for name in dir(plugin) if name.startswith("crosscloud_")})
"""


@contextmanager
def serve(ledger: Path, behaviour: Mapping[str, Behaviour] | None = None, *, seed: int = 0) -> Iterator[Client]:
    """A server of its own for the block. It ends with this process, too, however that ends.

    :raises CrosscloudError: it does not come up.
    """
    told = {name: behaves.to_json() for name, behaves in (behaviour or {}).items()}
    command = [sys.executable, "-m", "benchmarks.simulated.server", "--ledger", str(ledger), "--seed", str(seed)]
    command += ["--owner", str(os.getpid()), "--behaviour", json.dumps(told)]
    # It is no part of any run: no reaper may take it for a process that the run left.
    environment = {name: value for name, value in os.environ.items() if name not in (RUN_VARIABLE, REAPER_VARIABLE)}
    with subprocess.Popen(
        command, cwd=paths.data(), env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as server:
        try:
            assert server.stdout
            address = server.stdout.readline() if select.select([server.stdout], [], [], _START)[0] else ""
            if not address:
                raise CrosscloudError("the simulated cloud's server did not start")
            yield Client(address.strip())
        finally:
            server.kill()


def write(
    root: Path,
    client: Client,
    clouds: Mapping[str, Mapping[str, Any]],
    projects: Mapping[str, Mapping[str, Any]],
    stages: Mapping[str, float | str],
    made: Path | None = None,
) -> None:
    """Make ``root`` a rootdir with these clouds and projects: see ``cloud.Plugin``."""
    (root / "clouds").mkdir(parents=True, exist_ok=True)
    (root / "clouds" / "simulated.py").write_text(_PLUGIN)
    table = {"address": client.address, "clouds": clouds, "projects": projects, "stages": stages}
    table |= {"made": str(made)} if made else {}
    (root / "simulated.json").write_text(json.dumps(table, indent=1))
    (root / "pytest.ini").write_text("[pytest]\n")
