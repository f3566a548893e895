"""AWS without an account: the module applied by the real provider on moto, its instances booted as machines here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_crosscloud import machine

from .aws import Moto
from .conftest import Running

pytestmark = [pytest.mark.root, pytest.mark.slow]

#: Seconds for one run, with what it builds cached or not.
DEADLINE = 1500.0


def run(rootdir: Path, twin: Running, provider: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest over the matrix, as somebody with an account would run it."""
    variables = twin.variables()
    clouds = {"aws": {"workers": 1, "variables": variables}}
    (rootdir / "cross-cloud.yml").write_text(json.dumps({"clouds": clouds}))  # JSON is YAML
    (rootdir / "pytest.ini").write_text("[pytest]\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "auto", "--clouds=aws", "--projects=coredns", *arguments],
        cwd=rootdir,
        env={**os.environ, **provider, **twin.environment, "XDG_STATE_HOME": str(rootdir / "state")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def test_coredns_on_aws_ends_green_and_leaves_nothing(twin: Running, provider: dict[str, str], tmp_path: Path) -> None:
    moto = Moto(twin.url)
    before = moto.everything()
    rootdir = tmp_path / "root"
    rootdir.mkdir()
    done = run(rootdir, twin, provider, "--refs=stable")
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((rootdir / "reports" / "out" / "results.json").read_text())
    (cell,) = results["cells"]
    assert cell["id"] == "coredns-stable-aws"
    assert {name: stage["status"] for name, stage in cell["stages"].items()} == dict.fromkeys(
        ("build", "provision", "deploy", "e2e"), "success"
    )
    assert "2 nodes" in done.stdout, "they joined as a control plane and a worker"
    assert moto.everything() == before
    assert machine.machines(twin.run) == []

    # The key's secret is in nothing that the run wrote, not even its state.
    secret = twin.environment["AWS_SECRET_ACCESS_KEY"]
    assert secret not in done.stdout + done.stderr
    written = [path for path in rootdir.rglob("*") if path.is_file()]
    assert len(written) > 20
    assert [path for path in written if secret.encode() in path.read_bytes()] == []
