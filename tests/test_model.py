from __future__ import annotations

from pathlib import Path

from pytest_crosscloud.model import Cloud, Cluster, Node, ProvisionRequest, Ref
from pytest_crosscloud.stage import StageContext


def test_the_cluster_of_a_request_is_what_was_asked_for(tmp_path: Path) -> None:
    request = ProvisionRequest(
        cloud=Cloud(name="fake"),
        name="xc-1-fake",
        kubernetes=Ref("stable", "v1.36.3"),
        arch="arm64",
        workers=0,
        variables={},
        directory=tmp_path,
        tags={},
        registries=(),
        stage=StageContext("provision fake", "r1", tmp_path),
    )
    made = request.cluster(tmp_path / "kubeconfig", "https://192.0.2.1:6443", [Node("n1", "192.0.2.1", "worker")])
    assert made == Cluster(
        name="xc-1-fake",
        cloud="fake",
        kubernetes=Ref("stable", "v1.36.3"),
        arch="arm64",
        kubeconfig=f"{tmp_path}/kubeconfig",
        endpoint="https://192.0.2.1:6443",
        nodes=(Node("n1", "192.0.2.1", "worker"),),
    )
