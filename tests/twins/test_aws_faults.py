"""Clusters on AWS that go wrong half way, by the real provider on moto; nothing boots here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from xml.etree.ElementTree import Element

import pytest

from clouds.aws import crosscloud_clouds, owned
from pytest_crosscloud import paths
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import ErrorClass, ProvisionRequest, Ref
from pytest_crosscloud.provision import cluster
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.testing.machines import plain

from .aws import Moto, moto
from .front import Faults

pytestmark = pytest.mark.slow

(CLOUD,) = crosscloud_clouds()

RUN = "0123abcd"


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def account(
    tmp_path: Path, faults: Faults, provider: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Moto]:
    monkeypatch.setattr(cluster, "wait_ready", lambda *arguments: [])
    monkeypatch.setattr(owned, "INTERVAL", 0.2)
    with moto(tmp_path, faults=faults) as emulator:
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        yield emulator


def request_for(tmp_path: Path, **variables: str) -> ProvisionRequest:
    directory = tmp_path / "cluster"
    directory.mkdir()
    return ProvisionRequest(
        cloud=CLOUD,
        name=f"xc-{RUN}-aws",
        kubernetes=Ref("stable", "v1.36.3"),
        arch="arm64",
        workers=1,
        variables=variables,
        directory=directory,
        tags={"crosscloud-run": RUN, "crosscloud-cluster": f"xc-{RUN}-aws", "crosscloud-expires": "0"},
        registries=(),
        stage=StageContext("provision aws", RUN, tmp_path / "out"),
    )


def test_what_an_apply_made_before_it_failed_is_destroyed(account: Moto, faults: Faults, tmp_path: Path) -> None:
    before = account.everything()
    request = request_for(tmp_path)
    faults.always["RunInstances"] = (400, "VcpuLimitExceeded")
    with pytest.raises(StageError, match="VcpuLimitExceeded") as error:
        CLOUD.provision(request)
    assert error.value.error_class == ErrorClass.INFRASTRUCTURE
    assert "quota" in error.value.remedy
    assert len(account.everything() - before) > 5
    CLOUD.destroy(request)
    assert account.everything() == before
    assert _not_allowed(faults.seen) == set()
    assert "CreateRole" not in faults.seen, "no node has rights"


def test_an_api_that_fails_now_and_then_makes_a_cluster_which_goes_without_its_state(
    account: Moto, faults: Faults, tmp_path: Path
) -> None:
    before = account.everything()
    for action in ("CreateVpc", "AllocateAddress", "RunInstances", "CreateRole"):
        faults.next[action] = [(500, "InternalError"), (503, "RequestLimitExceeded")]
    request = request_for(tmp_path, cloud_provider="external")
    made = CLOUD.provision(request)
    assert [node.address for node in made.nodes] == ["10.240.0.10", "10.240.0.11"]
    assert not any(faults.next.values()), "each has failed twice"
    assert _not_allowed(faults.seen) == set()
    assert "CreateTags" not in faults.seen, "what is made has its tags at once"
    assert faults.seen.index("AssociateAddress") < faults.seen.index("RunInstances"), "no address changes under a node"
    _is_shut_and_marked(account)

    shutil.rmtree(request.directory)
    names = CLOUD.owned(RUN)
    assert [name for name in names if name.startswith("instance i-")] == names[:2]
    assert f"role xc-{RUN}-aws-cp" in names
    assert CLOUD.runs() == [RUN]
    # On another computer, which has no record of the run.
    argv = [str(Path(sys.executable).with_name("crosscloud")), "clean", "--run", RUN, "--yes"]
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "elsewhere")}
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "nothing is left behind"
    assert CLOUD.owned(RUN) == CLOUD.runs() == []
    assert account.everything() == before


def _not_allowed(seen: Iterable[str]) -> set[str]:
    """Actions that the policy of terraform/aws/README.md does not have."""
    readme = (paths.data("terraform", "aws") / "README.md").read_text()
    statements = json.loads(readme.split("```json")[1].split("```")[0])["Statement"]
    actions = [[found] if isinstance(found := statement["Action"], str) else found for statement in statements]
    names = [action.partition(":")[2] for some in actions for action in some]
    return {action for action in seen if action and not any(fnmatchcase(action, name) for name in names)}


def _is_shut_and_marked(account: Moto) -> None:
    """What the API says of a cluster: who gets at it, and at what its nodes are given."""
    api = account.api()
    found = api.query("ec2", "DescribeInstances")
    assert {item.text for item in found.iter("instanceType")} == {"t4g.medium"}
    assert {item.text for item in found.iter("httpTokens")} == {"required"}
    # The control plane's own interface has what an instance says of its first one; moto keeps them apart.
    interfaces = api.query("ec2", "DescribeNetworkInterfaces").iterfind("networkInterfaceSet/item")
    own = {item.findtext("privateIpAddress"): item.findtext("sourceDestCheck") for item in interfaces if _tags(item)}
    assert len(own) == 1
    for instance, node in account.instances().items():
        passed = account.user_data(instance)
        assert len(passed) <= 16384, "AWS takes no more"
        assert f"NODE_ADDRESS='{node.address}'" in plain(passed)
        checked = api.query("ec2", "DescribeInstanceAttribute", InstanceId=instance, Attribute="sourceDestCheck")
        assert own.get(node.address, checked.findtext("sourceDestCheck/value")) == "false", "nodes route pods"
    volumes = [item for item in api.query("ec2", "DescribeVolumes").iterfind("volumeSet/item") if _tags(item)]
    assert [item.findtext("encrypted") for item in volumes] == ["true", "true"]
    assert all(_tags(item)["crosscloud-run"] == RUN for item in volumes)
    (group,) = [
        item for item in api.query("ec2", "DescribeSecurityGroups").iterfind("securityGroupInfo/item") if _tags(item)
    ]
    allowed = {
        (rule.findtext("fromPort"), cidr.text)
        for rule in group.iterfind("ipPermissions/item")
        for cidr in rule.iterfind("ipRanges/item/cidrIp")
    }
    assert {(port, cidr) for port, cidr in allowed if port is not None} == {("6443", "0.0.0.0/0")}
    assert {cidr for port, cidr in allowed if port is None} == {"10.244.0.0/16"}


def _tags(item: Element) -> dict[str, str]:
    return {entry.findtext("key") or "": entry.findtext("value") or "" for entry in item.iterfind("tagSet/item")}
