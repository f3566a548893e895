from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clouds import local
from clouds.local import LocalCloud
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.machine import firewall, records
from pytest_crosscloud.model import ProvisionRequest, Ref
from pytest_crosscloud.provision.terraform import Terraform
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.toolchain import node


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """This computer without what costs time or needs root; the list tells that its forwarding was put back."""
    restored: list[str] = []
    bundle = SimpleNamespace(binary=tmp_path / "node", images=tmp_path / "images.tar", image_names=("k8s.io/pause:3",))
    monkeypatch.setattr(records, "DIRECTORY", tmp_path / "run")
    monkeypatch.setattr(firewall, "close", lambda run, name: None)
    monkeypatch.setattr(firewall, "restore_forwarding", lambda: restored.append("forwarding"))
    monkeypatch.setattr(node, "node_bundle", lambda *arguments: bundle)
    monkeypatch.setattr(local, "prepared_disk", lambda *arguments: None)
    return restored


def request_for(tmp_path: Path, **variables: Any) -> ProvisionRequest:
    directory = tmp_path / "cluster"
    directory.mkdir()
    return ProvisionRequest(
        cloud=LocalCloud(name="local"),
        name="xc-r1-local",
        kubernetes=Ref("stable", "v1.36.3"),
        arch="amd64",
        workers=0,
        variables=variables,
        directory=directory,
        tags={},
        registries=(),
        stage=StageContext("provision local", "r1", tmp_path / "out"),
    )


def fail_and_destroy(request: ProvisionRequest, error: type[BaseException]) -> None:
    with pytest.raises(error):
        request.cloud.provision(request)
    assert [network.name for network in records.networks("r1")] == [request.name]
    request.cloud.destroy(request)
    request.cloud.destroy(request)
    assert records.networks("r1") == []


def test_a_failure_before_terraform_leaves_no_range_behind(tmp_path: Path, host: list[str]) -> None:
    fail_and_destroy(request_for(tmp_path, no_such_variable="x"), StageError)
    assert host, "this computer's forwarding is put back with its last network"


def test_a_kill_before_the_network_is_up_leaves_no_range_behind(
    tmp_path: Path, host: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(terraform: Terraform) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Terraform, "init", killed)
    fail_and_destroy(request_for(tmp_path), KeyboardInterrupt)
    assert host
