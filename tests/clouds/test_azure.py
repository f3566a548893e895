from __future__ import annotations

import json
from pathlib import Path

import pytest

from clouds.azure import crosscloud_clouds, lacking

#: Of `az vm list-usage --location westeurope --output json` (numbers are text there), three of some 200 quotas.
USAGE = json.dumps(
    [
        {
            "currentValue": "3",
            "limit": "100",
            "localName": "Virtual Machines",
            "name": {"localizedValue": "Virtual Machines", "value": "virtualMachines"},
        },
        {
            "currentValue": "4",
            "limit": "10",
            "localName": "Total Regional vCPUs",
            "name": {"localizedValue": "Total Regional vCPUs", "value": "cores"},
        },
        {
            "currentValue": "0",
            "limit": "2",
            "localName": "Standard Dpsv6 Family vCPUs",
            "name": {"localizedValue": "Standard Dpsv6 Family vCPUs", "value": "StandardDpsv6Family"},
        },
    ]
)


def test_a_quota_without_room_is_named() -> None:
    assert lacking(USAGE, "westeurope", "Standard_D2s_v6", 3) == []
    assert lacking(USAGE, "westeurope", "Standard_D2s_v6", 4) == [
        "Total Regional vCPUs of westeurope: 8 needed, 6 left of the quota of 10"
    ]


def test_a_family_has_a_quota_of_its_own() -> None:
    assert lacking(USAGE, "westeurope", "Standard_D2ps_v6", 2) == [
        "Standard Dpsv6 Family vCPUs of westeurope: 4 needed, 2 left of the quota of 2"
    ]


def test_a_size_that_is_not_understood_says_nothing() -> None:
    assert lacking(USAGE, "westeurope", "Basic_A1", 100) == []


def test_az_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "usage").write_text(USAGE)
    program = tmp_path / "az"
    program.write_text(f'#!/bin/sh\nread -r usage < {tmp_path}/usage\necho "$usage"\necho "$*" > {tmp_path}/said\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (cloud,) = crosscloud_clouds()
    assert cloud.capacity(4) == ["Total Regional vCPUs of westeurope: 8 needed, 6 left of the quota of 10"]
    assert "--location westeurope" in (tmp_path / "said").read_text()
    program.unlink()
    assert cloud.capacity(4) == [], "without az nothing is known of quotas"
    program.write_text("#!/bin/sh\necho 'Please run az login' >&2\nexit 1\n")
    program.chmod(0o755)
    assert cloud.capacity(4) == [], "nor if it is not logged in"


def test_without_a_state_the_resource_groups_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "az"
    program.write_text(
        f'#!/bin/sh\necho "$*" >> {tmp_path}/said\n'
        'test "$2" = delete || echo "/subscriptions/s/resourceGroups/xc-0123abcd-azure"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ARM_SUBSCRIPTION_ID", "the-run-s")
    (cloud,) = crosscloud_clouds()
    cloud.sweep("0123abcd")
    asked, removed = (tmp_path / "said").read_text().splitlines()
    assert asked.startswith("group list --tag crosscloud-run=0123abcd ")
    assert removed == "group delete --yes --name xc-0123abcd-azure --subscription the-run-s"


def test_az_is_asked_of_the_subscription_that_terraform_gets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "az"
    program.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/said\ntest "$1" != vm || echo "[]"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ARM_SUBSCRIPTION_ID", "the-run-s")
    (cloud,) = crosscloud_clouds()
    cloud.capacity(1)
    cloud.owned("0123abcd")
    cloud.runs()
    said = (tmp_path / "said").read_text().splitlines()
    assert [line.split()[:2] for line in said] == [["vm", "list-usage"], ["group", "list"], ["group", "list"]]
    assert " --tag crosscloud-run --query " in said[2]
    assert all(line.endswith(" --subscription the-run-s") for line in said)
