from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from tests.clouds.managed import local_values, outputs

CA = base64.b64encode(b"a certificate").decode()

#: What Google's provider says of a cluster with two nodes, as far as the module asks.
SAID: dict[str, Any] = {
    "google_container_cluster.this": {
        "endpoint": "203.0.113.9",
        "master_auth": [{"cluster_ca_certificate": CA}],
    },
    "data.google_client_config.this": {"access_token": "ya29.a-token"},
    "data.google_compute_instance.node": [
        {
            "name": f"gke-xc-0123abcd-gke-default-pool-{index}",
            "network_interface": [{"network_ip": f"10.240.0.{index}"}],
        }
        for index in (2, 3)
    ],
}


def made(directory: Path, **given: Any) -> dict[str, Any]:
    return outputs("gke", directory, SAID, local_values("gke", "  user = {", "}\n\nresource"), **given)


def test_the_kubeconfig_has_a_token(tmp_path: Path) -> None:
    found = made(tmp_path)
    assert found["endpoint"] == "https://203.0.113.9"
    assert found["nodes"][1] == {
        "name": "gke-xc-0123abcd-gke-default-pool-3",
        "address": "10.240.0.3",
        "role": "worker",
    }
    kubeconfig = found["kubeconfig"]
    assert kubeconfig["clusters"][0]["cluster"] == {
        "server": "https://203.0.113.9",
        "certificate-authority-data": CA,
    }
    assert kubeconfig["users"] == [{"name": "admin", "user": {"token": "ya29.a-token"}}]
    assert kubeconfig["current-context"] == kubeconfig["contexts"][0]["name"]


def test_for_longer_than_an_hour_a_plugin_gets_the_tokens(tmp_path: Path) -> None:
    (user,) = made(tmp_path, authentication="plugin")["kubeconfig"]["users"]
    assert user["user"].keys() == {"exec"}
    assert user["user"]["exec"]["command"] == "gke-gcloud-auth-plugin"
