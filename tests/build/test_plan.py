"""crosscloud plan with a real strategy that asks git, Go and a module proxy: what it writes, and what it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.build.module_proxy import ModuleProxy

MODULE = "example.test/sample"

#: Git refuses the repository's address at once.
PLUGIN = f"""
from pytest_crosscloud import hookimpl
from pytest_crosscloud.build.go import GoBuild, GoProgram
from pytest_crosscloud.model import Cloud, E2E, Project

@hookimpl
def crosscloud_clouds():
    return [Cloud(name="mine")]

@hookimpl
def crosscloud_projects():
    build = GoBuild(module="{MODULE}", package="./cmd/hello", image="sample/hello")
    e2e = E2E(build=GoProgram(directory="e2e", image="sample/e2e"))
    url = "file:///nonexistent/sample"
    return [Project(name="sample", build=build, chart="sample", repository_url=url, stable_ref="v1.0.0", e2e=e2e)]
"""

MAIN = 'package main\n\nimport "example.test/greeting"\n\nfunc main() { println(greeting.Text) }\n'
GO_MOD = f"module {MODULE}\n\ngo 1.21\n\nrequire example.test/greeting v1.0.0\n"


def test_it_fetches_modules_into_gos_own_cache_and_writes_nothing_else(tmp_path: Path, proxy: ModuleProxy) -> None:
    for version in ("v1.0.0", "v1.1.0"):
        proxy.add(MODULE, version, {"go.mod": GO_MOD, "cmd/hello/main.go": MAIN})
    greeting = {"go.mod": "module example.test/greeting\n", "a.go": 'package greeting\n\nconst Text = "hello"\n'}
    proxy.add("example.test/greeting", "v1.0.0", greeting)
    for name in ("home", "tmp", "root/projects", "root/e2e"):
        (tmp_path / name).mkdir(parents=True)
    root = tmp_path / "root"
    (root / "pytest.ini").write_text("[pytest]\n")
    (root / "projects" / "sample.py").write_text(PLUGIN)
    (root / "e2e" / "go.mod").write_text("module e2e\n\ngo 1.21\n")
    (root / "e2e" / "main.go").write_text("package main\n\nfunc main() {}\n")
    env = {
        **os.environ,
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "GOCACHE": str(tmp_path / "go-build"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    before = set(tmp_path.rglob("*"))
    argv = ["plan", "--clouds=mine", "--projects=sample", "--refs=stable,head"]
    command = [sys.executable, "-c", "from pytest_crosscloud.cli import main; raise SystemExit(main())", *argv]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert rows[0] == ["build", "sample-stable", "build", "v1.0.0"]
    assert rows[1][:3] == ["build", "sample-head", "build"]
    assert rows[1][3].startswith("v1.1.0 (git unreachable")

    assert (tmp_path / "modules" / MODULE).with_name("sample@v1.1.0").is_dir(), "to tell that all of head is served"
    # Go counts its own calls, too: go help telemetry.
    of_go = [tmp_path / name for name in ("modules", "go-build", "home/.config/go")]
    made = {path for path in set(tmp_path.rglob("*")) - before if not any(path.is_relative_to(own) for own in of_go)}
    assert made <= {tmp_path / "home/.config"}
