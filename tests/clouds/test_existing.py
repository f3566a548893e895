from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from clouds.existing import ExistingCloud, crosscloud_clouds
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import ErrorClass, ProvisionRequest, Ref
from pytest_crosscloud.provision import cluster
from pytest_crosscloud.provision.bootstrap import Bootstrap
from pytest_crosscloud.stage import StageContext


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    path = tmp_path / "theirs"
    path.write_text(Bootstrap.create().kubeconfig("theirs", "https://192.0.2.1:6443"))
    return path


def request_for(tmp_path: Path, **variables: Any) -> ProvisionRequest:
    directory = tmp_path / "cluster"
    directory.mkdir()
    return ProvisionRequest(
        cloud=ExistingCloud(name="existing"),
        name="xc-0123abcd-existing",
        kubernetes=Ref("stable", "v1.36.3"),
        arch="amd64",
        workers=0,
        variables=variables,
        directory=directory,
        tags={},
        registries=(),
        stage=StageContext("provision existing", "0123abcd", tmp_path / "out"),
    )


def test_takes_a_copy_and_gives_it_up(tmp_path: Path, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = {"metadata": {"name": "n1"}, "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]}}
    monkeypatch.setattr(cluster, "wait_ready", lambda *arguments: [node])
    request = request_for(tmp_path, kubeconfig=str(kubeconfig))
    made = request.cloud.provision(request)
    copy = Path(made.kubeconfig)
    assert copy != kubeconfig
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert made.endpoint == "https://192.0.2.1:6443"
    assert [found.address for found in made.nodes] == ["192.0.2.1"]

    request.cloud.destroy(request)
    request.cloud.destroy(request)
    assert not copy.exists()
    assert kubeconfig.exists()


def test_the_environments_kubeconfig_is_used(tmp_path: Path, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "wait_ready", lambda *arguments: [])
    monkeypatch.setenv("KUBECONFIG", f"{kubeconfig}:/elsewhere")
    request = request_for(tmp_path)
    assert request.cloud.provision(request).endpoint == "https://192.0.2.1:6443"


@pytest.mark.parametrize(
    ("value", "message"), [("", "no KUBECONFIG is named"), ("/gone/config", "no KUBECONFIG /gone/config")]
)
def test_without_a_kubeconfig_it_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, message: str
) -> None:
    monkeypatch.setenv("KUBECONFIG", value)
    request = request_for(tmp_path)
    assert message in request.cloud.preflight()[0]
    with pytest.raises(StageError, match=message) as error:
        request.cloud.provision(request)
    assert error.value.error_class is ErrorClass.CONFIGURATION
    assert "set KUBECONFIG" in error.value.remedy


def test_is_declared_as_somebody_elses() -> None:
    (cloud,) = crosscloud_clouds()
    assert not cloud.provides_cluster
