"""crosscloud doctor: what a cloud lacks here, without making anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud import cli
from pytest_crosscloud.commands import doctor
from pytest_crosscloud.provision import providers
from pytest_crosscloud.toolchain.tools import Found

PLUGIN = """
import time
from pathlib import Path
from pytest_crosscloud import hookimpl
from pytest_crosscloud.model import Cloud, Credential
from pytest_crosscloud.provision.remote import Inventory, RemoteCloud
from pytest_crosscloud.provision.terraform import TerraformCloud

class Picky(Cloud):
    def preflight(self):
        return [*super().preflight(), "no kernel: get one"]

class Full(Cloud):
    def capacity(self, clusters):
        return ["vCPUs: 2 needed, 0 left"]

class Slow(Cloud):
    def preflight(self):
        time.sleep(30)
        return []

class Broken(Cloud):
    def preflight(self):
        raise KeyError("x")

KEYS = (
    Credential("XC_KEY", "the key of the lab; ask the lab"),
    Credential("XC_PLACE", "the lab's room", required=False, secret=False),
)
MODULE = Path(__file__).parents[1] / "module"

@hookimpl
def crosscloud_clouds():
    return [
        Cloud(name="plain"),
        Cloud(name="asleep", active=False),
        Picky(name="picky", credentials=KEYS),
        Full(name="full"),
        Slow(name="slow"),
        Broken(name="broken"),
        RemoteCloud(name="remote", module=MODULE, inventory=Inventory(["xc-no-such-program"], "apt install it")),
        TerraformCloud(name="here", module=MODULE),
    ]
