from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from clouds.kind import KindCloud
from pytest_crosscloud.errors import CrosscloudError, StageError
from pytest_crosscloud.model import ProvisionRequest, Ref
from pytest_crosscloud.provision import cluster
from pytest_crosscloud.provision.bootstrap import Bootstrap
from pytest_crosscloud.stage import StageContext

#: A kind that writes down how it was called, and for ``create`` a KUBECONFIG.
FAKE = """#!/bin/sh
echo "$KIND_EXPERIMENTAL_PROVIDER $*" >> {directory}/calls
case "$1" in
  create) cat > {directory}/configuration; umask 022; cp {directory}/made "${{8}}" ;;
  get) echo xc-0123abcd-kind; echo mine ;;
  delete) test ! -e {directory}/broken ;;
esac
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with a fake kind and podman, and no docker."""
    directory = tmp_path / "bin"
    directory.mkdir()
    (directory / "made").write_text(Bootstrap.create().kubeconfig("kind", "https://127.0.0.1:4321"))
    for name, text in (("kind", FAKE.format(directory=directory)), ("podman", "#!/bin/sh\n")):
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    for name in ("sh", "cat", "cp"):
        (directory / name).symlink_to(Path("/bin", name))
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setattr(cluster, "wait_ready", lambda *arguments: [])
    return directory


def request_for(tmp_path: Path, workers: int = 0, **variables: Any) -> ProvisionRequest:
    directory = tmp_path / "cluster"
    directory.mkdir()
    return ProvisionRequest(
        cloud=KindCloud(name="kind"),
        name="xc-1-kind",
        kubernetes=Ref("stable", "v1.36.3"),
        arch="amd64",
        workers=workers,
        variables=variables,
        directory=directory,
        tags={},
        registries=("192.0.2.1:5000",),
        stage=StageContext("provision kind", "0123abcd", tmp_path / "out"),
    )


def test_preflight_names_what_is_missing(monkeypatch: pytest.MonkeyPatch, tools: Path) -> None:
    cloud = KindCloud(name="kind")
    assert cloud.preflight() == []
    (tools / "podman").unlink()
    assert len(cloud.preflight()) == 1
    monkeypatch.setenv("PATH", "")
    assert [problem.split()[0] for problem in cloud.preflight()] == ["kind", "neither"]


def test_its_nodes_need_room_on_this_computer(monkeypatch: pytest.MonkeyPatch, tools: Path) -> None:
    cloud = KindCloud(name="kind", variables={"workers": 2})
    assert cloud.capacity(1000)[0].startswith(f"memory: {1000 * (768 + 2 * 192)} MiB needed")
    monkeypatch.setenv("DOCKER_HOST", "ssh://elsewhere")
    assert cloud.capacity(1000) == []


def test_creates_and_deletes(tmp_path: Path, tools: Path) -> None:
    request = request_for(tmp_path, workers=2, pod_cidr="10.1.0.0/16")
    made = request.cloud.provision(request)
    kubeconfig = Path(made.kubeconfig)
    assert stat.S_IMODE(kubeconfig.stat().st_mode) == 0o600
    assert made.endpoint == "https://127.0.0.1:4321"
    configuration = json.loads((tools / "configuration").read_text())
    assert [node["role"] for node in configuration["nodes"]] == ["control-plane", "worker", "worker"]
    assert configuration["networking"] == {"podSubnet": "10.1.0.0/16"}
    mounted = Path(configuration["nodes"][1]["extraMounts"][0]["hostPath"])
    assert 'server = "http://192.0.2.1:5000"' in (mounted / "192.0.2.1:5000" / "hosts.toml").read_text()

    request.cloud.destroy(request)
    request.cloud.destroy(request)
    assert not kubeconfig.exists()
    create, *deletes = (tools / "calls").read_text().splitlines()
    assert create.startswith("podman create cluster --name xc-1-kind --image kindest/node:v1.36.3 --kubeconfig")
    assert {line.partition(" --kubeconfig")[0] for line in deletes} == {"podman delete cluster --name xc-1-kind"}


def test_the_node_image_is_a_variable(tmp_path: Path, tools: Path) -> None:
    request = request_for(tmp_path, node_image="mirror.example/node:1")
    request.cloud.provision(request)
    assert "--image mirror.example/node:1 " in (tools / "calls").read_text()


def test_a_cluster_that_stays_is_an_error(tmp_path: Path, tools: Path) -> None:
    (tools / "broken").touch()
    request = request_for(tmp_path)
    with pytest.raises(StageError, match="kind exited with 1"):
        request.cloud.destroy(request)


def test_what_a_run_has_is_found_by_name_and_deleted(monkeypatch: pytest.MonkeyPatch, tools: Path) -> None:
    cloud = KindCloud(name="kind")
    assert cloud.runs() == ["0123abcd"]
    assert cloud.owned("0123abcd") == ["xc-0123abcd-kind"] and cloud.owned("feed") == []
    cloud.sweep("0123abcd")
    assert (tools / "calls").read_text().splitlines()[-1] == "podman delete cluster --name xc-0123abcd-kind"
    (tools / "broken").touch()
    with pytest.raises(CrosscloudError, match="exited with 1"):
        cloud.sweep("0123abcd")
    (tools / "kind").unlink()
    assert cloud.runs() == cloud.owned("0123abcd") == []
