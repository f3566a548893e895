"""E2E: the project's e2e container as a Job beside its release, with its log, exit code and JUnit file."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..build.go import GoProgram
from ..errors import DeadlineExceeded, StageError
from ..kube import Api, ApiError
from ..model import NO_E2E, E2ERequest, E2EResult, ErrorClass
from ..stage import StageContext
from . import E2E_LABEL, RUN_LABEL, container_log, pods, results

#: Name of the e2e container, and of the sidecar that hands out its results.
CONTAINER = "e2e"
COLLECTOR = "crosscloud-results"

#: Where the e2e container may leave files; a JUnit file there is counted.
RESULTS = "/results"

#: Seconds of the stage that the container does not get: for its start, and to fetch what it left.
_MARGIN = 10.0

#: Seconds between SIGTERM and SIGKILL to an e2e container whose time is over.
_GRACE = 5

_COLLECTOR_IMAGE = GoProgram(directory=Path(__file__).parent / "collector", image="crosscloud/collector")


def run(request: E2ERequest) -> E2EResult:
    """Run the project's e2e container to its end.

    It finds the names of its release in ``CROSSCLOUD_NAMESPACE`` and ``CROSSCLOUD_RELEASE``, the version under test in
    ``CROSSCLOUD_VERSION`` and each image's tag as in release.env (``COREDNS_TAG``), the run in ``CROSSCLOUD_RUN``, the
    registry that images are pushed to in ``CROSSCLOUD_REGISTRY``, and a directory for its files in
    ``CROSSCLOUD_RESULTS``. It has no token for the API, unless ``E2E.service_account`` says whose. Its pod has the
    label ``crosscloud-e2e`` with the release's name, for a chart's Service.

    A project need not have one: that its release was installed and became ready is what was tested.

    :raises StageError: (class infrastructure) its image cannot be pulled, or no node has room.
    :raises DeadlineExceeded: (class product) it ran until its time was over.
    """
    stage, pin = request.stage, request.artifacts.e2e
    if pin is None or request.project.e2e is None:
        return E2EResult(exit_code=0, detail=NO_E2E)
    stage.progress("preparing the e2e container")
    collector, _ = _COLLECTOR_IMAGE.publish(stage, request.registry, request.artifacts.arch, "COLLECTOR")
    seconds = max(1, math.floor(min(request.project.e2e.timeout, stage.remaining() - _MARGIN)))
    api = Api(request.cluster.kubeconfig)
    namespace = request.release.namespace
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    try:
        _remove_earlier(api, namespace, stage)
        made = api.create(path, job(request, pin.reference, collector.reference, seconds))
    except ApiError as error:
        raise StageError(f"the e2e Job cannot be made: {error}") from error
    stage.write(f"Job {made['metadata']['name']}: {pin.reference}")
    return _Execution(api, request, made["metadata"]["name"], seconds).run()


def _remove_earlier(api: Api, namespace: str, stage: StageContext) -> None:
    """Remove the Jobs of earlier attempts, and wait until none of their containers tests the release any more."""
    jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    names = [job["metadata"]["name"] for job in api.get(jobs, labelSelector=f"{RUN_LABEL}={stage.run}")["items"]]
    if not names:
        return
    for name in names:
        stage.write(f"Job {name} is there from an attempt before this one: it goes first")
        api.delete(f"{jobs}/{name}")
    mine = f"batch.kubernetes.io/job-name in ({','.join(names)})"
    pods_ = f"/api/v1/namespaces/{namespace}/pods"
    stage.wait_until(lambda: not api.get(pods_, labelSelector=mine)["items"], "the e2e container before to be gone")


def job(request: E2ERequest, image: str, collector: str, seconds: int) -> dict[str, Any]:
    """The Job that runs the e2e container once, for at most ``seconds`` seconds."""
    assert request.project.e2e
    release = request.release
    environment = {
        "CROSSCLOUD_NAMESPACE": release.namespace,
        "CROSSCLOUD_REGISTRY": request.registry,
        "CROSSCLOUD_RELEASE": release.name,
        "CROSSCLOUD_RESULTS": RESULTS,
        "CROSSCLOUD_RUN": request.stage.run,
        "CROSSCLOUD_VERSION": request.artifacts.ref.version,
        **{f"{pin.name}_TAG": pin.tag for pin in request.artifacts.pins},
        **request.project.e2e.env,
        **request.env,
    }
    mount = {"name": "results", "mountPath": RESULTS}
    account = request.project.e2e.service_account
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": f"{release.name}-e2e-", "labels": {RUN_LABEL: request.stage.run}},
        "spec": {
            "backoffLimit": 0,
            "template": {
                "metadata": {"labels": {E2E_LABEL: release.name}},
                "spec": {
                    "restartPolicy": "Never",
                    # On the pod, not on the Job: a Job whose time is over deletes its pod, with the log in it.
                    "activeDeadlineSeconds": seconds,
                    "terminationGracePeriodSeconds": _GRACE,
                    "automountServiceAccountToken": bool(account),
                    **({"serviceAccountName": account} if account else {}),
                    # The addresses of the namespace's Services as variables: a cluster may have no DNS but the tested.
                    "enableServiceLinks": True,
                    # A native sidecar: started before the container, and told to end when that has ended.
                    "initContainers": [
                        {
                            "name": COLLECTOR,
                            "image": collector,
                            "args": [RESULTS],
                            "restartPolicy": "Always",
                            "volumeMounts": [{**mount, "readOnly": True}],
                        }
                    ],
                    "containers": [
                        {
                            "name": CONTAINER,
                            "image": image,
                            "env": [{"name": name, "value": str(value)} for name, value in environment.items()],
                            "volumeMounts": [mount],
                        }
                    ],
                    "volumes": [{"name": "results", "emptyDir": {"sizeLimit": "64Mi"}}],
                },
            },
        },
    }


class _Execution:
    """One e2e Job that was created, until its result is here."""

    def __init__(self, api: Api, request: E2ERequest, name: str, seconds: int) -> None:
        self._api = api
        self._stage: StageContext = request.stage
        self._pods = f"/api/v1/namespaces/{request.release.namespace}/pods"
        self._name = name
        self._seconds = seconds
        self._log = self._stage.directory / "e2e-container.log"

    def run(self) -> E2EResult:
        pod = self._wait_for("start", lambda status: "running" in status or "terminated" in status)
        complete = self._follow_log(pod)
        pod = self._wait_for("end", lambda status: "terminated" in status)
        if not complete:
            self._follow_log(pod)
        ended = pods.container_status(pod, CONTAINER)["state"]["terminated"]
        if trouble := never_started(ended):
            raise StageError(f"e2e container: the node could not start it: {trouble}")
        junit, report = self._fetch_results(pod)
        if _is_expired(pod):
            raise self._too_late()
        failures = tuple(report.failures) if report else ()
        if ended.get("reason") not in {"Completed", "Error"}:
            failures = (f"container {CONTAINER}: {ended.get('reason')} {ended.get('message', '')}".rstrip(), *failures)
        return E2EResult(
            exit_code=ended["exitCode"],
            counts=report.counts if report else None,
            failures=failures,
            log=str(self._log),
            junit=str(junit) if junit else "",
        )

    def _wait_for(self, what: str, reached: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
        """Watch the Job's pod until its container's state is ``reached``.

        :raises StageError: it will not be.
        """
        self._stage.progress(f"waiting for the e2e container to {what}")
        patience = pods.Patience()
        watch = self._api.watch(
            self._pods, deadline=self._stage.deadline, labelSelector=f"batch.kubernetes.io/job-name={self._name}"
        )
        try:
            for found in watch:
                if not found:
                    continue
                pod = found[0]
                if reached(pods.container_status(pod, CONTAINER).get("state", {})):
                    return pod
                trouble = patience.hopeless(found, time.monotonic())
                if trouble:
                    raise StageError(f"e2e container: {trouble}", error_class=trouble.error_class)
                if pod.get("status", {}).get("phase") == "Failed":
                    raise self._failed_pod(pod)
                if what == "start":
                    self._stage.progress(f"waiting for the e2e container to start: {pods.state(pod)}")
        except TimeoutError:
            self._stage.remaining()  # says what was waited for
            raise
        except ApiError as error:
            raise StageError(f"the e2e Job cannot be watched: {error}") from error
        finally:
            watch.close()
        raise AssertionError("a watch ends only by an exception")

    def _follow_log(self, pod: Mapping[str, Any]) -> bool:
        """Copy the container's log while it runs. False: it broke off, and the log must be read again."""
        self._stage.progress("running the e2e container")
        path = f"{self._pods}/{pod['metadata']['name']}/log"
        last = ""

        def lines() -> Iterator[str]:
            nonlocal last
            for last in self._api.lines(path, timeout=self._stage.remaining(), container=CONTAINER, follow="true"):
                self._stage.remaining()  # one that goes on writing is no sign that its kubelet still counts its time
                yield last

        try:
            container_log.follow(lines(), self._log)
        except ApiError as error:
            self._stage.write(f"the e2e container's log broke off: {error}")
            return False
        if last.startswith(container_log.NOT_FOLLOWED):
            self._stage.write(f"the e2e container's log broke off: {last}")
            return False
        return True

    def _fetch_results(self, pod: Mapping[str, Any]) -> tuple[Path | None, results.JUnit | None]:
        """The JUnit file that the container wrote, and what it says. What is wrong with it is noted in the log."""
        self._stage.progress("fetching the e2e results")
        path = f"{self._pods}/{pod['metadata']['name']}/log"
        junit = None
        try:
            lines = self._api.lines(path, timeout=self._stage.remaining(), container=COLLECTOR, follow="true")
            log = "\n".join(lines)
            for note in results.notes(log):
                self._stage.write(f"results: {note}")
            junit = results.find_junit(results.unpack(log, self._stage.directory / "results"))
            return junit, results.read_junit(junit.read_bytes()) if junit else None
        except (ApiError, results.BadResults) as error:
            self._stage.write(f"results{f' ({junit.name})' if junit else ''}: {error}")
            return junit, None

    def _failed_pod(self, pod: Mapping[str, Any]) -> StageError:
        if _is_expired(pod):
            return self._too_late()
        trouble = next(iter(pods.troubles([pod])), "its pod failed")
        return StageError(f"e2e container: {trouble}")

    def _too_late(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"the e2e container did not end within {self._seconds} s",
            remedy=f"see where it hangs in {self._log}, or raise timeouts.e2e in cross-cloud.yml",
            error_class=ErrorClass.PRODUCT,
        )


#: What runc says of a program that cannot be executed, which is the image's fault.
_EXECUTES = re.compile(r"\bexec(:| format error)|executable file not found")


def never_started(ended: Mapping[str, Any]) -> str:
    """Why the node's container runtime failed to start a container that has ended; empty if it did not fail.

    :param ended: the container's state ``terminated``.
    """
    message = str(ended.get("message", ""))
    return message if ended.get("reason") == "StartError" and not _EXECUTES.search(message) else ""


def _is_expired(pod: Mapping[str, Any]) -> bool:
    """Whether kubelet ended the pod for its ``activeDeadlineSeconds``."""
    return bool(pod["status"].get("reason") == "DeadlineExceeded")
