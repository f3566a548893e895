"""Availability: a pod that asks a release's TCP ports all the time, while the release is changed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..build.go import GoProgram
from ..errors import StageError
from ..kube import Api, ApiError
from ..model import Pin, Release
from ..stage import StageContext
from . import RUN_LABEL, container_log, pods

_IMAGE = GoProgram(directory=Path(__file__).parent / "prober", image="crosscloud/prober")

#: Seconds for the pod to start, and for its first and its last word.
_PATIENCE = 60.0

#: Lines after which a port that has not answered yet is no port that anybody listens on: two seconds.
_FIRST = 8

#: Lines that are waited for when the change is over: what was asked before is answered or lost by then.
_LAST = 5


@dataclass(frozen=True)
class Port:
    """What is known of one port of a Service. One that never answered has no gap."""

    name: str  #: ``service:port``
    asked: int = 0
    answered: int = 0
    failed: int = 0  #: questions without an answer
    gap: float = 0.0  #: longest time without any answer, in seconds
    error: str = ""  #: of the last question without an answer


class Answers:
    """What the ports have answered so far."""

    def __init__(self) -> None:
        self.ports: tuple[Port, ...] = ()
        self._lines = 0
        self._changed = threading.Condition()
        self._ended = self._remedy = ""

    @property
    def worst(self) -> Port | None:
        """The port that was silent for the longest time; None: there is none that has ever answered."""
        return max((port for port in self.ports if port.answered), key=lambda port: port.gap, default=None)

    def __str__(self) -> str:
        if self.worst is None:
            return "nobody could be asked: no Service with a TCP port that answers"
        ports = [port for port in self.ports if port.answered]
        asked, failed = sum(port.asked for port in ports), sum(port.failed for port in ports)
        return f"{asked} questions, {failed} without an answer, longest gap {self.worst.gap:.2f} s ({self.worst.name})"

    def _take(self, line: str) -> None:
        ports = tuple(Port(**found) for found in json.loads(line))
        with self._changed:
            self.ports = ports
            self._lines += 1
            self._changed.notify_all()

    def _end(self, why: str, remedy: str = "") -> None:
        with self._changed:
            self._ended, self._remedy = why, remedy
            self._changed.notify_all()

    def _await(self, lines: int, timeout: float) -> None:
        """:raises StageError: so many further lines do not come."""
        with self._changed:
            wanted = self._lines + lines
            if not self._changed.wait_for(lambda: self._lines >= wanted or self._ended, timeout) or self._ended:
                why = self._ended or "its log does not go on"
                raise StageError(f"the prober says nothing: {why}", remedy=self._remedy)


def publish(stage: StageContext, registry: str, arch: str) -> Pin:
    """Build and push the prober's image, unless it is there."""
    pin, _ = _IMAGE.publish(stage, registry, arch, "PROBER")
    return pin


@contextmanager
def watching(kubeconfig: str, release: Release, image: Pin, stage: StageContext) -> Iterator[Answers]:
    """Ask all TCP ports of the release's Services while the block runs. Complete when the block has ended.

    :raises StageError: (class infrastructure) the prober does not run.
    """
    api, answers = Api(kubeconfig), Answers()
    targets = _targets(api, release)
    if not targets:
        stage.write("no Service of the release has a TCP port: nobody can be asked")
        yield answers
        return
    path = f"/api/v1/namespaces/{release.namespace}/pods"
    try:
        name = api.create(path, pod(release, image.reference, targets, stage.run))["metadata"]["name"]
        try:
            pod_path = f"{path}/{name}"
            stage.wait_until(lambda: _runs(api.get(pod_path)), "the prober to start", timeout=_PATIENCE)
            lines = api.lines(f"{pod_path}/log", timeout=_PATIENCE, follow="true")
            reader = threading.Thread(target=_read, args=(lines, answers), name="crosscloud-prober", daemon=True)
            reader.start()
            try:
                answers._await(1, _PATIENCE)
                for _ in range(_FIRST):
                    if all(port.answered for port in answers.ports):
                        break
                    answers._await(1, _PATIENCE)
                yield answers
                answers._await(_LAST, _PATIENCE)
            finally:
                lines.close()
                reader.join(timeout=1)
                stage.write(f"availability: {answers}")
                for port in answers.ports:
                    stage.write(f"  {port}")
        finally:
            api.delete(f"{path}/{name}")
    except ApiError as error:
        raise StageError(f"the prober cannot be run: {error}") from error


def _read(lines: Any, answers: Answers) -> None:
    try:
        for line in lines:
            if line.startswith(container_log.NOT_FOLLOWED):
                remedy = "give the node's host more of them: sysctl fs.inotify.max_user_instances"
                answers._end("its node has no inotify instance left to follow the log with", remedy)
                return
            try:
                answers._take(line)
            except (ValueError, TypeError):
                answers._end(f"a line of its log is no answer: {line.strip()[:200]!r}")
                return
        answers._end("its log has ended")
    except ApiError as error:
        answers._end(str(error))


def _runs(found: Mapping[str, Any]) -> bool:
    """:raises StageError: it never will."""
    if trouble := next((trouble for trouble in pods.troubles([found]) if trouble.image or trouble.container), None):
        raise StageError(f"the prober does not start: {trouble}", error_class=trouble.error_class)
    return bool(found.get("status", {}).get("phase") == "Running")


def _targets(api: Api, release: Release) -> list[str]:
    """``service:port=address:port`` for each TCP port of the release's Services."""
    listed = api.get(f"/api/v1/namespaces/{release.namespace}/services")["items"]
    return [
        f"{service['metadata']['name']}:{port['port']}={_host(service['spec']['clusterIP'])}:{port['port']}"
        for service in listed
        if service["metadata"].get("annotations", {}).get("meta.helm.sh/release-name") == release.name
        and service["spec"].get("clusterIP") not in (None, "", "None")
        for port in service["spec"].get("ports", ())
        if port.get("protocol", "TCP") == "TCP"
    ]


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def pod(release: Release, image: str, targets: list[str], run: str) -> dict[str, Any]:
    """The prober's pod."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": f"{release.name}-prober-", "labels": {RUN_LABEL: run}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "containers": [{"name": "prober", "image": image, "args": targets}],
        },
    }
