from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clouds import local
from clouds.local import LocalCloud, crosscloud_clouds, prepared_disk
from pytest_crosscloud import paths
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.machine import firewall, records
from pytest_crosscloud.model import ErrorClass, ProvisionRequest, Ref
from pytest_crosscloud.provision.terraform import Terraform
from pytest_crosscloud.stage import Completed, StageContext
from pytest_crosscloud.toolchain import node
from pytest_crosscloud.toolchain.node import NodeBundle


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


# -- the prepared disk --------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def bundle(tmp_path: Path) -> NodeBundle:
    return NodeBundle(tmp_path / "bundle", "v1.36.3", "amd64", "v1.36.3-amd64-123", "0" * 64, "built", ())


class FakeStage(StageContext):
    """Makes the disk that prepare.sh would, or not."""

    calls: list[list[str]]
    fails = False

    def command(self, argv: list[str], **options: object) -> Completed:  # type: ignore[override]
        self.calls.append(argv)
        script = next(index for index, word in enumerate(argv) if word.endswith("prepare.sh"))
        disk = Path(argv[script + 1])
        assert not disk.exists(), "what an earlier try has left is removed"
        disk.mkdir(parents=True)
        if self.fails:
            raise StageError("prepare.sh exited with 1")
        return Completed(tuple(argv), 0, "", "")


@pytest.fixture
def stage(tmp_path: Path) -> FakeStage:
    stage = FakeStage("provision local", "0123abcd", tmp_path / "out")
    stage.calls = []
    return stage


def test_a_disk_is_prepared_once_per_bundle_and_service_range(bundle: NodeBundle, stage: FakeStage) -> None:
    disks = {
        prepared_disk(prepared, bundle, cidr, stage)
        for prepared, cidr in [
            ("cluster", "10.96.0.0/16"),
            ("cluster", "10.96.0.0/16"),
            ("cluster", "10.97.0.0/16"),
            ("images", "10.96.0.0/16"),
            ("images", "10.97.0.0/16"),
        ]
    }
    assert len(disks) == len(stage.calls) == 3
    assert all(disk and disk.is_relative_to(paths.cache("disks")) for disk in disks)


def test_a_half_prepared_disk_is_never_used(bundle: NodeBundle, stage: FakeStage) -> None:
    stage.fails = True
    with pytest.raises(StageError, match=r"prepare\.sh"):
        prepared_disk("images", bundle, "10.96.0.0/16", stage)
    stage.fails = False
    disk = prepared_disk("images", bundle, "10.96.0.0/16", stage)
    assert disk and disk.is_dir()
    assert len(stage.calls) == 2


def test_nothing_needs_no_disk(bundle: NodeBundle, stage: FakeStage) -> None:
    assert prepared_disk("nothing", bundle, "10.96.0.0/16", stage) is None
    assert stage.calls == []


def test_an_unknown_preparation_is_the_users_fault(bundle: NodeBundle, stage: FakeStage) -> None:
    with pytest.raises(StageError, match="did you mean 'cluster'") as error:
        prepared_disk("clusters", bundle, "10.96.0.0/16", stage)
    assert error.value.error_class is ErrorClass.CONFIGURATION


def test_it_comes_first() -> None:
    (cloud,) = crosscloud_clouds()
    assert (cloud.name, cloud.title) == ("local", "Local")


def test_a_console_that_takes_too_long_ends_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_CONSOLE", 0.001)  # less than a Python takes to start
    assert local._console("no-such-machine") == ""
