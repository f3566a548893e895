from __future__ import annotations

import base64
import gzip
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_crosscloud import machine
from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.machine import records
from pytest_crosscloud.testing.machines import Node, booted, local_network, plain, served

TEXT = "#cloud-config\nruncmd: []\n"

#: One that no other test uses.
CIDR = "10.241.17.0/24"


@pytest.mark.parametrize(
    "given",
    [
        TEXT,
        TEXT.encode(),
        gzip.compress(TEXT.encode()),
        base64.b64encode(TEXT.encode()),
        base64.b64encode(gzip.compress(TEXT.encode())).decode(),
    ],
    ids=["text", "bytes", "gzip", "base64", "base64gzip"],
)
def test_user_data_in_each_form_that_clouds_take(given: str | bytes) -> None:
    assert plain(given) == TEXT


def user_data(command: str) -> str:
    return f"#cloud-config\nruncmd:\n- [sh, -c, '{command}']\n"


@pytest.mark.root
def test_machines_boot_their_user_data_and_are_gone_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("served\n")
    with local_network(CIDR) as network:
        assert network.gateway == "10.241.17.1"
        with served(tmp_path, network.gateway) as url:
            asks = base64.b64encode(gzip.compress(user_data(f"curl -sS {url}/word; echo done").encode()))
            says = user_data("hostname -I; echo done")
            network.boot([Node("control-plane", "10.241.17.10", asks), Node("worker-1", "10.241.17.11", says)])
            limit = time.monotonic() + 60
            while not all("done" in text for text in network.consoles().values()):
                assert time.monotonic() < limit, network.consoles()
                time.sleep(0.2)
        assert "served" in network.consoles()["control-plane"]
        assert "10.241.17.11" in network.consoles()["worker-1"]
        assert network.execute("worker-1", "hostname").strip() == "worker-1"
        network.end("worker-1")
        assert list(network.consoles()) == ["control-plane"]
    assert machine.leftovers(network.run) == []


@pytest.mark.root
def test_a_test_that_fails_leaves_no_machine() -> None:
    with pytest.raises(ZeroDivisionError), booted([Node("one", "10.241.17.10", TEXT)], CIDR) as network:
        raise ZeroDivisionError
    assert machine.leftovers(network.run) == []


@pytest.mark.root
def test_addresses_are_one_process_at_a_time() -> None:
    program = (
        "import sys; from pytest_crosscloud.testing.machines import *\n"
        f"with booted([Node('one', '10.241.17.10', {TEXT!r})], {CIDR!r}): print('up', flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout and other.stdout.readline() == "up\n"
        with pytest.raises(CrosscloudError, match="in use"), local_network(CIDR, patience=0.2):
            pass
        (found,) = [network for network in records.networks() if network.cidr == CIDR]
        other.kill()
        other.wait()
    # What a killed process leaves is in nobody's way.
    with local_network(CIDR, patience=5.0):
        assert machine.leftovers(found.run) == []
