"""The e2e Job with a fake API that plays kubelet."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud.build.go import GoProgram
from pytest_crosscloud.deploy import e2e
from pytest_crosscloud.errors import DeadlineExceeded, StageError
from pytest_crosscloud.model import DeployRequest, E2ERequest, E2EResult, ErrorClass, Pin, Release
from pytest_crosscloud.stage import StageContext
from tests.deploy.conftest import pin
from tests.deploy.fake_api import FakeApi
from tests.deploy.test_pods import NOT_FOUND
from tests.deploy.test_results import log_of

PODS = "/api/v1/namespaces/cell/pods"
JUNIT = b'<testsuite><testcase name="a"/><testcase name="b"><failure message="wrong"/></testcase></testsuite>'


@pytest.fixture
def request_(
    request_for: Callable[[Path], DeployRequest], stage: StageContext, monkeypatch: pytest.MonkeyPatch
) -> E2ERequest:
    def publish(self: GoProgram, stage: StageContext, registry: str, arch: str, name: str) -> tuple[Pin, bool]:
        return pin(name), True

    monkeypatch.setattr(GoProgram, "publish", publish)
    deploy = request_for(Path("chart"))
    release = Release("dns-stable", "cell", "dns-0.1.0", 1)
    return E2ERequest(deploy.project, deploy.artifacts, deploy.cluster, release, "198.18.0.1:5000", stage)


@pytest.fixture
def kubelet(fake: FakeApi) -> Callable[..., None]:
    """Give the Job's pod this state as soon as the Job is there, and its containers these logs."""

    def play(state: dict[str, Any], log: str = "", results: str = "", **status: Any) -> None:
        def on_create(path: str, job: dict[str, Any]) -> None:
            name = f"{job['metadata']['name']}-pod"
            fake.logs[name, e2e.CONTAINER] = log
            fake.logs[name, e2e.COLLECTOR] = results
            container = {"name": e2e.CONTAINER, "image": pin("E2E").reference, "state": state}
            status_ = {"phase": "Pending", "containerStatuses": [container], **status}
            fake.put(f"{PODS}/{name}", {"metadata": {"name": name}, "status": status_})

        fake.on_create.append(on_create)

    return play


def ended(code: int, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason}}


def test_the_exit_code_and_the_junit_file_are_the_result(
    request_: E2ERequest, kubelet: Callable[..., None], stage: StageContext
) -> None:
    kubelet(ended(1), log="checking\n", results=log_of({"junit.xml": JUNIT}))

    result = e2e.run(request_)

    assert (result.exit_code, result.failures) == (1, ("b: wrong",))
    assert result.counts
    assert (result.counts.passed, result.counts.failed) == (1, 1)
    assert Path(result.log).read_text() == "checking\n"
    assert Path(result.junit).read_bytes() == JUNIT
    assert "big.bin left out" in stage.log.read_text()


def test_a_log_that_kubelet_could_not_follow_is_read_when_it_is_whole(
    request_: E2ERequest, kubelet: Callable[..., None], fake: FakeApi
) -> None:
    class Logs(dict[tuple[str, str], str]):
        refused = False

        def get(self, key: tuple[str, str], default: Any = None) -> Any:
            if key[1] == e2e.CONTAINER and not self.refused:
                self.refused = True
                return "checking\nfailed to create fsnotify watcher: too many open files"
            return super().get(key, default)

    fake.logs = Logs()
    kubelet(ended(0, "Completed"), log="checking\nall is well\n")

    assert Path(e2e.run(request_).log).read_text() == "checking\nall is well\n"


@pytest.mark.parametrize("results", ["", log_of({"junit.xml": b"<testsuite>"}), log_of({"other.txt": b""})])
def test_without_a_readable_junit_file_the_exit_code_decides(
    request_: E2ERequest, kubelet: Callable[..., None], results: str
) -> None:
    kubelet(ended(0, "Completed"), results=results)

    result = e2e.run(request_)

    assert (result.exit_code, result.counts, result.failures) == (0, None, ())


def test_a_container_that_the_kernel_ended_says_so(request_: E2ERequest, kubelet: Callable[..., None]) -> None:
    kubelet(ended(137, "OOMKilled"))

    assert e2e.run(request_).failures == ("container e2e: OOMKilled",)


#: What runc said once, of a node with more to do than it could.
BUSY = "failed to create shim task: runc create failed: unable to create new parent process: lstat /proc/0/ns/ipc"
NO_PROGRAM = 'runc create failed: error during container init: exec: "/checks": stat /checks: no such file or directory'


@pytest.mark.parametrize(("message", "is_ours"), [(BUSY, False), (NO_PROGRAM, True), ("exec format error", True)])
def test_a_node_that_cannot_start_a_container_is_no_verdict_on_what_is_in_it(
    request_: E2ERequest, kubelet: Callable[..., None], message: str, is_ours: bool
) -> None:
    kubelet({"terminated": {"exitCode": 128, "reason": "StartError", "message": message}})
    if is_ours:
        assert e2e.run(request_).exit_code == 128
        return
    with pytest.raises(StageError, match="could not start it: failed to create shim") as raised:
        e2e.run(request_)
    assert raised.value.error_class == ErrorClass.INFRASTRUCTURE


