from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from clouds.ibm import crosscloud_clouds
from tests.clouds.managed import outputs

#: Of `ibmcloud resource search 'tags:"crosscloud-run:0123abcd"' --output json`: one of its pages.
FOUND = {
    "items": [
        {"crn": "crn:v1:bluemix:public:is:eu-de:a/1234::vpc:r010-5678", "name": "xc-0123abcd-ibm", "type": "vpc"},
        {"crn": "crn:v1:bluemix:public:containers-kubernetes:eu-de:a/1234:c9::", "name": "xc-0123abcd-ibm"},
    ],
    "limit": 100,
}


def test_owned_are_the_resources_that_the_search_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ibmcloud"
    program.write_text(f"#!/bin/sh\necho \"$*\" > {tmp_path}/said\necho '{json.dumps(FOUND)}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (cloud,) = crosscloud_clouds()
    assert cloud.owned("0123abcd") == [item["crn"] for item in FOUND["items"]]  # type: ignore[attr-defined]
    assert (tmp_path / "said").read_text() == 'resource search tags:"crosscloud-run:0123abcd" --output json\n'
    assert cloud.runs() == ["0123abcd"]
    assert (tmp_path / "said").read_text() == "resource search name:xc-* --output json\n"


#: What IBM's provider says of a cluster with one worker, as far as the module asks.
SAID = {
    "ibm_container_vpc_cluster.this": {"public_service_endpoint_url": "https://c1.eu-de.containers.example:30000"},
    "data.ibm_container_cluster_config.admin": {
        "host": "https://c1.eu-de.containers.example:30000",
        "ca_certificate": "CA\n",
        "admin_certificate": "CERTIFICATE\n",
        "admin_key": "KEY\n",
    },
    "data.ibm_container_vpc_cluster_worker.node": [{"network_interfaces": [{"ip_address": "10.243.0.4"}]}],
}


def test_the_kubeconfig_has_the_administrators_certificate(tmp_path: Path) -> None:
    found = outputs("ibm", tmp_path, SAID)
    assert found["nodes"] == [{"name": "10.243.0.4", "address": "10.243.0.4", "role": "worker"}]
    assert found["endpoint"] == found["kubeconfig"]["clusters"][0]["cluster"]["server"]
    (user,) = found["kubeconfig"]["users"]
    assert base64.b64decode(user["user"]["client-key-data"]) == b"KEY\n"
