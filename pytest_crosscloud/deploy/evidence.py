"""What is kept of a release that failed: collected before anything is deleted, redacted, summed up for a person."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from ..kube import Api, ApiError
from ..model import Cluster
from ..redact import PLACEHOLDER, mask, redact
from ..stage import RUN_VARIABLE
from ..toolchain.tools import tool
from . import container_log, pods
from .helm_command import Helm

#: Seconds for all of it.
DEADLINE = 30.0

#: Lines of a container's log that the API is asked for.
_LOG_LINES = 5000

#: Lines of a log, and warnings, that the summary shows.
_SHOWN = 15

#: What ``kubectl get -o yaml`` would show and nobody reads.
_NOISE = {"managedFields", "kubectl.kubernetes.io/last-applied-configuration"}


def collect(
    cluster: Cluster, namespace: str, release: str, directory: Path, *, run: str = "", seconds: float = DEADLINE
) -> list[Path]:
    """Write what explains a failed release below ``directory``; ``summary.txt`` is what a person reads first.

    Never raises: what could not be had within ``seconds`` seconds is named in the summary.

    :param run: id of the run, for the processes that are started.
    :return: the files, ``summary.txt`` first.
    """
    collection = _Collection(cluster, namespace, release, directory, time.monotonic() + seconds)
    collection.from_api()
    collection.from_helm(run)
    collection.summarize()
    return sorted(collection.files, key=lambda path: path.name != "summary.txt")


class _Collection:
    def __init__(self, cluster: Cluster, namespace: str, release: str, directory: Path, deadline: float) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._release = release
        self._directory = directory
        self._deadline = deadline
        self._missing: list[str] = []
        self._pods: list[dict[str, Any]] = []
        self._events: list[dict[str, Any]] = []
        self.files: list[Path] = []

    def from_api(self) -> None:
        """In the order of worth, since the deadline may cut it short."""
        found: list[Api] = []
        self._try("the Kubernetes API", lambda: found.append(Api(self._cluster.kubeconfig)))
        for api in found:
            if not self._try("pods", partial(self._get_pods, api)):
                return
            self._try("events", partial(self._get_events, api))
            for pod in self._pods:
                for container in _containers(pod):
                    self._get_logs(api, pod["metadata"]["name"], container)
            self._try("nodes", lambda: self._write("nodes.yaml", _dump(api.get("/api/v1/nodes")["items"])))  # noqa: B023
            self._try("objects", partial(self._get_objects, api))

    def from_helm(self, run: str) -> None:
        commands = {
            "helm-status.txt": ["status"],
            "helm-values.yaml": ["get", "values", "--all"],
            "helm-manifest.yaml": ["get", "manifest"],
        }
        for name, command in commands.items():
            self._try(f"helm {' '.join(command[:2])}", partial(self._get_helm, name, command, run))

    def summarize(self) -> None:
        self._try("summary", lambda: self._write("summary.txt", "\n".join(self._summary()) + "\n"), always=True)

    def _try(self, what: str, step: Callable[[], object], *, always: bool = False) -> bool:
        """Whether it could be had. Whatever it raises: the failure that is being explained matters more."""
        if time.monotonic() > self._deadline and not always:
            self._missing.append(f"{what}: no time left")
            return False
        try:
            step()
        except Exception as error:
            self._missing.append(f"{what}: {error or type(error).__name__}")
            return False
        return True

    def _write(self, name: str, text: str) -> None:
        path = self._directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(redact(text), encoding="utf-8")
        self.files.append(path)

    # -- sources ----------------------------------------------------------------------------------------------

    def _get_pods(self, api: Api) -> None:
        self._pods = api.get(f"/api/v1/namespaces/{self._namespace}/pods")["items"]

    def _get_events(self, api: Api) -> None:
        events = api.get(f"/api/v1/namespaces/{self._namespace}/events")["items"]
        self._events = sorted(events, key=_event_time)
        self._write("events.txt", "".join(f"{_event_line(event)}\n" for event in self._events))

    def _get_logs(self, api: Api, pod: str, container: str) -> None:
        """A container's log, and that of its life before the last restart if it had one."""
        for previous, suffix in (("false", ""), ("true", ".previous")):
            path = self._directory / "logs" / f"{pod}.{container}{suffix}.log"
            try:
                lines = api.lines(
                    f"/api/v1/namespaces/{self._namespace}/pods/{pod}/log",
                    timeout=max(1.0, self._deadline - time.monotonic()),
                    container=container,
                    previous=previous,
                    tailLines=_LOG_LINES,
                )
                container_log.follow(lines, path)
                self.files.append(path)
            except ApiError as error:
                # Most containers have no previous life, and one that is waiting has none at all.
                if error.status == 0:
                    self._missing.append(f"log of {pod}/{container}: {error}")

    def _get_objects(self, api: Api) -> None:
        for path in api.namespaced_lists():
            kind = path.rsplit("/", 1)[1]
            if kind in {"events"} or path.startswith("/apis/metrics.k8s.io"):
                continue  # events have a file of their own; metrics are no objects
            self._try(kind, partial(self._get_list, api, path.format(namespace=self._namespace), kind))

    def _get_list(self, api: Api, path: str, kind: str) -> None:
        listed = api.get(path)
        items = [{"kind": str(listed["kind"]).removesuffix("List"), **item} for item in listed["items"]]
        if items:
            self._write(f"objects/{kind}.yaml", _dump(items))

    def _get_helm(self, name: str, command: list[str], run: str) -> None:
        helm = Helm(str(tool("helm")), self._cluster.kubeconfig, {RUN_VARIABLE: run})
        call = helm.text(*command, self._release, "--namespace", self._namespace)
        text = asyncio.run(_within(self._deadline - time.monotonic(), call))
        self._write(name, _dump(list(yaml.safe_load_all(text))) if name.endswith(".yaml") else text)

    # -- for a person -----------------------------------------------------------------------------------------

    def _summary(self) -> Iterator[str]:
        yield f"release {self._release} in namespace {self._namespace} on cluster {self._cluster.name}"
        yield f"\npods: {sum(map(pods.is_ready, self._pods))} of {len(self._pods)} ready"
        troubles = pods.troubles(self._pods)
        yield from (f"  {trouble}" for trouble in troubles)
        warnings = [event for event in self._events if event.get("type") == "Warning"]
        yield f"\nwarnings: {len(warnings) or 'none'}"
        yield from (f"  {_event_line(event)}" for event in warnings[-_SHOWN:])
        late = {trouble.pod for trouble in troubles} or {pod["metadata"]["name"] for pod in self._pods}
        for path in self.files:
            if path.parent.name == "logs" and path.name.split(".")[0] in late:
                yield f"\nend of {path.relative_to(self._directory)}:"
                yield from (f"  {line}" for line in path.read_text(encoding="utf-8").splitlines()[-_SHOWN:])
        if self._missing:
            yield "\nnot collected:"
            yield from (f"  {what}" for what in self._missing)


