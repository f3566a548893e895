"""Real clusters on this computer: they come up, work across nodes, and leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from clouds.local import LocalCloud
from pytest_crosscloud import machine, paths
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import Cluster, ProvisionRequest, Ref
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.toolchain.node import NodeBundle, node_bundle
from tests.e2e.computer import Computer

pytestmark = pytest.mark.root

KUBERNETES = Ref("stable", "v1.36.3")

#: Seconds for one cluster, the node bundle and the prepared disk being there or not.
DEADLINE = 900.0

MakeRequest = Callable[..., ProvisionRequest]


@pytest.fixture
def run() -> Iterator[str]:
    name = f"t{uuid.uuid4().hex[:7]}"
    yield name
    machine.destroy_run(name)


@pytest.fixture
def make_request(tmp_path: Path, run: str) -> Iterator[MakeRequest]:
    """Makes requests for clusters of the run; what was provisioned is destroyed, and then nothing may be left."""
    made: list[ProvisionRequest] = []
    before = Computer()

    def make(name: str = "local", workers: int = 0, **variables: Any) -> ProvisionRequest:
        directory = tmp_path / name
        directory.mkdir(mode=0o700)
        stage = StageContext(f"provision {name}", run, tmp_path / "out" / name, deadline=time.monotonic() + DEADLINE)
        made.append(
            ProvisionRequest(
                cloud=LocalCloud(name="local"),
                name=f"xc-{run}-{name}",
                kubernetes=KUBERNETES,
                arch="amd64",
                workers=workers,
                variables=variables,
                directory=directory,
                tags={"crosscloud-run": run},
                registries=(),
                stage=stage,
            )
        )
        return made[-1]

    yield make
    for request in made:
        request.cloud.destroy(request)
        request.cloud.destroy(request)
    assert machine.leftovers(run) == []
    assert before.left(run) == []


def bundle(cluster: Cluster) -> NodeBundle:
    stage = StageContext("provision test", "test", Path(cluster.kubeconfig).parent / "out")
    return node_bundle(cluster.kubernetes, cluster.arch, stage)


def kubectl(cluster: Cluster, *arguments: str, stdin: str | None = None) -> str:
    argv = [str(bundle(cluster).programs / "kubectl"), "--kubeconfig", cluster.kubeconfig, *arguments]
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def pod(cluster: Cluster, name: str, node: str, *command: str) -> dict[str, Any]:
    """A pod on a node that runs the node's own busybox, so that no image has to come from anywhere."""
    pause = next(name for name in bundle(cluster).image_names if "/pause:" in name)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "securityContext": {"runAsUser": 0},
            "containers": [
                {
                    "name": "busybox",
                    "image": pause,
                    "command": ["/busybox", *command],
                    "volumeMounts": [{"name": "busybox", "mountPath": "/busybox", "readOnly": True}],
                }
            ],
            "volumes": [{"name": "busybox", "hostPath": {"path": "/bin/busybox", "type": "File"}}],
        },
    }


def inside(name: str, *command: str) -> str:
    argv = [sys.executable, "-m", "pytest_crosscloud.machine", "exec", name, "--", *command]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout


