"""Where Prometheus and Alertmanager have their data: beside a keeper that no upgrade replaces, or in their pods."""

from __future__ import annotations

import subprocess
from typing import Any

import yaml

from pytest_crosscloud import paths
from pytest_crosscloud.toolchain.tools import tool


def pods(*options: str, namespace: str = "cell") -> dict[str, dict[str, Any]]:
    """The pod templates of the chart, by the names of their owners."""
    chart = str(paths.data("charts", "prometheus"))
    argv = [str(tool("helm")), "template", "prom", chart, "--namespace", namespace, *options]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    return {
        found["metadata"]["name"]: found["spec"]["template"]
        for found in yaml.safe_load_all(done.stdout)
        if found and "template" in found.get("spec", {})
    }


def volume(pod: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = [volume for volume in pod["spec"]["volumes"] if volume["name"] == name]
    return found


def test_data_is_where_the_keeper_makes_it() -> None:
    found = pods()
    (keeper,) = found["prom-keeper"]["spec"]["containers"]
    release, *parts = keeper["args"]
    assert parts == ["prometheus", "alertmanager"]
    (mount,) = keeper["volumeMounts"]
    node = volume(found["prom-keeper"], mount["name"])["hostPath"]["path"]
    for part, owner in zip(parts, ("prom", "prom-alertmanager"), strict=True):
        # Directory: kubelet makes none itself, which would be root's.
        path = f"{release.replace(mount['mountPath'], node, 1)}/{part}"
        assert volume(found[owner], "data")["hostPath"] == {"path": path, "type": "Directory"}
        (beside,) = found[owner]["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        wanted = beside["labelSelector"]["matchLabels"].items()
        assert wanted <= found["prom-keeper"]["metadata"]["labels"].items()
        assert not wanted <= found[owner]["metadata"]["labels"].items(), "it would be content with itself"


def test_no_upgrade_replaces_the_keeper() -> None:
    other = [f"--set=images.{name}.tag=v9" for name in ("prometheus", "alertmanager", "node_exporter")]
    before, after = pods(), pods(*other, "--set=interval=2s")
    assert before["prom-keeper"] == after["prom-keeper"]
    assert before["prom"] != after["prom"]


def test_two_releases_have_nothing_in_common() -> None:
    paths = {volume(pods(namespace=namespace)["prom"], "data")["hostPath"]["path"] for namespace in ("one", "another")}
    assert len(paths) == 2


def test_without_the_node_there_is_no_keeper() -> None:
    found = pods("--set=storage=pod")
    assert "prom-keeper" not in found
    assert all("hostPath" not in volume for pod in found.values() for volume in pod["spec"].get("volumes", ()))
    assert volume(found["prom"], "data") == {"name": "data", "emptyDir": {}}
