from __future__ import annotations

import json
from pathlib import Path

import pytest

from clouds.openstack import OpenStackCloud, crosscloud_clouds, lacking

#: Of `openstack limits show --absolute --format json`, those of Nova that count here.
LIMITS = json.dumps(
    [
        {"Name": "maxTotalInstances", "Value": 10},
        {"Name": "maxTotalCores", "Value": 20},
        {"Name": "maxTotalRAMSize", "Value": -1},
        {"Name": "totalInstancesUsed", "Value": 2},
        {"Name": "totalCoresUsed", "Value": 13},
        {"Name": "totalRAMUsed", "Value": 30000},
    ]
)
FLAVOR = json.dumps({"name": "m1.medium", "vcpus": 2, "ram": 4096, "disk": 40})


def test_a_quota_without_room_is_named() -> None:
    assert lacking(LIMITS, FLAVOR, 3) == []
    assert lacking(LIMITS, FLAVOR, 4) == ["vCPUs of the project: 8 needed, 7 left of the quota of 20"]
    assert lacking(LIMITS, FLAVOR, 9)[0] == "servers of the project: 9 needed, 8 left of the quota of 10"


def test_openstack_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "limits").write_text(LIMITS + "\n")
    (tmp_path / "flavor").write_text(FLAVOR + "\n")
    program = tmp_path / "openstack"
    program.write_text(f'#!/bin/sh\nread -r answer < {tmp_path}/$3\necho "$answer"\necho "$*" >> {tmp_path}/said\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (cloud,) = crosscloud_clouds()
    assert isinstance(cloud, OpenStackCloud)
    assert cloud.capacity(4) == ["vCPUs of the project: 8 needed, 7 left of the quota of 20"]
    said = (tmp_path / "said").read_text()
    assert "flavor show m1.medium" in said
    assert "limits show --absolute" in said


def test_without_the_program_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert crosscloud_clouds()[0].capacity(100) == []


def test_without_the_right_to_ask_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "openstack"
    program.write_text("#!/bin/sh\necho 'access rules do not match (HTTP 401)' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert crosscloud_clouds()[0].capacity(100) == []