def test_time_that_is_over_is_the_products_fault(request_: E2ERequest, kubelet: Callable[..., None]) -> None:
    kubelet(ended(143), phase="Failed", reason="DeadlineExceeded")

    with pytest.raises(DeadlineExceeded, match="did not end within") as raised:
        e2e.run(request_)

    assert raised.value.error_class == ErrorClass.PRODUCT


def test_an_image_that_is_not_there_is_infrastructure(request_: E2ERequest, kubelet: Callable[..., None]) -> None:
    kubelet({"waiting": {"reason": "ErrImagePull", "message": NOT_FOUND}})

    with pytest.raises(StageError, match="cannot be pulled") as raised:
        e2e.run(request_)

    assert raised.value.error_class == ErrorClass.INFRASTRUCTURE


def test_a_pod_that_never_comes_ends_at_the_stages_deadline(request_: E2ERequest, stage: StageContext) -> None:
    stage.deadline = time.monotonic() + 0.5

    with pytest.raises(DeadlineExceeded, match="waiting for the e2e container to start"):
        e2e.run(request_)


def test_the_job_of_an_attempt_before_is_gone_before_another_begins(
    request_: E2ERequest, kubelet: Callable[..., None], fake: FakeApi, stage: StageContext
) -> None:
    jobs = "/apis/batch/v1/namespaces/cell/jobs"
    fake.put(f"{jobs}/before", {"metadata": {"name": "before", "labels": {"crosscloud-run": "7f3a"}}})
    fake.put(f"{PODS}/before-pod", {"metadata": {"name": "before-pod"}, "status": {"phase": "Running"}})
    waits: list[int] = []

    def delete(path: str) -> None:
        fake.remove(path)
        threading.Thread(target=end).start()

    def end() -> None:  # its pod stays for a while, as one does that has a grace
        with fake.changed:
            fake.changed.wait_for(lambda: sum("job-name+in" in asked for asked in fake.requests) > 1, 10)
        waits.append(len(fake.objects))
        fake.remove(f"{PODS}/before-pod")

    fake.on_delete = delete
    kubelet(ended(0, "Completed"))

    assert e2e.run(request_).exit_code == 0
    assert f"{jobs}/before" not in fake.objects
    assert waits == [1], "no Job was made meanwhile"
    assert "Job before is there from an attempt before this one" in stage.log.read_text()


def test_the_container_gets_no_token_and_less_time_than_the_stage_has(request_: E2ERequest) -> None:
    spec = e2e.job(request_, "image@sha256:0", "collector@sha256:1", seconds=42)["spec"]

    assert spec["backoffLimit"] == 0
    pod = spec["template"]["spec"]
    assert (pod["automountServiceAccountToken"], pod["activeDeadlineSeconds"]) == (False, 42)
    environment = {variable["name"]: variable["value"] for variable in pod["containers"][0]["env"]}
    assert environment == {
        "CROSSCLOUD_NAMESPACE": "cell",
        "CROSSCLOUD_REGISTRY": "198.18.0.1:5000",
        "CROSSCLOUD_RELEASE": "dns-stable",
        "CROSSCLOUD_RESULTS": "/results",
        "CROSSCLOUD_RUN": "7f3a",
        "CROSSCLOUD_VERSION": request_.artifacts.ref.version,
        "DNS_TAG": "v1.0.0",
    }


def test_the_container_gets_the_token_of_an_account_that_the_project_names(request_: E2ERequest) -> None:
    assert request_.project.e2e
    project = dataclasses.replace(
        request_.project, e2e=dataclasses.replace(request_.project.e2e, service_account="conformance")
    )
    job = e2e.job(dataclasses.replace(request_, project=project), "image@sha256:0", "collector@sha256:1", seconds=42)
    pod = job["spec"]["template"]["spec"]
    assert (pod["automountServiceAccountToken"], pod["serviceAccountName"]) == (True, "conformance")


def test_what_a_stage_tells_the_container_counts_more_than_what_the_project_does(request_: E2ERequest) -> None:
    telling = dataclasses.replace(request_, env={"CROSSCLOUD_UPGRADE": "after"})
    (container,) = e2e.job(telling, "image@sha256:0", "collector@sha256:1", seconds=42)["spec"]["template"]["spec"][
        "containers"
    ]
    assert {"name": "CROSSCLOUD_UPGRADE", "value": "after"} in container["env"]


def test_a_service_of_the_chart_can_select_the_container(request_: E2ERequest) -> None:
    pod = e2e.job(request_, "image@sha256:0", "collector@sha256:1", seconds=42)["spec"]["template"]
    assert pod["metadata"]["labels"] == {"crosscloud-e2e": "dns-stable"}


def test_a_project_without_an_e2e_container_has_passed_when_it_is_installed(
    request_: E2ERequest, fake: FakeApi
) -> None:
    project = dataclasses.replace(request_.project, e2e=None)
    artifacts = dataclasses.replace(request_.artifacts, e2e=None)

    result = e2e.run(dataclasses.replace(request_, project=project, artifacts=artifacts))

    assert result == E2EResult(exit_code=0, detail="no e2e container: installed and ready")
    assert fake.requests == [] and not fake.objects
