from __future__ import annotations

import json
import shutil
import stat
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud.errors import DeadlineExceeded, StageError
from pytest_crosscloud.model import ErrorClass, ProvisionRequest, Ref
from pytest_crosscloud.provision import cluster
from pytest_crosscloud.provision.remote import RemoteCloud
from pytest_crosscloud.provision.terraform import VARIABLES_FILE, Diagnostic, Terraform, TerraformCloud, progress
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.toolchain import tools
from pytest_crosscloud.toolchain.pins import host_arch

#: A root module with the common variables, whose "cloud" is a file beside the state.
MODULE = """
variable "name" {}
variable "kubernetes_version" {}
variable "workers" {}
variable "arch" {}
variable "tags" {}
variable "registries" {}
variable "bootstrap" { sensitive = true }
variable "bundle" { default = null }
variable "mark" { default = "mark" }
variable "broken" { default = false }

resource "terraform_data" "owned" {
  input = var.mark
  provisioner "local-exec" {
    when    = destroy
    command = "rm -f ${self.input}; echo once >> destroyed"
  }
}
resource "terraform_data" "made" {
  depends_on = [terraform_data.owned]
  provisioner "local-exec" {
    command = "echo making the mark; touch ${var.mark}; ! ${var.broken}"
  }
}
output "endpoint" { value = "https://192.0.2.1:6443" }
output "nodes" { value = [{ name = "control-plane", address = "192.0.2.1", role = "control-plane" }] }
output "secret" {
  value     = "hidden text"
  sensitive = true
}
"""


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def stage(tmp_path: Path, said: list[str]) -> StageContext:
    return StageContext("provision fake", "0123abcd", tmp_path / "out", on_progress=said.append)


@pytest.fixture
def cloud(tmp_path: Path) -> TerraformCloud:
    module = tmp_path / "fake"
    module.mkdir()
    (module / "main.tf").write_text(MODULE)
    return TerraformCloud(name="fake", module=module)


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "wait_ready", lambda *arguments: [])


def request_for(cloud: TerraformCloud, stage: StageContext, tmp_path: Path, **variables: Any) -> ProvisionRequest:
    directory = tmp_path / "cluster"
    directory.mkdir(exist_ok=True)
    return ProvisionRequest(
        cloud=cloud,
        name="xc-0123abcd-fake",
        kubernetes=Ref("stable", "v1.36.3"),
        arch="amd64",
        workers=0,
        variables=variables,
        directory=directory,
        tags={"crosscloud-run": "0123abcd"},
        registries=(),
        stage=stage,
    )


