"""The only place that knows pyhelm3: it makes Helm's command lines, we run them.

pyhelm3 0.5.8 runs Helm through a shell, in our process group and with our environment, and its ``Client`` starts
two more processes per release (``helm version``, ``helm show chart``). So its ``Command`` is used, with a ``run``
of our own: the process leads its own group, carries the run's id for the reaper, and ends with the task.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pyhelm3

from ..stage import GRACE


class HelmError(Exception):
    """Helm ended with an exit code other than 0. ``str()`` is what it said, without its preambles."""

    def __init__(self, output: str) -> None:
        super().__init__(_gist(output))


class Helm(pyhelm3.Command):  # type: ignore[misc]  # pyhelm3 has no type information
    """Helm with one cluster's KUBECONFIG. ``marks`` say in its environment whose it is."""

    def __init__(self, executable: str, kubeconfig: str, marks: Mapping[str, str]) -> None:
        super().__init__(executable=executable, kubeconfig=kubeconfig)
        # A context of the user's own shell is not one of this cluster.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HELM_KUBE")}
        self._environment = {**inherited, **marks}

    async def upgrade(
        self, release: str, chart: str, values: Mapping[str, Any], *, namespace: str, timeout: float
    ) -> dict[str, Any]:
        """``helm upgrade --install --wait --wait-for-jobs``: the release as Helm prints it (name, version, chart).

        :raises HelmError: it failed, or was not ready after ``timeout`` seconds.
        """
        release_: dict[str, Any] = await self.install_or_upgrade(
            release,
            chart,
            dict(values),
            namespace=namespace,
            create_namespace=False,  # it would be there without our labels
            timeout=f"{max(1, int(timeout))}s",
            wait=True,
        )
        return release_

    async def text(self, *arguments: str) -> str:
        """What ``helm <arguments>`` prints.

        :raises HelmError: it failed.
        """
        return (await self.run(list(arguments))).decode(errors="replace")

    async def run(self, command: list[object], input: bytes | None = None) -> bytes:
        arguments = [str(part) for part in (*command, "--kubeconfig", self._kubeconfig)]
        process = await asyncio.create_subprocess_exec(
            self._executable,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL if input is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
            start_new_session=True,
        )
        try:
            output, errors = await process.communicate(input)
        finally:
            await _end(process)
        if process.returncode != 0:
            raise HelmError(errors.decode(errors="replace") or output.decode(errors="replace"))
        return output


async def _end(process: asyncio.subprocess.Process) -> None:
    """End Helm and whatever it started (plugins, credential helpers): SIGTERM, a grace, SIGKILL."""
    if process.returncode is None:
        _signal(process.pid, signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE)
    _signal(process.pid, signal.SIGKILL)
    await process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _gist(output: str) -> str:
    """What follows ``Error:``; Helm prints progress, warnings and advice around it."""
    text = output.strip()
    _, found, after = text.rpartition("Error: ")
    text = after if found else text
    text = text.removesuffix("Use --debug flag to render out invalid YAML")
    for preamble in ("UPGRADE FAILED: ", "INSTALLATION FAILED: "):
        text = text.removeprefix(preamble)
    return text.strip()
