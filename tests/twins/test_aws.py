"""AWS without an account: the module applied by the real provider on moto, its instances booted as machines here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud import machine
from tests import bucket
from tests.e2e.job import wait_for

from .aws import Moto
from .conftest import Running

pytestmark = [pytest.mark.root, pytest.mark.slow]

#: Seconds for one run, with what it builds cached or not.
DEADLINE = 1500.0

#: Seconds after a kill -9 until the last of it is gone: Terraform may write its state for a minute first.
GONE = 240.0


def command(rootdir: Path, twin: Running, provider: dict[str, str], **configuration: Any) -> dict[str, Any]:
    """pytest over the matrix, as somebody with an account would run it: arguments for subprocess."""
    rootdir.mkdir()
    clouds = {"aws": {"workers": 1, "variables": twin.variables()}}
    (rootdir / "cross-cloud.yml").write_text(json.dumps({"clouds": clouds, **configuration}))  # JSON is YAML
    (rootdir / "pytest.ini").write_text("[pytest]\n")
    selected = ["--clouds=aws", "--projects=coredns", "--refs=stable", "--registry=run"]
    return {
        "args": [sys.executable, "-m", "pytest", "-n", "auto", *selected],
        "cwd": rootdir,
        "env": {**os.environ, **provider, **twin.environment, "XDG_STATE_HOME": str(rootdir / "state")},
        "stdin": subprocess.DEVNULL,
    }


def run(arguments: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(**arguments, capture_output=True, text=True, timeout=DEADLINE, check=False)


def cell(rootdir: Path) -> Any:
    (found,) = json.loads((rootdir / "reports" / "out" / "results.json").read_text())["cells"]
    assert found["id"] == "coredns-stable-aws"
    return found


def no_secret(rootdir: Path, twin: Running, said: str) -> None:
    """The key's secret and token are in nothing that the run said or wrote, not even in its state."""
    secrets = [twin.environment[name] for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")]
    assert [secret for secret in secrets if secret in said] == []
    written = [path for path in rootdir.rglob("*") if path.is_file()]
    assert len(written) > 20
    assert [path for path in written for secret in secrets if secret.encode() in path.read_bytes()] == []


def test_coredns_on_aws_ends_green_and_leaves_nothing(twin: Running, provider: dict[str, str], tmp_path: Path) -> None:
    moto = Moto(twin.url)
    before = moto.everything()
    rootdir = tmp_path / "root"
    done = run(command(rootdir, twin, provider))
    assert done.returncode == 0, done.stdout + done.stderr
    assert {name: stage["status"] for name, stage in cell(rootdir)["stages"].items()} == dict.fromkeys(
        ("build", "provision", "deploy", "e2e"), "success"
    )
    assert "2 nodes" in done.stdout, "they joined as a control plane and a worker"
    assert moto.everything() == before
    assert machine.machines(twin.run) == []
    no_secret(rootdir, twin, done.stdout + done.stderr)


def test_a_node_that_fails_says_why_on_the_clouds_console(
    twin: Running, provider: dict[str, str], tmp_path: Path
) -> None:
    moto = Moto(twin.url)
    before = moto.everything()
    rootdir = tmp_path / "root"
    variables = twin.variables(bundle_url=f"{twin.bundle_url}/nowhere")
    clouds = {"aws": {"variables": variables}}
    # With its state in a bucket, as hosts share it.
    state = f"s3://{bucket.BUCKET}/ci"
    done = run(command(rootdir, twin, provider, clouds=clouds, state=state, retries={"attempts": 1}))
    assert done.returncode == 1, done.stdout + done.stderr
    error = cell(rootdir)["stages"]["provision"]["error"]
    assert error["class"] == "infrastructure"
    assert error["message"].startswith("control-plane did not become part of the cluster")
    assert "FAILED while installing the node binary" in error["message"]
    assert moto.everything() == before
    assert machine.machines(twin.run) == []
    no_secret(rootdir, twin, done.stdout + done.stderr)


def test_nothing_is_left_on_aws_after_a_kill(twin: Running, provider: dict[str, str], tmp_path: Path) -> None:
    moto = Moto(twin.url)
    before = moto.everything()
    rootdir = tmp_path / "root"
    arguments = command(rootdir, twin, provider)
    with (tmp_path / "pytest.log").open("wb") as log:
        process = subprocess.Popen(**arguments, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(lambda: machine.machines(twin.run) or process.poll() is not None, "machine", DEADLINE)
        assert process.poll() is None, (tmp_path / "pytest.log").read_text()
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: moto.everything() == before, "end of what the run had on AWS", GONE)
    wait_for(lambda: not machine.machines(twin.run), "end of the machines", GONE)
