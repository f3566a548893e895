"""The provider that a twin's module is applied with, and the twin's own process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud import machine, paths
from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.machine import records
from pytest_crosscloud.provision import providers
from pytest_crosscloud.provision.module import Module
from pytest_crosscloud.toolchain.tools import tool

#: Where providers may lie unpacked, as `terraform providers mirror` puts them, beside what Terraform looks into itself.
MIRROR = Path("/opt/tf-plugins")

#: One that nothing else uses; the module's own default is for clusters that are not here.
CIDR = "10.240.77.0/24"

#: Seconds for a twin to end, machines and all.
_END = 60.0


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What Terraform needs in its environment to find hashicorp/aws; skips where it is not to be had."""
    environment = {}
    named = os.environ.get("TF_CLI_CONFIG_FILE")
    if MIRROR.is_dir() and not (named and Path(named).exists()):
        file = tmp_path_factory.mktemp("terraform") / "cli.tfrc"
        mirror = f'filesystem_mirror {{\n    path = "{MIRROR}"\n  }}'
        others = 'direct {\n    exclude = ["hashicorp/aws"]\n  }'
        file.write_text(f"provider_installation {{\n  {mirror}\n  {others}\n}}\n")
        environment["TF_CLI_CONFIG_FILE"] = str(file)
    patch = pytest.MonkeyPatch()
    for name, value in environment.items():
        patch.setenv(name, value)
    host = providers.default_host(tool("terraform"))
    for wanted in Module(paths.data("terraform", "aws")).providers:
        try:
            _ = providers.here(wanted, host) or providers.ask(wanted, host)
        except CrosscloudError as error:
            patch.undo()
            pytest.skip(f"{wanted.source} cannot be had here: {error.message}")
    yield environment
    patch.undo()


@dataclass(frozen=True)
class Running:
    """A twin in a process of its own."""

    process: subprocess.Popen[str]
    environment: dict[str, str]  #: what a program needs to use it
    bundle_url: str
    run: str  #: what its machines carry

    @property
    def url(self) -> str:
        return self.environment["AWS_ENDPOINT_URL"]

    def variables(self, **others: Any) -> dict[str, Any]:
        """Of the module, for machines here."""
        return {"network_cidr": CIDR, "bundle_url": self.bundle_url, **others}


@pytest.fixture
def twin(tmp_path: Path) -> Iterator[Running]:
    with (tmp_path / "twin.log").open("w") as log:
        argv = [sys.executable, "-m", "tests.twins", "--cidr", CIDR]
        process = subprocess.Popen(argv, cwd=paths.data(), stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout
    line = process.stdout.readline()
    assert line, (tmp_path / "twin.log").read_text()
    (network,) = [network for network in records.networks() if network.cidr == CIDR]
    yield Running(process, run=network.run, **json.loads(line))
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=_END)
    (tmp_path / "twin.out").write_text(said)
    assert process.returncode == 0, (tmp_path / "twin.log").read_text()
    assert machine.leftovers(network.run) == []