async def _within(seconds: float, call: Any) -> str:
    text: str = await asyncio.wait_for(call, seconds)
    return text


def _containers(pod: pods.Pod) -> list[str]:
    spec = pod["spec"]
    return [container["name"] for container in (*spec.get("initContainers", ()), *spec["containers"])]


def _event_time(event: dict[str, Any]) -> str:
    series = event.get("series") or {}
    seen = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return str(seen or event["metadata"].get("creationTimestamp") or "")


def _event_line(event: dict[str, Any]) -> str:
    about = event.get("involvedObject", {})
    count = int((event.get("series") or {}).get("count") or event.get("count") or 1)
    times = f" (x{count})" if count > 1 else ""
    what = f"{about.get('kind')}/{about.get('name')}"
    said = " ".join(str(event.get("message", "")).split())
    return f"{_event_time(event)} {event.get('type')} {what} {event.get('reason')}: {said}{times}"


def _dump(objects: Any) -> str:
    return yaml.safe_dump(mask(_plain(objects))[0], sort_keys=False, allow_unicode=True, width=120)


def _plain(value: Any) -> Any:
    """Without the data of Secrets, and without what nobody reads."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("kind") == "Secret":
        hidden = {key: dict.fromkeys(value[key] or (), PLACEHOLDER) for key in ("data", "stringData") if key in value}
        value = {**value, **hidden}
    return {key: _plain(item) for key, item in value.items() if key not in _NOISE}
