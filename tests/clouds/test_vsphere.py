"""The firewall that vSphere's nodes have themselves, with the kernel's own packets."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_crosscloud import paths
from pytest_crosscloud.testing.render import files, render, variables

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes network namespaces"),
]

NODE, OTHER_NODE, ALLOWED, STRANGER = "192.168.7.10", "192.168.7.11", "192.168.7.200", "192.168.7.201"


@dataclass(frozen=True)
class Network:
    """A node, and a neighbour who has all the other addresses."""

    node: str  #: name of its namespace
    outside: str

    def answers(self, port: int, source: str) -> bool:
        """Whether the node answers at a port when it is asked from this address."""
        return self._get(self.outside, f"http://{NODE}:{port}", "--interface", source)

    def reaches_outside(self) -> bool:
        return self._get(self.node, f"http://{STRANGER}:9000")

    def _get(self, namespace: str, url: str, *options: str) -> bool:
        argv = ["ip", "netns", "exec", namespace, "curl", "--silent", "--max-time", "2", "--output", "/dev/null"]
        return subprocess.run([*argv, *options, url], check=False).returncode == 0


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    suffix = uuid.uuid4().hex[:6]
    made = Network(f"xcn{suffix}", f"xco{suffix}")
    given = variables(network_cidr="192.168.7.0/24", allowed_cidrs=[f"{ALLOWED}/32"])
    rendered = render(paths.data("terraform", "vsphere"), given)
    before = tmp_path / "before.sh"
    before.write_text(files(rendered["control-plane"])["/etc/crosscloud/before.sh"])
    servers = []
    try:
        for namespace in (made.node, made.outside):
            _run("ip", "netns", "add", namespace)
            _run("ip", "-netns", namespace, "link", "set", "lo", "up")
        ends = (f"n{suffix}", made.node, [NODE]), (f"o{suffix}", made.outside, [OTHER_NODE, ALLOWED, STRANGER])
        _run(
            "ip",
            "link",
            "add",
            ends[0][0],
            "netns",
            made.node,
            "type",
            "veth",
            "peer",
            ends[1][0],
            "netns",
            made.outside,
        )
        for interface, namespace, addresses in ends:
            for address in addresses:
                _run("ip", "-netns", namespace, "address", "add", f"{address}/24", "dev", interface)
            _run("ip", "-netns", namespace, "link", "set", interface, "up")
        _run("ip", "netns", "exec", made.node, "sh", str(before))
        for namespace, port in ((made.node, 6443), (made.node, 30080), (made.outside, 9000)):
            argv = ["ip", "netns", "exec", namespace, "python3", "-m", "http.server", str(port)]
            servers.append(subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        yield made
    finally:
        for server in servers:
            server.kill()
            server.wait()
        for namespace in (made.node, made.outside):
            subprocess.run(["ip", "netns", "delete", namespace], check=False)


def test_from_outside_a_node_answers_at_its_api_server_and_to_whom_it_may(network: Network) -> None:
    deadline = time.monotonic() + 20
    while not (network.answers(6443, ALLOWED) and network.answers(30080, OTHER_NODE)):
        assert time.monotonic() < deadline, "who may ask gets no answer"
        time.sleep(0.2)
    assert network.answers(6443, OTHER_NODE)
    assert network.reaches_outside()
    assert not network.answers(6443, STRANGER)
    assert not network.answers(30080, ALLOWED), "a node port"


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)