@pytest.mark.usefixtures("ready")
def test_a_module_is_a_cloud(cloud: TerraformCloud, stage: StageContext, tmp_path: Path, said: list[str]) -> None:
    request = request_for(cloud, stage, tmp_path)
    made = cloud.provision(request)
    root = request.directory / "terraform" / "fake"
    assert (root / "mark").exists()
    assert (root.parent / "modules" / "kubeadm" / "main.tf").exists(), "shared modules keep their relative path"
    assert stat.S_IMODE((root / VARIABLES_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(made.kubeconfig).stat().st_mode) == 0o600
    assert "https://192.0.2.1:6443" in Path(made.kubeconfig).read_text()
    assert [node.name for node in made.nodes] == ["control-plane"]
    assert any("making the mark" in text for text in said)
    assert "PRIVATE KEY" not in stage.log.read_text()

    cloud.destroy(request)
    assert not (root / "mark").exists()
    assert not Path(made.kubeconfig).exists()
    assert not (root / VARIABLES_FILE).exists(), "the CA's key lives no longer than the cluster"
    cloud.destroy(request)
    assert (root / "destroyed").read_text() == "once\n"


@pytest.mark.usefixtures("ready")
def test_destroys_what_a_failed_apply_left(cloud: TerraformCloud, stage: StageContext, tmp_path: Path) -> None:
    request = request_for(cloud, stage, tmp_path, broken=True)
    with pytest.raises(StageError, match=r"main\.tf:\d+: local-exec provisioner error") as error:
        cloud.provision(request)
    assert error.value.error_class is ErrorClass.INFRASTRUCTURE
    assert "making the mark" in error.value.message
    mark = request.directory / "terraform" / "fake" / "mark"
    assert mark.exists()
    cloud.destroy(request)
    assert not mark.exists()


def test_destroys_nothing_where_nothing_was_made(cloud: TerraformCloud, stage: StageContext, tmp_path: Path) -> None:
    cloud.destroy(request_for(cloud, stage, tmp_path))
    assert not stage.log.exists()


def test_destroys_after_a_kill_before_anything_was_made(
    cloud: TerraformCloud, stage: StageContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(terraform: Terraform) -> None:
        (terraform.directory / ".terraform").mkdir()
        raise KeyboardInterrupt

    assert cloud.module
    (cloud.module / "child.tf").write_text('module "child" { source = "./child" }\n')
    request = request_for(cloud, stage, tmp_path)
    monkeypatch.setattr(Terraform, "init", killed)
    with pytest.raises(KeyboardInterrupt):
        cloud.provision(request)
    cloud.destroy(request)
    assert not (request.directory / "terraform" / "fake" / VARIABLES_FILE).exists()


@pytest.mark.usefixtures("ready")
def test_destroys_where_an_init_was_killed_half_way(cloud: TerraformCloud, stage: StageContext, tmp_path: Path) -> None:
    assert cloud.module
    (cloud.module / "child").mkdir()
    (cloud.module / "child.tf").write_text('module "child" { source = "./child" }\n')
    request = request_for(cloud, stage, tmp_path)
    cloud.provision(request)
    root = request.directory / "terraform" / "fake"
    shutil.rmtree(root / ".terraform")
    (root / ".terraform").mkdir()
    cloud.destroy(request)
    assert not (root / "mark").exists()


def test_another_attempt_completes_what_the_first_one_made(
    cloud: TerraformCloud, stage: StageContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bootstrap() -> dict[str, Any]:
        variables = json.loads((request.directory / "terraform" / "fake" / VARIABLES_FILE).read_text())
        known: dict[str, Any] = variables["bootstrap"]
        return known

    def late(*arguments: object) -> None:
        raise StageError("no node came up")

    request = request_for(cloud, stage, tmp_path, broken=True)
    with pytest.raises(StageError):
        cloud.provision(request)
    first = bootstrap()
    assert cloud.converges(request), "its state has half of it"

    monkeypatch.setattr(cluster, "wait_ready", late)
    mended = replace(request, variables={"broken": False})
    with pytest.raises(StageError, match="no node came up"):
        cloud.provision(mended)
    assert bootstrap() == first, "nodes that are there keep the user-data that they booted from"
    assert stage.log.read_text().count("terraform_data.owned: Creation complete") == 1, "what was made stays"
    assert not cloud.converges(request), "another apply would not change nodes that do not become a cluster"

    cloud.destroy(mended)
    monkeypatch.setattr(cluster, "wait_ready", lambda *arguments: [])
    assert cloud.provision(mended).name == request.name
    assert bootstrap() != first


def test_an_unknown_variable_is_the_users_fault(cloud: TerraformCloud, stage: StageContext, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no variable 'marc'; did you mean 'mark'") as error:
        cloud.provision(request_for(cloud, stage, tmp_path, marc="x"))
    assert error.value.error_class is ErrorClass.CONFIGURATION


def test_what_terraform_says_names_the_cloud(cloud: TerraformCloud, stage: StageContext, tmp_path: Path) -> None:
    broken = request_for(replace(cloud, display_name="Their Cloud"), stage, tmp_path, broken=True)
    with pytest.raises(StageError, match=r"^Their Cloud: terraform apply failed"):
        broken.cloud.provision(broken)
    root = broken.directory / "terraform" / cloud.source.name
    (root / "main.tf").write_text((root / "main.tf").read_text().replace("rm -f", "false; exit 3; rm -f"))
    with pytest.raises(StageError, match=r"^Their Cloud: terraform destroy failed"):
        broken.cloud.destroy(broken)
    assert (root / VARIABLES_FILE).exists(), "it can be destroyed again"


@pytest.mark.parametrize(
    ("variables", "remedy"),
    [
        ({"region": "eu-cental-1"}, "region: 'eu-cental-1' is not among those that Lab is known to have; did you mean"),
        ({"size": "smal"}, "size: 'smal' is not among those that Lab is known to have; did you mean 'small'"),
        ({"region": "eu-central-1"}, "a region, size or image"),  # known, and not what was meant
    ],
)
def test_a_region_or_size_that_the_cloud_has_not(
    cloud: TerraformCloud, stage: StageContext, tmp_path: Path, variables: dict[str, str], remedy: str
) -> None:
    (value,) = variables.values()
    assert cloud.module
    (cloud.module / "main.tf").write_text(f"""{MODULE}
variable "region" {{ default = "" }}
variable "size" {{ default = "" }}
resource "terraform_data" "refused" {{
  lifecycle {{
    precondition {{
      condition     = var.mark == ""
      error_message = "the API says: unknown region or size '{value}'."
    }}
  }}
}}
""")
    lab = RemoteCloud(
        name="lab", display_name="Lab", module=cloud.module, regions=("eu-central-1", "us-1"), sizes=("small", "large")
    )
    with pytest.raises(StageError, match=r"^Lab: terraform apply failed") as error:
        lab.provision(request_for(lab, stage, tmp_path, **variables, bundle_url=""))
    assert error.value.remedy.startswith(remedy) or remedy in error.value.remedy
    assert error.value.error_class is ErrorClass.CONFIGURATION


def test_a_remote_cloud_takes_the_node_bundle_from_an_address_alone(cloud: TerraformCloud) -> None:
    lab = RemoteCloud(name="lab", module=cloud.module)
    assert not lab.takes_node_bundle
    assert replace(lab, variables={"bundle_url": "https://bucket.test/v1.36.3"}).takes_node_bundle


def test_a_module_that_does_not_parse_names_file_and_line(tmp_path: Path, stage: StageContext) -> None:
    (tmp_path / "main.tf").write_text('resource "terraform_data" "x" {\n')
    with pytest.raises(StageError, match=rf"{tmp_path}/main\.tf:1: ") as error:
        Terraform(tmp_path, stage).init()
    assert error.value.error_class is ErrorClass.CONFIGURATION


def test_a_provider_of_the_cache_needs_no_registry(
    tmp_path: Path, stage: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline, init works with what an earlier run has downloaded; without, it says what is missing, and what helps."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = "registry.invalid/acme/lab"
    module = tmp_path / "module"
    module.mkdir()
    (module / "main.tf").write_text(
        f'terraform {{\n  required_providers {{\n    lab = {{ source = "{source}", version = "~> 2.1" }}\n  }}\n}}\n'
    )
    with pytest.raises(StageError, match=r"registry\.invalid") as error:
        Terraform(module, stage).init()
    assert error.value.error_class is ErrorClass.INFRASTRUCTURE
    assert "mirror" in error.value.remedy
    provider = tmp_path / f"cache/crosscloud/terraform-plugins/{source}/2.1.7/linux_{host_arch()}"
    provider.mkdir(parents=True)
    (provider / "terraform-provider-lab_v2.1.7").write_text("#!/bin/sh\n")
    (provider / "terraform-provider-lab_v2.1.7").chmod(0o755)
    Terraform(module, stage).init()
    assert (module / f".terraform/providers/{source}/2.1.7").is_dir()


def test_outputs_have_the_sensitive_ones_and_the_log_has_not(
    cloud: TerraformCloud, stage: StageContext, tmp_path: Path
) -> None:
    assert cloud.module
    names = ["name", "kubernetes_version", "workers", "arch", "tags", "registries", "bootstrap"]
    (cloud.module / VARIABLES_FILE).write_text(json.dumps(dict.fromkeys(names, "x")))
    terraform = Terraform(cloud.module, stage)
    terraform.init()
    terraform.apply()
    assert terraform.output()["secret"] == "hidden text"
    assert "hidden text" not in stage.log.read_text()


def test_reading_outputs_has_the_stages_deadline(
    tmp_path: Path, stage: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "terraform"
    slow.write_text("#!/bin/sh\nsleep 600\n")
    slow.chmod(0o755)
    monkeypatch.setattr(tools, "tool", lambda *arguments: slow)
    stage.deadline = time.monotonic() + 0.5
    with pytest.raises(DeadlineExceeded):
        Terraform(tmp_path, stage).output()


def test_destroy_sends_no_force(tmp_path: Path, stage: StageContext) -> None:
    Terraform(tmp_path, stage).destroy()
    line = next(line for line in stage.log.read_text().splitlines() if line.startswith("$"))
    assert line.split()[2:] == ["destroy", "-input=false", "-auto-approve", "-json"]


def test_a_diagnostic_says_where(tmp_path: Path) -> None:
    event = {
        "severity": "error",
        "summary": "Bad",
        "detail": "Very.",
        "range": {"filename": "../modules/m/main.tf", "start": {"line": 7}},
    }
    assert str(Diagnostic.from_event(event, tmp_path / "local")) == f"{tmp_path}/modules/m/main.tf:7: Bad: Very."
    assert str(Diagnostic.from_event({"severity": "error", "summary": "Bad"}, tmp_path)) == "Bad"


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"type": "apply_start", "hook": {"action": "create", "resource": {"addr": "a.b"}}}, "create a.b"),
        (
            {
                "type": "apply_progress",
                "hook": {"action": "create", "resource": {"addr": "a.b"}, "elapsed_seconds": 10},
            },
            "create a.b, 10 s",
        ),
        ({"type": "provision_progress", "hook": {"resource": {"addr": "a.b"}, "output": "hello\n"}}, "a.b: hello"),
        ({"type": "version", "terraform": "1.11.4"}, ""),
        ({}, ""),
    ],
)
def test_progress(event: dict[str, Any], text: str) -> None:
    assert progress(event) == text


def test_of_a_state_that_could_not_be_reached_nothing_is_to_destroy(
    cloud: TerraformCloud, stage: StageContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    request = replace(request_for(cloud, stage, tmp_path), state="s3://no-such-bucket/states")
    with pytest.raises(StageError, match="terraform init failed"):
        cloud.provision(request)
    cloud.destroy(request)
