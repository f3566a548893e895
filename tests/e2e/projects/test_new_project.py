"""What ``crosscloud new project`` writes, as docs/projects.md has it: its first cell is green."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.job import DEADLINE
from tests.test_install import install

pytestmark = pytest.mark.root


def test_the_first_cell_of_a_new_project_is_green(tmp_path: Path) -> None:
    crosscloud = str(Path(sys.executable).with_name("crosscloud"))
    subprocess.run([crosscloud, "new", "project", "tally"], cwd=tmp_path, check=True, timeout=60)
    package = tmp_path / "pytest-crosscloud-tally"
    site = install(package, tmp_path / "site", tmp_path / "dist")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--clouds=local", "--projects=tally", "--refs=stable"],
        cwd=package,
        env={**os.environ, "PYTHONPATH": str(site)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    (cell,) = json.loads((package / "reports/out/results.json").read_text())["cells"]
    assert cell["project"] == "tally"
    assert [cell["stages"][name]["status"] for name in ("build", "provision", "deploy", "e2e")] == ["success"] * 4
    assert cell["checks"]["counts"]["passed"] > 0
    assert cell["checks"]["counts"]["failed"] == 0
    assert [pin["image"].partition("/")[2] for pin in cell["pins"]] == ["tally/tally", "tally/e2e"]
