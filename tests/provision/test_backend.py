from __future__ import annotations

import dataclasses
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from clouds.local import LocalCloud
from pytest_crosscloud.config import load
from pytest_crosscloud.errors import ConfigurationError, StageError
from pytest_crosscloud.model import ClusterTarget, ErrorClass, ProvisionRequest, Ref
from pytest_crosscloud.plugins import Plugins
from pytest_crosscloud.plugins import load as load_plugins
from pytest_crosscloud.provision import backend, cluster
from pytest_crosscloud.provision.terraform import TerraformCloud
from pytest_crosscloud.run import requests
from pytest_crosscloud.stage import StageContext
from tests import bucket

STATE = f"s3://{bucket.BUCKET}/ci"
KEY = f"{bucket.BUCKET}/ci/xc-0123abcd-fake.tfstate"

#: A root module with the common variables, whose "cloud" is a file at a place that all hosts share.
MODULE = """
variable "name" {}
variable "kubernetes_version" {}
variable "workers" {}
variable "arch" {}
variable "tags" {}
variable "registries" {}
variable "bootstrap" { sensitive = true }
variable "mark" {}

resource "terraform_data" "made" {
  input = var.mark
  provisioner "local-exec" {
    command = "touch ${self.input}"
  }
  provisioner "local-exec" {
    when    = destroy
    command = "rm ${self.input}"
  }
}
output "endpoint" { value = "https://192.0.2.1:6443" }
output "nodes" { value = [{ name = "control-plane", address = "192.0.2.1", role = "control-plane" }] }
"""


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProvisionRequest:
    monkeypatch.setattr(cluster, "wait_ready", lambda *arguments: [])
    module = tmp_path / "fake"
    module.mkdir()
    (module / "main.tf").write_text(MODULE)
    directory = tmp_path / "host-1"
    directory.mkdir()
    return ProvisionRequest(
        cloud=TerraformCloud(name="fake", module=module),
        name="xc-0123abcd-fake",
        kubernetes=Ref("stable", "v1.36.3"),
        arch="amd64",
        workers=0,
        variables={"mark": str(tmp_path / "mark")},
        directory=directory,
        tags={"crosscloud-run": "0123abcd"},
        registries=(),
        stage=StageContext("provision fake", "0123abcd", tmp_path / "out"),
        state=STATE,
    )


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with bucket.server(tmp_path) as url:
        for name, value in bucket.environment(url).items():
            monkeypatch.setenv(name, value)
        yield url


def get(url: str) -> Any:
    # moto wants to know who asks, and believes it.
    headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/s3/aws4_request"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
        return json.loads(answer.read())


def planted(path: Path) -> list[Path]:
    """Files below a directory that have the key's secret in them."""
    return [file for file in path.rglob("*") if file.is_file() and bucket.SECRET.encode() in file.read_bytes()]


@pytest.mark.slow
def test_another_host_destroys_what_this_one_made(server: str, request_: ProvisionRequest, tmp_path: Path) -> None:
    request_.cloud.provision(request_)
    assert (tmp_path / "mark").exists()
    assert list(request_.directory.rglob("terraform.tfstate")) == [
        request_.directory / "terraform" / "fake" / ".terraform" / "terraform.tfstate"  # which backend it is
    ]
    assert [made["type"] for made in get(f"{server}/{KEY}")["resources"]] == ["terraform_data"]

    # All that the other host has is the store's record of the cluster.
    spec = requests.to_spec(request_, ClusterTarget("fake", "stable", "amd64", "fake"))
    shutil.rmtree(request_.directory)
    plugins = cast(Plugins, SimpleNamespace(clouds={"fake": request_.cloud}))
    there = requests.of_spec(json.loads(json.dumps(spec)), plugins, request_.stage)
    there.cloud.destroy(there)
    assert not (tmp_path / "mark").exists()
    assert get(f"{server}/{KEY}")["resources"] == []
    there.cloud.destroy(there)
    assert not there.directory.exists(), "nothing of it stays on the other host"
    assert planted(tmp_path) == []


@pytest.mark.slow
def test_the_lock_of_a_killed_terraform_is_in_nobodys_way(
    server: str, request_: ProvisionRequest, tmp_path: Path
) -> None:
    request_.cloud.provision(request_)
    lock = {
        "ID": "5b0d3b4f-5a44-4d1b-9f5d-3a1c2f0f9b7e",
        "Operation": "OperationTypeApply",
        "Info": "",
        "Who": "root@killed",
        "Version": "1.11.4",
        "Created": "2026-01-01T00:00:00.000000Z",
        "Path": KEY,
    }
    headers = {"Content-Type": "application/json"}
    put = urllib.request.Request(f"{server}/{KEY}.tflock", json.dumps(lock).encode(), headers, method="PUT")
    urllib.request.urlopen(put, timeout=30).close()
    request_.cloud.destroy(request_)
    assert not (tmp_path / "mark").exists()
    assert lock["ID"] in request_.stage.log.read_text()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(f"{server}/{KEY}.tflock")


@pytest.mark.slow
def test_a_bucket_that_is_not_there_is_named(server: str, request_: ProvisionRequest, tmp_path: Path) -> None:
    request = dataclasses.replace(request_, state="s3://no-such-bucket")
    with pytest.raises(StageError, match="no-such-bucket") as error:
        request.cloud.provision(request)
    assert error.value.error_class == ErrorClass.CONFIGURATION
    assert not (tmp_path / "mark").exists()
    assert bucket.SECRET not in error.value.message


def test_the_buckets_address_is_the_environments_affair(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    assert backend.settings("s3://states", "xc-1") == {
        "bucket": "states",
        "key": "xc-1.tfstate",
        "use_lockfile": True,
        "encrypt": True,
    }, "a profile may say the region"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://minio.example")
    assert backend.settings("s3://states", "xc-1")["region"] == "us-east-1"
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    found = backend.settings("s3://states/ci/", "xc-1")
    assert found["key"] == "ci/xc-1.tfstate"
    assert found["use_path_style"] is found["skip_s3_checksum"] is True
    assert "region" not in found
    assert "minio" not in json.dumps(found)


def test_the_key_state_is_an_address_of_a_bucket(tmp_path: Path) -> None:
    plugins = load_plugins(tmp_path)
    (tmp_path / "cross-cloud.yml").write_text("state: s3://ci-state/prefix\n")
    assert load(None, plugins, tmp_path).state == "s3://ci-state/prefix"
    (tmp_path / "cross-cloud.yml").write_text("state: https://key:secret@ci-state\n")
    with pytest.raises(ConfigurationError, match=r"cross-cloud\.yml:1:\d+: state"):
        load(None, plugins, tmp_path)


def test_machines_of_this_computer_have_their_state_here(request_: ProvisionRequest) -> None:
    assert LocalCloud(name="local").remote_state(request_) == ""