"""

MODULE = """
terraform {
  required_providers {
    lab = {
      source  = "registry.invalid/acme/lab"
      version = "~> 2.1"
    }
  }
}
module "kubeadm" {
  source = "../modules/kubeadm"
}
"""


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "clouds").mkdir()
    (tmp_path / "clouds/lab.py").write_text(PLUGIN)
    (tmp_path / "module").mkdir()
    (tmp_path / "module/main.tf").write_text(MODULE)
    (tmp_path / "cross-cloud.yml").write_text("kubernetes: {stable: v1.2.3}")
    monkeypatch.setattr(doctor, "find", lambda name: Found(name, Path("/bin/true"), "1.9", "PATH"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(tmp_path / "terraformrc"))
    for name in ("XC_KEY", "XC_PLACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def diagnosed(capsys: pytest.CaptureFixture[str], clouds: str, code: int) -> list[list[str]]:
    assert cli.main(["doctor", f"--clouds={clouds}"]) == code
    return [line.split("\t") for line in capsys.readouterr().out.splitlines()]


def test_a_cloud_that_needs_nothing_is_ready(capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnosed(capsys, "plain", 0) == [
        ["plain", "quota", "optional", "not asked: a run meets one that is too small when it makes its clusters"],
        ["plain", "preflight", "ready", "nothing is in the way"],
    ]


def test_what_is_missing_and_how_to_get_it_each_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnosed(capsys, "picky", 1) == [
        ["picky", "XC_KEY", "missing", "not set; the key of the lab; ask the lab"],
        ["picky", "XC_PLACE", "optional", "not set; the lab's room"],
        ["picky", "preflight", "missing", "no kernel: get one"],
    ]


def test_values_are_not_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XC_KEY", "planted-value")
    assert cli.main(["doctor", "--clouds=picky", "--json"]) == 1
    said = capsys.readouterr()
    assert "planted-value" not in said.out + said.err
    [cloud] = json.loads(said.out)["clouds"]
    assert cloud["checks"][0] == {"what": "XC_KEY", "state": "ready", "detail": "set", "remedy": ""}
    assert not cloud["ready"]


def test_a_cloud_without_room_and_one_that_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnosed(capsys, "full,broken", 1) == [
        ["broken", "preflight", "missing", "its preflight raised KeyError: 'x'"],
        ["full", "room", "missing", "no room for a cluster: vCPUs: 2 needed, 0 left"],
    ]


def test_nobody_is_waited_for_for_ever(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DEADLINE", 0.3)
    late = ["slow", "answer", "missing", "did not answer within 0 s; check the network and the proxy"]
    assert diagnosed(capsys, "slow", 1) == [late], "a preflight that was waited for has nothing to say"


def test_names_that_nobody_knows(capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnosed(capsys, "plian", 4) == []
    assert cli.main(["doctor", "--clouds=plian,asleep"]) == 4
    said = capsys.readouterr().err
    assert "unknown cloud 'plian'; did you mean 'plain'?" in said
    assert "'asleep' is not active" in said


def test_without_names_all_active_ones(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DEADLINE", 1.0)
    monkeypatch.setattr(providers, "TIMEOUT", 0.5)
    assert cli.main(["doctor", "--json"]) == 1
    names = [cloud["name"] for cloud in json.loads(capsys.readouterr().out)["clouds"]]
    assert {"plain", "picky", "remote"} <= set(names)
    assert "asleep" not in names


def test_offline_without_the_provider_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    rows = diagnosed(capsys, "remote", 1)
    [provider] = [row for row in rows if row[2] == "missing"]
    assert provider[1] == "provider registry.invalid/acme/lab"
    assert provider[3].startswith("~> 2.1 is not on this computer, and registry.invalid does not answer: ")
    assert "mirror" in provider[3]
    assert ["remote", "inventory xc-no-such-program", "optional"] in [row[:3] for row in rows]
    assert ["remote", "node bundle", "ready"] in [row[:3] for row in rows], "nodes fetch it from its releases"


def test_a_provider_of_the_cache_or_a_mirror_needs_no_registry(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    version = root / "cache/crosscloud/terraform-plugins/registry.invalid/acme/lab/2.0.9/linux_amd64"
    version.mkdir(parents=True)
    assert [row[2] for row in diagnosed(capsys, "remote", 1) if row[1].startswith("provider")] == ["missing"]
    mirrored = root / "mirror/registry.invalid/acme/lab/2.3.0/linux_amd64"
    mirrored.mkdir(parents=True)
    (root / "terraformrc").write_text(f'provider_installation {{\n filesystem_mirror {{ path = "{root}/mirror" }}\n}}')
    [row] = [row for row in diagnosed(capsys, "remote", 0) if row[1].startswith("provider")]
    assert row[2:] == ["ready", f"~> 2.1: {mirrored}"]


def test_the_registry_is_asked(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    answers: dict[str, Any] = {
        "https://registry.invalid/.well-known/terraform.json": {"providers.v1": "/v1/providers/"},
        "https://registry.invalid/v1/providers/acme/lab/versions": {
            "versions": [{"version": found} for found in ("1.9.0", "2.2.0", "2.10.1", "3.0.0", "2.11.0-beta1")]
        },
    }
    monkeypatch.setattr(providers, "_fetch", lambda host, url, absent: answers[url])
    monkeypatch.setattr(providers, "_bases", {})
    [row] = [row for row in diagnosed(capsys, "remote", 0) if row[1].startswith("provider")]
    assert row[2:] == ["ready", "~> 2.1: registry.invalid has 2.10.1"]
    answers["https://registry.invalid/v1/providers/acme/lab/versions"]["versions"] = [{"version": "1.0.0"}]
    [row] = [row for row in diagnosed(capsys, "remote", 1) if row[1].startswith("provider")]
    assert row[3].startswith("registry.invalid has no version of acme/lab that is ~> 2.1")


def test_what_runs_get_by_themselves_stops_nobody(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "find", lambda name: None)
    rows = {row[1]: row[2:] for row in diagnosed(capsys, "here", 1)}
    assert rows["terraform"][0] == "optional"
    assert rows["node bundle"] == [
        "optional",
        "of v1.2.3 amd64 is not made yet; crosscloud setup makes it, or the first run, which takes minutes longer",
    ]


def test_nothing_is_made(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(root.rglob("*"))
    diagnosed(capsys, "remote,here,picky", 1)
    assert [path for path in sorted(root.rglob("*")) if "__pycache__" not in path.parts] == before


def test_the_bundled_local_cloud_can_be_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--clouds=local"]) in (0, 1)
    assert "local\tterraform\tready" in capsys.readouterr().out