def apply(cluster: Cluster, *objects: dict[str, Any]) -> None:
    kubectl(cluster, "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def test_pods_on_different_nodes_talk_through_a_service(make_request: MakeRequest) -> None:
    request = make_request(workers=2)
    cluster = request.cloud.provision(request)
    assert [(node.name, node.role) for node in cluster.nodes] == [
        ("control-plane", "control-plane"),
        ("worker-1", "worker"),
        ("worker-2", "worker"),
    ]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "server"},
        "spec": {"selector": {"app": "server"}, "clusterIP": "10.96.0.80", "ports": [{"port": 80, "targetPort": 8080}]},
    }
    serve = "/busybox mkdir /www; echo hello from worker-1 > /www/index.html; exec /busybox httpd -f -p 8080 -h /www"
    apply(cluster, service, pod(cluster, "server", "worker-1", "sh", "-c", serve))
    kubectl(cluster, "wait", "pod/server", "--for=condition=Ready", "--timeout=60s")
    # Not wget: in a static busybox it needs libraries to resolve even an address. Again and again, because a Service
    # refuses until kube-proxy has heard of its pod.
    request_line = r"printf 'GET / HTTP/1.0\r\n\r\n'"
    fetch = f"until {request_line} | /busybox nc -w 20 10.96.0.80 80; do /busybox sleep 0.2; done"
    apply(cluster, pod(cluster, "client", "worker-2", "sh", "-c", fetch))
    kubectl(cluster, "wait", "pod/client", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    assert kubectl(cluster, "logs", "client").endswith("hello from worker-1\n")

    # The metadata service is kept from pods: their packets are counted where they are dropped.
    apply(cluster, pod(cluster, "curious", "worker-2", "nc", "-w", "1", "169.254.169.254", "80"))
    kubectl(cluster, "wait", "pod/curious", "--for=jsonpath={.status.phase}=Failed", "--timeout=60s")
    rules = inside(f"{request.name}.2", "iptables", "-t", "mangle", "-L", "FORWARD", "-v", "-x", "-n")
    (dropped,) = [line.split() for line in rules.splitlines() if "169.254.169.254" in line]
    assert dropped[2] == "DROP"
    assert int(dropped[0]) > 0


def test_two_clusters_side_by_side(make_request: MakeRequest) -> None:
    requests = [make_request("one", prepared="cluster"), make_request("two", prepared="images")]
    with ThreadPoolExecutor() as pool:
        one, two = pool.map(lambda request: request.cloud.provision(request), requests)
    assert one.endpoint != two.endpoint
    apply(one, pod(one, "only-in-one", "control-plane", "true"))
    kubectl(one, "wait", "pod/only-in-one", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    assert "only-in-one" not in kubectl(two, "get", "pods", "--output=name")

    # One cluster's credentials mean nothing to the other.
    config = json.loads(Path(one.kubeconfig).read_text())
    config["clusters"][0]["cluster"]["server"] = two.endpoint
    Path(one.kubeconfig).write_text(json.dumps(config))
    with pytest.raises(AssertionError, match="certificate"):
        kubectl(one, "get", "nodes")


def test_a_node_that_fails_ends_the_wait_and_says_why(make_request: MakeRequest) -> None:
    nowhere = {"binary_url": "file:///nowhere", "images_url": "file:///nowhere", "pause_image": "none/pause:1"}
    request = make_request(bundle=nowhere, disk="")
    with pytest.raises(StageError, match=r"FAILED while") as error:
        request.cloud.provision(request)
    assert "PRIVATE KEY" not in error.value.message
    request.cloud.console(request, request.directory / "evidence")
    (console,) = (request.directory / "evidence").iterdir()
    assert "FAILED while" in console.read_text()


PROVISION = """
import json, sys, time
from pathlib import Path
from clouds.local import LocalCloud
from pytest_crosscloud.model import ProvisionRequest, Ref
from pytest_crosscloud.stage import StageContext
name, run, directory = sys.argv[1:]
stage = StageContext("provision local", run, Path(directory) / "out", on_progress=lambda text: print(text, flush=True))
request = ProvisionRequest(
    cloud=LocalCloud(name="local"), name=name, kubernetes=Ref("stable", "v1.36.3"), arch="amd64", workers=0,
    variables={}, directory=Path(directory), tags={}, registries=(), stage=stage)
request.cloud.provision(request)
"""


@pytest.mark.parametrize("moment", ["terraform_data.machine", "waiting for the API server"])
def test_another_process_destroys_what_a_killed_one_has_begun(make_request: MakeRequest, run: str, moment: str) -> None:
    request = make_request()
    argv = [sys.executable, "-c", PROVISION, request.name, run, str(request.directory)]
    child = subprocess.Popen(
        argv, cwd=paths.data(), stdout=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ}
    )
    assert child.stdout
    assert any(moment in line for line in child.stdout)
    child.kill()
    child.wait()
    child.stdout.close()
    _kill_terraform(request.directory)
    request.cloud.destroy(request)
    assert machine.leftovers(run) == []


def _kill_terraform(directory: Path) -> None:
    """What the reaper does first: end what the killed process left running."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve().is_relative_to(directory) and (
                process / "comm"
            ).read_text() == "terraform\n":
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:
            continue
