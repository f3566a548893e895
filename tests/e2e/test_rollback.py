"""Back to what was green, on a real cluster: past a red run, and with images of a run whose registry is gone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud import machine
from pytest_crosscloud.run.store import open_store

pytestmark = pytest.mark.root

#: Seconds for one run, with what it builds cached or not.
DEADLINE = 1500.0

POOL = "--reuse-clusters=30m"


#: A conftest.py: the e2e container expects another address than the chart gives.
_RED = """
from dataclasses import replace
from pytest_crosscloud import hookimpl
from pytest_crosscloud.deploy import e2e

RECORDS = "example.crosscloud.test=192.0.2.99,www.example.crosscloud.test=192.0.2.11"

@hookimpl(tryfirst=True)
def crosscloud_e2e(request):
    container = replace(request.project.e2e, env={**request.project.e2e.env, "HOSTS_RECORDS": RECORDS})
    return e2e.run(replace(request, project=replace(request.project, e2e=container)))
"""


def _cell(rootdir: Path, program: list[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    """The only cell of a run that ends with this exit code."""
    done = subprocess.run(
        [*program, *arguments],
        cwd=rootdir,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.returncode == code, done.stdout + done.stderr
    (cell,) = json.loads((rootdir / "reports" / "out" / "results.json").read_text())["cells"]
    found: dict[str, Any] = cell
    return found


def test_what_was_green_is_installed_again_by_its_digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))  # runs and a pool of its own
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    crosscloud = str(Path(sys.executable).with_name("crosscloud"))
    try:
        run = [sys.executable, "-m", "pytest", "--clouds=local", "--projects=coredns", POOL]
        green = _cell(tmp_path, run, "--refs=stable")
        (first,) = open_store().runs()
        (tmp_path / "conftest.py").write_text(_RED)
        red = _cell(tmp_path, run, "--refs=head", code=1)
        assert red["stages"]["e2e"]["status"] == "failed"
        assert "hosts zone" in str(red["checks"]["failures"])
        (tmp_path / "conftest.py").unlink()

        back = _cell(tmp_path, [crosscloud, "rollback", "coredns", "--cloud=local", POOL])

        assert [pin["digest"] for pin in back["pins"]] == [pin["digest"] for pin in green["pins"]]
        assert back["ref"]["version"] == green["ref"]["version"] != red["ref"]["version"], "not the newest"
        assert f"(run {first.id}, coredns-stable-local)" in back["ref"]["note"]
        assert back["checks"]["counts"] == green["checks"]["counts"]
        assert back["stages"]["provision"]["cached"], "on the cluster of the pool"
    finally:
        for record in open_store().runs():
            clean = [crosscloud, "clean", "--run", record.id, "--yes"]
            subprocess.run(clean, cwd=tmp_path, check=False, capture_output=True, timeout=300)
            machine.destroy_run(record.id)
