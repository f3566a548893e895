"""OpenStack, vSphere, OCI, Huawei and Alibaba: what their plugins ask the clouds, and what their modules make."""

from __future__ import annotations

import base64
import configparser
import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_crosscloud import paths
from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.model import Cloud
from pytest_crosscloud.plugins import load
from pytest_crosscloud.testing.render import PURE, files, render, variables
from pytest_crosscloud.toolchain.tools import tool

NAMES = ("openstack", "vsphere", "oci", "huawei", "alibaba")


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Cloud]:
    return load(tmp_path_factory.mktemp("root")).clouds


def programs(directory: Path, name: str, output: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cloud's own program that prints ``output``, and writes its arguments and environment to the returned file."""
    log = directory / "asked"
    program = directory / name
    (directory / "answer").write_text(output)
    program.write_text(f'#!/bin/sh\n{{ echo "$@"; env; }} >>{log}\ncat {directory}/answer\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    return log


@pytest.mark.parametrize(
    ("name", "program", "output", "owned", "asked"),
    [
        ("openstack", "openstack", "xc-0a-os-worker-1\n", ["xc-0a-os-worker-1"], "server list --name ^xc-0a-"),
        ("openstack", "openstack", "192.0.2.7\n", ["192.0.2.7"], "floating ip list --tags crosscloud-run=0a"),
        (
            "vsphere",
            "govc",
            "/dc/vm/xc-0a-vs/xc-0a-vs-worker-1\n",
            ["/dc/vm/xc-0a-vs/xc-0a-vs-worker-1"],
            "-name xc-0a-*",
        ),
        ("oci", "oci", "", [], "freeformTags.value = '0a'"),
        (
            "oci",
            "oci",
            '{"data": {"items": [{"display-name": "xc-0a-oci", "identifier": "ocid1.vcn.x"}]}}',
            ["xc-0a-oci (ocid1.vcn.x)"],
            "structured-search",
        ),
        (
            "huawei",
            "hcloud",
            '{"resources": [{"resource_name": "xc-0a-hw-worker-1", "resource_id": "1f"}]}',
            ["xc-0a-hw-worker-1 (1f)"],
            "EIP ListPublicipsByTags --action=filter --tags.1.key=crosscloud-run --tags.1.values.1=0a",
        ),
        (
            "alibaba",
            "aliyun",
            '{"TagResources": [{"ResourceARN": "arn:acs:ecs:eu-central-1:1:instance/i-1"}]}',
            ["arn:acs:ecs:eu-central-1:1:instance/i-1"],
            'tag ListTagResources --Tags {"crosscloud-run":"0a"}',
        ),
    ],
    ids=["openstack", "openstack-floating-ip", "vsphere", "oci-nothing", "oci", "huawei", "alibaba"],
)
def test_owned(
    clouds: Mapping[str, Cloud],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    program: str,
    output: str,
    owned: list[str],
    asked: str,
) -> None:
    log = programs(tmp_path, program, output, monkeypatch)
    assert set(clouds[name].owned("0a")) == set(owned)
    assert asked in log.read_text()


#: Of Huawei, with an id that begins like a run's; of Alibaba, with a page's token.
_SERVERS = {"servers": [{"name": "xc-0123abcd-hw-worker-1", "id": "feedbeef-1111-2222-3333-444444444444"}]}
_VALUES = {"Values": {"Value": ["0123abcd", "feedbeef"]}, "RequestId": "0000AAAA-1111", "NextToken": ""}


@pytest.mark.parametrize(
    ("name", "program", "output", "runs", "asked"),
    [
        ("openstack", "openstack", "xc-0123abcd-os-worker-1\nxc-mine\n", ["0123abcd"], "server list --name ^xc- "),
        (
            "openstack",
            "openstack",
            "['crosscloud-cluster=xc-0123abcd-os', 'crosscloud-run=0123abcd']\n[]\n",
            ["0123abcd"],
            "floating ip list --long --format value --column Tags",
        ),
        ("vsphere", "govc", "/dc/vm/xc-0123abcd-vs/xc-0123abcd-vs-worker-1\n", ["0123abcd"], "-type f -name xc-*"),
        ("oci", "oci", "", [], "freeformTags.key = 'crosscloud-run' && lifecycleState"),
        ("oci", "oci", '{"data": {"items": [{"display-name": "xc-0123abcd-oci"}]}}', ["0123abcd"], "query all"),
        ("huawei", "hcloud", json.dumps(_SERVERS), ["0123abcd"], "ECS ListServersDetails --name=xc-"),
        ("alibaba", "aliyun", json.dumps(_VALUES), ["0123abcd", "feedbeef"], "tag ListTagValues --Key crosscloud-run"),
        ("gke", "gcloud", "0123abcd\n\n", ["0123abcd"], "--filter=labels.crosscloud-run:*"),
    ],
    ids=["openstack", "openstack-floating-ip", "vsphere", "oci-nothing", "oci", "huawei", "alibaba", "gke"],
)
def test_runs(
    clouds: Mapping[str, Cloud],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    program: str,
    output: str,
    runs: list[str],
    asked: str,
) -> None:
    log = programs(tmp_path, program, output, monkeypatch)
    assert clouds[name].lists_runs and clouds[name].runs() == runs
    assert asked in log.read_text()


@pytest.mark.parametrize(
    ("name", "program", "given", "expected"),
    [
        ("vsphere", "govc", {"VSPHERE_SERVER": "vc.example", "VSPHERE_PASSWORD": "p"}, "GOVC_URL=vc.example\n"),
        ("oci", "oci", {"TF_VAR_user_ocid": "ocid1.user.x"}, "OCI_CLI_USER=ocid1.user.x\n"),
        ("alibaba", "aliyun", {"ALICLOUD_ACCESS_KEY": "a"}, "ALIBABA_CLOUD_ACCESS_KEY_ID=a\n"),
    ],
    ids=["vsphere", "oci", "alibaba"],
)
def test_programs_get_the_providers_credentials_by_their_own_names(
    clouds: Mapping[str, Cloud],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    program: str,
    given: dict[str, str],
    expected: str,
) -> None:
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    log = programs(tmp_path, program, "{}", monkeypatch)
    clouds[name].owned("0a")
    assert expected in log.read_text()


def test_vsphere_has_addresses_for_one_cluster(clouds: Mapping[str, Cloud]) -> None:
    assert clouds["vsphere"].capacity(1) == []
    (line,) = clouds["vsphere"].capacity(2)
    assert "max_clusters: 1" in line


def test_a_program_that_is_not_there_is_named(clouds: Mapping[str, Cloud], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    for name in NAMES:
        with pytest.raises(CrosscloudError, match="is not on PATH"):
            clouds[name].owned("0a")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_missing_is_said_with_where_to_get_it(
    clouds: Mapping[str, Cloud], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    required = [credential for credential in clouds[name].credentials if credential.required]
    for credential in required:
        monkeypatch.delenv(credential.name, raising=False)
    assert len(clouds[name].preflight()) == len(required) >= 3
    assert any(credential.secret for credential in required) or name == "oci"  # which has its secret in a file


# -- modules ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_user_data_fits(name: str) -> None:
    """The least of these clouds takes 32 KiB of it."""
    rendered = render(paths.data("terraform", name), variables(workers=2), cloud_conf="#" * 1000)
    assert list(rendered) == ["control-plane", "worker-1", "worker-2"]
    assert all(len(base64.b64encode(gzip.compress(text.encode()))) < 24_000 for text in rendered.values())


def before(name: str, **given: Any) -> str:
    return files(render(paths.data("terraform", name), variables(**given))["worker-1"])["/etc/crosscloud/before.sh"]


def test_vsphere_has_its_firewall_on_the_nodes() -> None:
    script = before("vsphere", network_cidr="192.168.7.0/24", allowed_cidrs=["198.51.100.0/24"])
    assert "-s 198.51.100.0/24 -d 192.168.7.10 -p tcp --dport 6443 -j RETURN\n" in script
    assert script.index("--dport 6443") < script.index("CROSSCLOUD -j DROP") < script.index("PREROUTING")


#: cloud-init's own reader of what VMware tells a machine, with the environment in VMware's place.
_VMWARE = """
import json, logging, os
from cloudinit import helpers
from cloudinit.sources.DataSourceVMware import DataSourceVMware
logging.disable()
source = DataSourceVMware({}, None, helpers.Paths({}))
assert source._get_data()
print(json.dumps([source.metadata["local-hostname"], source.metadata["redact"], source.network_config,
                  source.userdata_raw if isinstance(source.userdata_raw, str) else source.userdata_raw.decode()]))
"""


def test_vsphere_tells_cloud_init_a_nodes_address_and_user_data(tmp_path: Path) -> None:
    if subprocess.run(["/usr/bin/python3", "-c", "import cloudinit"], capture_output=True, check=False).returncode:
        pytest.skip("cloud-init is not installed: apt-get install cloud-init")
    root = tmp_path / "vsphere"
    root.mkdir()
    shutil.copytree(paths.data("terraform", "modules"), tmp_path / "modules")
    for name in PURE:
        shutil.copy(paths.data("terraform", "vsphere", name), root)
    outputs = {
        "metadata": {"value": '${base64gzip(local.metadata["worker-1"])}'},
        "userdata": {"value": '${base64gzip(module.kubeadm.user_data["worker-1"])}', "sensitive": True},
    }
    given = {"locals": {"endpoint": "192.0.2.10", "cloud_conf": ""}, "output": outputs}
    (root / "given.tf.json").write_text(json.dumps(given))
    (root / "terraform.tfvars.json").write_text(
        json.dumps(variables(network_cidr="192.0.2.0/26", network_prefix=24, gateway="192.0.2.254", dns=["192.0.2.53"]))
    )
    for command in (["init"], ["apply", "-auto-approve"]):
        subprocess.run([tool("terraform"), *command], cwd=root, check=True, capture_output=True)
    made = json.loads((root / "terraform.tfstate").read_text())["outputs"]
    told = {f"VMX_GUESTINFO_{key.upper()}": made[key]["value"] for key in outputs}
    encodings = {f"VMX_GUESTINFO_{key.upper()}_ENCODING": "gzip+base64" for key in outputs}
    done = subprocess.run(
        ["/usr/bin/python3", "-c", _VMWARE],
        env={**os.environ, "VMX_GUESTINFO": "1", **told, **encodings},
        capture_output=True,
        text=True,
        check=True,
    )
    hostname, cleared, network, user_data = json.loads(done.stdout)
    assert (hostname, cleared) == ("worker-1", ["userdata"])
    card = network["config"]["ethernets"]["nic"] if "config" in network else network["ethernets"]["nic"]
    assert card["addresses"] == ["192.0.2.11/24"]
    assert card["routes"] == [{"to": "0.0.0.0/0", "via": "192.0.2.254"}]
    assert card["nameservers"] == {"addresses": ["192.0.2.53"]}
    assert user_data.startswith("#cloud-config\n")


def test_alibabas_metadata_service_is_out_of_the_pods_reach() -> None:
    assert "iptables -t mangle -A FORWARD -d 100.100.100.200 -j DROP\n" in before("alibaba")


def test_oracles_own_rules_are_gone_and_stay_gone(tmp_path: Path) -> None:
    script = before("oci")
    rules = tmp_path / "rules.v4"
    rules.write_text("-A INPUT -j REJECT\n-A OUTPUT -d 169.254.0.0/16 -j InstanceServices\n-A FORWARD -j REJECT\n")
    (line,) = (line for line in script.splitlines() if "sed" in line)
    subprocess.run(["sh", "-euc", line.replace("/etc/iptables", str(tmp_path))], check=True)
    assert rules.read_text() == "-A OUTPUT -d 169.254.0.0/16 -j InstanceServices\n"


# -- cloud.conf ---------------------------------------------------------------------------------------------


def cloud_conf(name: str, directory: Path, values: dict[str, Any]) -> str:
    template = paths.data("terraform", name, "cloud.conf.tftpl")
    (directory / "main.tf.json").write_text(
        json.dumps(
            {
                "variable": {"values": {}},
                "output": {"text": {"value": f'${{templatefile("{template}", var.values)}}'}},
            }
        )
    )
    (directory / "terraform.tfvars.json").write_text(json.dumps({"values": values}))
    for command in (["init"], ["apply", "-auto-approve"]):
        subprocess.run([tool("terraform"), *command], cwd=directory, check=True, capture_output=True)
    text: str = json.loads((directory / "terraform.tfstate").read_text())["outputs"]["text"]["value"]
    return text


def ini(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read_string(text)
    return parser


@pytest.mark.parametrize("known", [True, False])
def test_openstacks_cloud_conf(tmp_path: Path, known: bool) -> None:
    controllers = {
        "auth_url": "https://keystone.example/v3",
        "application_credential_id": "an-id",
        "application_credential_secret": "a-secret",
    }
    values = {
        "region": "R1",
        "network_name": "xc",
        "subnet_id": "s-1",
        "external_network": "out",
        "external_network_id": "n-1",
    }
    parsed = ini(cloud_conf("openstack", tmp_path, {**values, "controllers": controllers if known else None}))
    assert parsed["LoadBalancer"]["floating-network-id"] == "n-1"
    assert parsed["Global"]["region"] == "R1"
    assert parsed["Global"].get("application-credential-secret") == ("a-secret" if known else None)


def test_vspheres_cloud_conf(tmp_path: Path) -> None:
    controllers = {"server": "vc.example", "user": "u", "password": "p", "insecure": False}
    parsed = ini(cloud_conf("vsphere", tmp_path, {"controllers": controllers, "datacenter": "dc", "cluster": "xc"}))
    assert parsed['VirtualCenter "vc.example"']["datacenters"] == '"dc"'
    assert parsed["Global"]["insecure-flag"] == '"false"'


def test_ocis_cloud_conf(tmp_path: Path) -> None:
    parsed = yaml.safe_load(cloud_conf("oci", tmp_path, {"compartment_id": "c", "vcn_id": "v", "subnet_id": "s"}))
    assert parsed["auth"] == {"useInstancePrincipals": True}
    assert parsed["loadBalancer"]["subnet1"] == "s"


@pytest.mark.parametrize("known", [True, False])
def test_huaweis_cloud_conf(tmp_path: Path, known: bool) -> None:
    controllers = {"access_key": "a", "secret_key": "s", "project_id": "p"} if known else None
    values = {"region": "R1", "vpc_id": "v", "subnet_id": "s", "security_group_id": "g", "controllers": controllers}
    parsed = ini(cloud_conf("huawei", tmp_path, values))
    assert parsed["Vpc"]["id"] == "v"
    assert parsed["Global"].get("access-key") == ("a" if known else None)


@pytest.mark.parametrize("known", [True, False])
def test_alibabas_cloud_conf(tmp_path: Path, known: bool) -> None:
    controllers = {"access_key_id": "an-id", "access_key_secret": "a-secret"} if known else None
    values = {"region": "R1", "vpc_id": "v", "vswitch_id": "w", "zone": "z", "controllers": controllers}
    parsed = json.loads(cloud_conf("alibaba", tmp_path, values))
    assert parsed["Global"]["vswitchid"] == "z:w"
    assert parsed["Global"].get("accessKeyID") == (base64.b64encode(b"an-id").decode() if known else None)
