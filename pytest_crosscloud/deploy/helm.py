"""Deploy: the project's chart with the pinned images, in a namespace of its own, until it is ready."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from .. import paths
from ..errors import CrosscloudError, DeadlineExceeded, StageError
from ..kube import Api, ApiError, Watch
from ..model import Artifacts, DeployRequest, ErrorClass, Project, Release
from ..redact import redact
from ..stage import StageContext
from ..toolchain.tools import tool
from . import PROJECT_LABEL as PROJECT_LABEL
from . import RUN_LABEL as RUN_LABEL
from . import pods
from .helm_command import Helm, HelmError

#: Seconds of the stage that Helm leaves us, to say why the release is not ready.
_MARGIN = 3.0

#: Seconds that Kubernetes gets to empty and remove a namespace.
_REMOVAL = 60.0

#: Lines of a pod's log that go into a failure's message.
_LOG_LINES = 15


def deploy(request: DeployRequest, *, in_place: bool = False) -> Release:
    """Install the project's chart and wait until every object of it is ready.

    :param in_place: the release is there already, and is changed as it is.

    :raises StageError: (class configuration) there is no such chart, it does not render, or Kubernetes refuses
        its objects; (infrastructure) an image cannot be pulled, no node has room, the API does not answer;
        (product) its pods crash or never become ready.
    """
    stage, namespace = request.stage, request.namespace
    chart = find_chart(request.project.chart, request.rootdir)
    helm = Helm(str(tool("helm", stage)), request.cluster.kubeconfig, stage.marks)
    api = Api(request.cluster.kubeconfig)
    if not in_place:
        stage.progress("preparing the namespace")
        _create_namespace(api, request)
    stage.write(f"$ helm upgrade --install {request.release} {chart} --namespace {namespace} --wait --wait-for-jobs")
    try:
        released = asyncio.run(_install(request, helm, api, chart))
    except ApiError as error:
        raise StageError(f"the release cannot be looked at: {error}") from error
    metadata = released["chart"]["metadata"]
    return Release(request.release, namespace, f"{metadata['name']}-{metadata['version']}", released["version"])


def remove(kubeconfig: str, namespace: str, release: str, stage: StageContext) -> None:
    """Take the release out of a cluster that stays: its objects outside the namespace too, then the namespace.

    What is not there is removed, and a namespace without the label of the stage's run is somebody else's: it was
    there before the release, which was refused. Waits until the namespace is gone.

    :raises CrosscloudError: Helm or the API refused, or the namespace is still there after a minute.
    """
    api, path = Api(kubeconfig), f"/api/v1/namespaces/{namespace}"
    if (_labels(api, path) or {}).get(RUN_LABEL) != stage.run:
        return
    helm = Helm(str(tool("helm", stage)), kubeconfig, stage.marks)
    stage.progress(f"helm uninstall {release}")
    command = helm.text("uninstall", release, "--namespace", namespace, "--ignore-not-found")
    try:
        asyncio.run(asyncio.wait_for(command, stage.remaining()))
    except TimeoutError:
        stage.remaining()  # says what was waited for
        raise
    except HelmError as error:
        raise StageError(f"release {release} cannot be removed: {error}") from error
    api.delete(path)
    gone = f"namespace {namespace} to be gone"
    stage.wait_until(lambda: _labels(api, path) is None, gone, timeout=_REMOVAL, interval=0.2)


def _labels(api: Api, path: str) -> dict[str, str] | None:
    """The labels of an object; None if there is none."""
    try:
        return api.get(path)["metadata"].get("labels") or {}
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise


def find_chart(name: str, rootdir: Path) -> str:
    """The chart that a project names: a reference as it is, a path, or a folder of ``charts/``.

    Relative to ``rootdir``, where plugins are found too; its ``charts/`` is looked at before the bundled ones.

    :raises StageError: (class configuration) it is nowhere.
    """
    if "://" in name:
        return name
    candidates = [rootdir / "charts" / name, paths.data("charts", name)]
    if "/" in name or name.endswith(".tgz"):
        candidates = [rootdir / name]
    for candidate in candidates:
        if (candidate / "Chart.yaml").is_file() or candidate.is_file():
            return str(candidate)
    raise StageError(
        f"there is no chart {name!r}: looked at {', '.join(map(str, candidates))}",
        remedy="a project's chart is a folder of charts/, a path, or an oci:// or https:// reference",
        error_class=ErrorClass.CONFIGURATION,
    )


def values(project: Project, artifacts: Artifacts) -> dict[str, Any]:
    """Helm's values: the project's own, and over them the pins.

    Every pin is ``images.<its name in lower case>.{repository,tag,digest}``; a project with one image has it as
    ``image.{repository,tag,digest}`` too, where charts look for it by custom.
    """
    images = {
        pin.name.lower(): {"repository": pin.image, "tag": pin.tag, "digest": pin.digest} for pin in artifacts.pins
    }
    pinned: dict[str, Any] = {"images": images}
    if len(images) == 1:
        pinned["image"] = next(iter(images.values()))
    return _merged(project.values, pinned)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """As Helm merges values: mappings by key, everything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        both = isinstance(under, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(under, value) if both else value  # type: ignore[arg-type]
    return merged


def _create_namespace(api: Api, request: DeployRequest) -> None:
    """Make the cell's namespace, in place of what an earlier attempt left of it.

    Its name carries the run's id, so one that is there without the run's label is somebody else's.
    """
    stage, name = request.stage, request.namespace
    labels = {RUN_LABEL: stage.run, PROJECT_LABEL: request.project.name}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    try:
        if (_labels(api, f"/api/v1/namespaces/{name}") or {}).get(RUN_LABEL) == stage.run:
            stage.write(f"namespace {name} is there from an attempt before this one: it goes first")
            remove(request.cluster.kubeconfig, name, request.release, stage)
        api.create("/api/v1/namespaces", namespace)
    except ApiError as error:
        if error.status != HTTPStatus.CONFLICT:
            raise StageError(f"namespace {name} cannot be made: {error}") from error
        raise StageError(
            f"namespace {request.namespace} exists, and this run did not make it",
            remedy="remove or rename it, or use another cluster",
            error_class=ErrorClass.CONFIGURATION,
        ) from None


async def _install(request: DeployRequest, helm: Helm, api: Api, chart: str) -> dict[str, Any]:
    """Run Helm and look at the pods meanwhile: Helm itself would wait its whole time for an image that is not there."""
    stage = request.stage
    watcher = _PodWatcher(api, request.namespace, stage)
    install = asyncio.create_task(
        helm.upgrade(
            request.release,
            chart,
            values(request.project, request.artifacts),
            namespace=request.namespace,
            timeout=stage.remaining() - _MARGIN,
        )
    )
    watcher.start()
    try:
        while not install.done():
            await asyncio.wait({install}, timeout=min(1.0, stage.remaining()))
            trouble = watcher.hopeless()
            if trouble and not install.done():
                raise _not_ready(api, request.namespace, trouble)
        return install.result()
    except HelmError as error:
        stage.write(str(error))
        raise _classed(error, chart, api, request.namespace) from error
    finally:
        watcher.close()
        install.cancel()
        await asyncio.wait({install})


class _PodWatcher(threading.Thread):
    """Keeps the namespace's pods as they are now. Shows progress; its own failure is no failure of the deploy."""

    def __init__(self, api: Api, namespace: str, stage: StageContext) -> None:
        super().__init__(name="crosscloud-pods", daemon=True)
        self._stage = stage
        self._watch: Watch = api.watch(f"/api/v1/namespaces/{namespace}/pods", deadline=stage.deadline)
        self._pods: list[dict[str, Any]] = []
        self._patience = pods.Patience()

    def run(self) -> None:
        shown = ""
        try:
            for present in self._watch:
                self._pods = present
                line = pods.progress(present)
                if line != shown:
                    self._stage.progress(line)
                shown = line
        except (CrosscloudError, TimeoutError) as error:
            self._stage.write(f"watching pods ended: {error}")

    def hopeless(self) -> pods.Trouble | None:
        return self._patience.hopeless(self._pods, time.monotonic())

    def close(self) -> None:
        self._watch.close()
        self.join(timeout=1)


def _not_ready(api: Api, namespace: str, trouble: pods.Trouble) -> StageError:
    """A failure that names the pod's reason and, of a container that ran, the last lines of its log."""
    message = str(trouble)
    log = "" if trouble.image else last_lines(api, namespace, trouble.pod, trouble.container)
    if log:
        message += f"\nlast lines of its log:\n{log}"
    return StageError(message, remedy="the evidence has logs, events and objects", error_class=trouble.error_class)


def last_lines(api: Api, namespace: str, pod: str, container: str = "") -> str:
    """The end of a container's log, of its previous life if that one crashed; empty if there is none."""
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
    query: dict[str, str | int] = {"tailLines": _LOG_LINES} | ({"container": container} if container else {})
    for previous in ("true", "false"):
        try:
            text = api.text(path, previous=previous, **query).rstrip()
        except ApiError:
            continue
        if text:
            return redact(text)
    return ""


# What Helm says when the chart, its values or its objects are at fault. Helm has no codes for it.
_CHART_FAULTS = re.compile(
    r"templates/|parse error|YAML|execution error|values don't meet|Chart\.ya?ml|chart|missing in charts/"
    r"|no matches for kind|is invalid|cannot patch|invalid ownership metadata|strict decoding|schema"
)
_TEMPLATE = re.compile(r"templates/[^\s:()]+:\d+(?::\d+)?")
_UNREACHABLE = re.compile(
    r"cluster unreachable|dial tcp|proxyconnect|connection (refused|reset)|i/o timeout|no such host|etcdserver"
    r"|TLS handshake|unexpected EOF|http2: client connection lost|network is unreachable|toomanyrequests|\b429\b"
    r"|\b50[0234] (Internal Server Error|Bad Gateway|Service Unavailable|Gateway Timeout)|leader changed"
)
_TOO_LATE = re.compile(
    r"deadline exceeded|timed out|not ready|BackoffLimitExceeded|hooks? failed|post-install|pre-install"
)


def _classed(error: HelmError, chart: str, api: Api, namespace: str) -> StageError:
    """Whose fault it is that Helm failed, from what it said and from the pods that it waited for."""
    text = str(error)
    if _UNREACHABLE.search(text):
        return StageError(f"Helm: {text}", error_class=ErrorClass.INFRASTRUCTURE)
    if _TOO_LATE.search(text):
        found = pods.troubles(api.get(f"/api/v1/namespaces/{namespace}/pods")["items"])
        if found:
            return _not_ready(api, namespace, found[0])
        return DeadlineExceeded(f"not ready in time: {text}", error_class=ErrorClass.PRODUCT)
    if _CHART_FAULTS.search(text):
        where = _TEMPLATE.search(text)
        name = Path(chart).name + (f" ({where.group()})" if where else "")
        return StageError(
            f"chart {name} cannot be installed: {text}",
            remedy="helm template shows it; see also the project's values",
            error_class=ErrorClass.CONFIGURATION,
        )
    return StageError(f"Helm: {text}", error_class=ErrorClass.PRODUCT)
