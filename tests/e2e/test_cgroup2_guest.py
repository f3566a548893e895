"""Machines and a whole run on a host with cgroup v2 only, whatever this computer has: in an emulated guest."""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_crosscloud import paths
from pytest_crosscloud.model import Ref
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.toolchain import debian, tools
from pytest_crosscloud.toolchain.node import node_bundle
from pytest_crosscloud.toolchain.pins import load
from tests.e2e import guest

MISSING = debian.missing(guest.PACKAGES)

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the guest is an x86-64 one"),
    pytest.mark.skipif(not shutil.which("apt-get"), reason="the guest's kernel comes with apt-get"),
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}: python -m tests.e2e.guest installs them"),
]

#: Seconds for a guest, and how many times slower than this computer it may be; 15 times is usual.
DEADLINE, PATIENCE = 3600.0, 40

#: What a host with cgroup v2 only shows; else the guest has proven nothing.
CGROUP2_ONLY = """\
set -e
if grep " cgroup " /proc/mounts; then exit 1; fi
grep " /sys/fs/cgroup cgroup2 " /proc/mounts
ip link set lo up
"""

MACHINES = (
    "test_two_machines_boot_user_data_and_reach_each_other_and_the_host",
    "test_a_machine_is_no_part_of_its_host",
    "test_down_leaves_nothing_and_can_be_repeated",
    "test_leftovers_sees_what_there_is",
    "test_this_computer_passes_the_preflight_check",
)


def test_machines_on_cgroup_v2(tmp_path: Path) -> None:
    tests = [f"tests/e2e/test_machine.py::{name}" for name in MACHINES]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", *tests]
    script = f"{CGROUP2_ONLY}export CROSSCLOUD_TEST_PATIENCE={PATIENCE}\n{in_checkout(command)}"
    ended = guest.run(tmp_path, guest.kernel(), script, [], DEADLINE)
    assert ended.code == 0, ended.text
    assert f"{len(MACHINES)} passed" in ended.text


def in_checkout(command: list[str]) -> str:
    return f"cd {shlex.quote(str(paths.data()))}\n{shlex.join(command)}\n"


#: Ample for what has seconds on a real processor.
PATIENT = f"""\
timeouts: {{provision: {DEADLINE}, e2e: {DEADLINE}}}
projects: {{coredns: {{timeout: {DEADLINE}}}}}
"""

JOB = ["-m", "pytest", "-p", "no:cacheprovider", "--clouds=local", "--projects=coredns", "--refs=stable"]

#: Prints the cells' results and what the run has left on the guest.
AFTERWARDS = """\
import json, pathlib
from pytest_crosscloud import machine
results = json.loads(pathlib.Path("reports/out/results.json").read_text())
print("RESULTS", json.dumps({"cells": results["cells"], "left": machine.leftovers(results["run"]["id"])}))
"""


def test_a_run_on_cgroup_v2(tmp_path: Path) -> None:
    """The whole of it: registry, cluster, release and e2e; and nothing of it stays."""
    files = {"pytest.ini": "[pytest]\n", "cross-cloud.yml": PATIENT}
    rootdir = tmp_path / "rootdir"
    rootdir.mkdir()
    for name, text in files.items():
        (rootdir / name).write_text(text)
    # The guest has no network: what it needs is in the cache, and resolved without git, after the same run here.
    environment = {**os.environ, "GIT_ALLOW_PROTOCOL": "file"}
    subprocess.run([sys.executable, *JOB], cwd=rootdir, env=environment, timeout=DEADLINE, check=True)
    modules = subprocess.check_output([str(tools.tool("go")), "env", "GOMODCACHE"], text=True).strip()
    script = f"""{CGROUP2_ONLY}
export PATH={shlex.quote(os.environ["PATH"])} GIT_ALLOW_PROTOCOL=file
export GOPROXY={shlex.quote(f"file://{modules}/cache/download")}
mkdir {guest.HOME}/rootdir
cd {guest.HOME}/rootdir
{"; ".join(f"printf %s {shlex.quote(text)} > {name}" for name, text in files.items())}
{shlex.join([sys.executable, *JOB])} || code=$?
{shlex.join([sys.executable, "-c", AFTERWARDS])}
exit ${{code:-0}}
"""
    (tmp_path / "guest").mkdir()
    ended = guest.run(tmp_path / "guest", guest.kernel(), script, cached(tmp_path), DEADLINE)
    assert ended.code == 0, ended.text
    (line,) = (line for line in ended.text.splitlines() if line.startswith("RESULTS "))
    results = json.loads(line.removeprefix("RESULTS "))
    (cell,) = results["cells"]
    stages = {name: stage["status"] for name, stage in cell["stages"].items()}
    assert stages == dict.fromkeys(("build", "provision", "deploy", "e2e"), "success")
    assert results["left"] == []


def cached(tmp_path: Path) -> list[Path]:
    """What the run needs of the cache, there by now: the node, its disk, the programs and the images."""
    stage = StageContext("provision guest", "", tmp_path)
    bundle = node_bundle(Ref("stable", load()["kubernetes"]["stable"]), "amd64", stage)
    found = [bundle.directory, *paths.cache("disks").glob("*/"), *paths.cache("builds").glob("*/*/*/index.json")]
    found += [tools.tool(name) for name in ("go", "helm", "terraform")]
    kept = [path.relative_to(paths.cache()).parts[:2] for path in found if path.is_relative_to(paths.cache())]
    return [paths.cache(*parts) for parts in sorted(set(kept))]
