"""The real Build of CoreDNS, and the addresses of registries: with root, or minutes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import time
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud import plugins
from pytest_crosscloud.build import registry
from pytest_crosscloud.build.distribution import Repository
from pytest_crosscloud.model import BuildRequest
from pytest_crosscloud.stage import StageContext

pytestmark = pytest.mark.skipif(not shutil.which("docker-registry"), reason="docker-registry is not installed")


@pytest.fixture
def specs() -> Iterator[list[dict[str, Any]]]:
    """What started registries recorded; they are ended with it."""
    specs: list[dict[str, Any]] = []
    yield specs
    for spec in specs:
        registry.release(spec)


@pytest.mark.root
def test_each_registry_has_an_address_of_its_own_and_gives_only_that_back(
    tmp_path: Path, specs: list[dict[str, Any]]
) -> None:
    runs = [f"test-{uuid.uuid4()}" for _ in range(2)]
    hosts = [registry.start(run, tmp_path / run, specs.append, storage=tmp_path / "storage").host for run in runs]
    first, second = (host.rpartition(":")[0] for host in hosts)
    assert first != second
    assert {first, second} <= set(registry._labels())
    registry.release(specs[0])
    assert first not in registry._labels()
    assert second in registry._labels()
    assert Repository(hosts[1], "some/image").tags() == []


@pytest.mark.root
def test_an_address_that_is_taken_is_passed_over(tmp_path: Path, specs: list[dict[str, Any]]) -> None:
    run = f"test-{uuid.uuid4()}"
    first = registry.start(run, tmp_path / "1", specs.append, storage=tmp_path / "storage").host
    # The same place in the network to begin at, as another run may have.
    address = registry._claim_address(run)
    try:
        assert address not in first
    finally:
        subprocess.run(["ip", "address", "del", f"{address}/32", "dev", "lo"], check=True)


COREFILE = """.:{dns} {{
  prometheus :{metrics}
  file cluster.zone cluster.local
  file reverse.zone 127.in-addr.arpa
  hosts hosts example.crosscloud.test
}}
"""
CLUSTER_ZONE = """$ORIGIN cluster.local.
@ 30 IN SOA ns.dns admin 1 7200 1800 86400 30
@ 30 IN NS ns.dns
kubernetes.default.svc 30 IN A 10.96.0.1
coredns.cell.svc 30 IN A 127.0.0.1
_dns._udp.coredns.cell.svc 30 IN SRV 0 100 53 coredns.cell.svc
"""
REVERSE_ZONE = """$ORIGIN 127.in-addr.arpa.
@ 30 IN SOA ns.dns. admin. 1 7200 1800 86400 30
1.0.0 30 IN PTR coredns.cell.svc.cluster.local.
"""
DNS, METRICS = "15353", "19153"


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed")
def test_coredns_is_built_and_answers_its_e2e_container(tmp_path: Path, specs: list[dict[str, Any]]) -> None:
    project = plugins.load(tmp_path).projects["coredns"]
    assert project.e2e
    host = registry.start(f"test-{uuid.uuid4()}", tmp_path / "registry", specs.append).host
    stage = StageContext("build coredns-stable", "test", tmp_path / "stage", deadline=time.monotonic() + 1200)
    ref = project.build.resolve(project, "stable")
    loaded = plugins.load(tmp_path)
    artifacts = loaded.hook.crosscloud_build(request=BuildRequest(project, ref, "amd64", host, stage))
    again = loaded.hook.crosscloud_build(request=BuildRequest(project, ref, "amd64", host, stage))
    assert again.cached
    assert again.pins == artifacts.pins

    for pin in (artifacts.pins[0], artifacts.e2e):
        unpack(pin.reference, tmp_path)
    version = subprocess.run([tmp_path / "coredns", "-version"], capture_output=True, text=True, check=True)
    assert f"CoreDNS-{ref.version.removeprefix('v')}" in version.stdout
    (tmp_path / "Corefile").write_text(COREFILE.format(dns=DNS, metrics=METRICS))
    (tmp_path / "cluster.zone").write_text(CLUSTER_ZONE)
    (tmp_path / "reverse.zone").write_text(REVERSE_ZONE)
    records = [record.split("=") for record in project.e2e.env["HOSTS_RECORDS"].split(",")]
    (tmp_path / "hosts").write_text("".join(f"{address} {name}\n" for name, address in records))
    env = {
        **os.environ,
        **project.e2e.env,
        "CROSSCLOUD_NAMESPACE": "cell",
        "CROSSCLOUD_RELEASE": "coredns",
        "CROSSCLOUD_RESULTS": str(tmp_path),
        "COREDNS_SERVICE_HOST": "127.0.0.1",
        "COREDNS_SERVICE_PORT_DNS": DNS,
        "COREDNS_SERVICE_PORT_METRICS": METRICS,
        "KUBERNETES_SERVICE_HOST": "10.96.0.1",
    }
    with subprocess.Popen([tmp_path / "coredns"], cwd=tmp_path, stdout=subprocess.DEVNULL) as server:
        try:
            checks = subprocess.run([tmp_path / "program"], env=env, capture_output=True, text=True, timeout=120)
        finally:
            server.kill()
    assert checks.returncode == 0, checks.stdout + checks.stderr
    suite = ET.parse(tmp_path / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("11", "0")


def unpack(reference: str, directory: Path) -> None:
    """Pull an image with another tool than ours, and unpack its files."""
    layout = directory / "pulled"
    shutil.rmtree(layout, ignore_errors=True)
    command = ["skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{reference}", f"dir:{layout}"]
    subprocess.run(command, check=True, timeout=60)
    manifest = json.loads((layout / "manifest.json").read_text())
    for layer in manifest["layers"]:
        with tarfile.open(layout / layer["digest"].partition(":")[2]) as tar:
            tar.extractall(directory, filter="tar")
