"""What the status of pods says: how many are ready, what troubles the others, and when there is no hope left."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..model import ErrorClass

#: An object as the API sends it.
Pod = Mapping[str, Any]

#: Restarts after which a container in CrashLoopBackOff is given up: about a minute of kubelet's back-off.
CRASHES = 3

#: Seconds that kubelet may have trouble pulling an image that the registry did not refuse.
_PULL_PATIENCE = 30.0

#: Seconds for a ConfigMap or Secret that a container needs to appear.
_CONFIG_PATIENCE = 20.0

_IMAGE_REASONS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
}
_CONFIG_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}

# What registries and containerd say of an image that will not be there the next time either.
_REFUSED = re.compile(r"not found|manifest unknown|name unknown|denied|unauthorized|forbidden", re.IGNORECASE)


@dataclass(frozen=True)
class Trouble:
    """Why a pod is not ready. Ordered in ``troubles`` by how much it explains."""

    pod: str
    container: str  #: empty if it is the pod as a whole
    reason: str  #: Kubernetes' word for it: ``CrashLoopBackOff``
    message: str
    error_class: ErrorClass
    patience: float = math.inf  #: seconds that it may last before it is given up
    image: str = ""  #: of an image that cannot be pulled

    def __str__(self) -> str:
        if self.image:
            # containerd repeats the image before each cause; the last cause is the one.
            cause = self.message.rpartition(f"{self.image}: ")[2] or self.reason
            return f"image {self.image} cannot be pulled: {cause}"
        where = f"pod {self.pod}" + (f": container {self.container}" if self.container else "")
        return f"{where}: {self.reason}" + (f": {self.message}" if self.message else "")


def is_ready(pod: Pod) -> bool:
    """Ready, or done with success (a pod of a Job)."""
    status = pod.get("status", {})
    return status.get("phase") == "Succeeded" or _condition(pod, "Ready").get("status") == "True"


def troubles(pods: Sequence[Pod]) -> list[Trouble]:
    """What keeps these pods from being ready, the most telling first. A pod that is going away has none."""
    found = [trouble for pod in pods if not is_ready(pod) and not _is_leaving(pod) for trouble in _troubles(pod)]
    return sorted(found, key=lambda trouble: _RANK.index(_kind(trouble.reason)))


def progress(pods: Sequence[Pod]) -> str:
    """One line: ``2 of 3 pods ready, coredns-5d7c: ContainerCreating``."""
    present = [pod for pod in pods if not _is_leaving(pod)]
    if not present:
        return "waiting for the first pod"
    line = f"{sum(map(is_ready, present))} of {len(present)} pods ready"
    late = next((pod for pod in present if not is_ready(pod)), None)
    return f"{line}, {late['metadata']['name']}: {state(late)}" if late else line


def state(pod: Pod) -> str:
    """One or two words for a pod's state, as ``kubectl get pods`` has them."""
    for container in _containers(pod):
        waiting = container.get("state", {}).get("waiting")
        if waiting and waiting.get("reason"):
            return str(waiting["reason"])
    phase = str(pod.get("status", {}).get("phase", "Unknown"))
    return "not ready" if phase == "Running" and not is_ready(pod) else phase


def container_status(pod: Pod, name: str) -> Mapping[str, Any]:
    """The status of one container; empty before kubelet has one."""
    return next((container for container in _containers(pod) if container["name"] == name), {})


class Patience:
    """Since when each trouble lasts: tells when nothing better is to be expected."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str, str], float] = {}

    def hopeless(self, pods: Sequence[Pod], now: float) -> Trouble | None:
        """The first trouble that outlasted its patience. ``now`` is on the monotonic clock."""
        found = {(trouble.pod, trouble.container, _kind(trouble.reason)): trouble for trouble in troubles(pods)}
        self._since = {key: self._since.get(key, now) for key in found}
        return next((trouble for key, trouble in found.items() if now - self._since[key] >= trouble.patience), None)


_RANK = ("image", "config", "crash", "pod", "schedule", "ready")


def _kind(reason: str) -> str:
    """ErrImagePull and ImagePullBackOff take turns, and are one trouble."""
    if reason in _IMAGE_REASONS or reason == "InvalidImageName":
        return "image"
    if reason in _CONFIG_REASONS:
        return "config"
    return {"CrashLoopBackOff": "crash", "Unschedulable": "schedule", "NotReady": "ready"}.get(reason, "pod")


def _troubles(pod: Pod) -> Iterator[Trouble]:
    name = pod["metadata"]["name"]
    status = pod.get("status", {})
    for container in _containers(pod):
        waiting = container.get("state", {}).get("waiting") or {}
        yield from _waiting(name, container, waiting.get("reason", ""), waiting.get("message", ""))
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("reason") == "Unschedulable":
        yield Trouble(name, "", "Unschedulable", scheduled.get("message", ""), ErrorClass.INFRASTRUCTURE)
    elif status.get("phase") == "Failed":
        reason = status.get("reason", "Failed")
        blame = ErrorClass.INFRASTRUCTURE if reason == "Evicted" else ErrorClass.PRODUCT
        yield Trouble(name, "", reason, status.get("message", ""), blame)
    elif status.get("phase") == "Running":
        yield Trouble(name, "", "NotReady", _condition(pod, "Ready").get("message", ""), ErrorClass.PRODUCT)


def _waiting(pod: str, container: Mapping[str, Any], reason: str, message: str) -> Iterator[Trouble]:
    name = container["name"]
    if reason == "InvalidImageName":
        yield Trouble(pod, name, reason, message, ErrorClass.CONFIGURATION, patience=0, image=container["image"])
    elif reason in _IMAGE_REASONS:
        patience = 0.0 if _REFUSED.search(message) or reason == "ErrImageNeverPull" else _PULL_PATIENCE
        yield Trouble(pod, name, reason, message, ErrorClass.INFRASTRUCTURE, patience, container["image"])
    elif reason in _CONFIG_REASONS:
        yield Trouble(pod, name, reason, message, ErrorClass.CONFIGURATION, _CONFIG_PATIENCE)
    elif reason == "CrashLoopBackOff":
        restarts = container.get("restartCount", 0)
        last = container.get("lastState", {}).get("terminated") or {}
        said = f"{restarts} restarts, last exit code {last.get('exitCode')} ({last.get('reason', 'Error')})"
        patience = 0.0 if restarts >= CRASHES else math.inf
        yield Trouble(pod, name, reason, said, ErrorClass.PRODUCT, patience)


def _containers(pod: Pod) -> Iterator[Mapping[str, Any]]:
    status = pod.get("status", {})
    yield from status.get("initContainerStatuses", ())
    yield from status.get("containerStatuses", ())


def _condition(pod: Pod, kind: str) -> Mapping[str, Any]:
    conditions = pod.get("status", {}).get("conditions", ())
    return next((condition for condition in conditions if condition["type"] == kind), {})


def _is_leaving(pod: Pod) -> bool:
    return "deletionTimestamp" in pod["metadata"]
