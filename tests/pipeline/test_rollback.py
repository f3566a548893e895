"""crosscloud rollback: back to what was green, by digest."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Rootdir

DIGEST = "sha256:" + "0" * 64
DEMO = ("--clouds=here", "--projects=demo")


class Registry:
    """A registry that has the stand-ins' image until it is told that it has not."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.has = {f"manifests/{DIGEST}", "blobs/sha256:1", "blobs/sha256:2"}
        self.asked: list[str] = []


@pytest.fixture
def registry() -> Iterator[Registry]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            return

        def do_GET(self) -> None:
            name = self.path.removeprefix("/v2/demo/")
            found.asked.append(name)
            manifest = {"config": {"digest": "sha256:1"}, "layers": [{"digest": "sha256:2"}]}
            body = json.dumps(manifest).encode() if name in found.has else b""
            self.send_response(200 if name in found.has else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Registry(f"127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


def rollback(rootdir: Rootdir, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("crosscloud")
    command = [str(program), "rollback", *arguments]
    return subprocess.run(command, cwd=rootdir.path, capture_output=True, text=True, timeout=120)


def cells(rootdir: Rootdir) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((rootdir.out / "results.json").read_text())["cells"]
    return found


def test_the_last_green_pins_are_installed_again_and_tested(rootdir: Rootdir, registry: Registry) -> None:
    rootdir.run(*DEMO, "--refs=stable", registry=registry.host)
    green = cells(rootdir)[0]
    run = rootdir.last_run
    rootdir.make("e2e demo-v2-here-red", "")
    assert rootdir.run(*DEMO, "--refs=v2", registry=registry.host).ret == 1

    # What is in the directory's addopts is for its own runs.
    rootdir.pytester.makeini("[pytest]\naddopts = --projects=other --refs=stable\n")
    done = rollback(rootdir, "demo", "--cloud=here", f"--registry={registry.host}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"crosscloud: rollback to v1.0.0 (run {run}, demo-stable-here)\n")
    (cell,) = cells(rootdir)
    assert (cell["id"], cell["status"]) == ("demo-rollback-here", "success")
    assert (cell["ref"]["name"], cell["ref"]["version"]) == ("rollback", "v1.0.0")
    assert cell["ref"]["note"] == f"rollback to v1.0.0 (run {run}, demo-stable-here)"
    assert [pin["digest"] for pin in cell["pins"]] == [pin["digest"] for pin in green["pins"]]
    assert rootdir.ledger("start build") == ["start build demo-stable", "start build demo-v2"], "nothing is built"
    assert rootdir.ledger("start e2e")[-1] == "start e2e demo-rollback-here"
    assert {f"manifests/{DIGEST}", "blobs/sha256:1", "blobs/sha256:2"} <= set(registry.asked)
    assert cell["repeat"] == (
        "pytest --clouds=here --projects=demo --refs=rollback --kubernetes=v1.36.3"
        f" --registry={registry.host} --rollback={run}:demo-stable-here"
    )


def test_workers_take_the_same_cell_and_the_run_may_be_named(rootdir: Rootdir, registry: Registry) -> None:
    rootdir.configure("kubernetes: {old: v1.2.3, new: v1.3.0}")
    rootdir.run(*DEMO, "--refs=stable,head", "--kubernetes=old", registry=registry.host)
    first = rootdir.last_run
    rootdir.run(*DEMO, "--refs=head", registry=registry.host)
    result = rootdir.run(*DEMO, f"--rollback={first[:6]}", "-n", "2", registry=registry.host)
    assert result.ret == 0
    result.assert_outcomes(passed=3)
    (cell,) = cells(rootdir)
    assert cell["ref"]["version"] == "v1.0.0", "stable comes before head"
    assert cell["kubernetes"]["version"] == "v1.2.3", "as it was green"
    assert rootdir.run(*DEMO, "--rollback=last-success", "--kubernetes=new", registry=registry.host).ret == 0
    assert cells(rootdir)[0]["kubernetes"]["version"] == "v1.3.0"


@pytest.mark.parametrize("gone", [f"manifests/{DIGEST}", "blobs/sha256:2"])
def test_an_image_that_is_gone_is_told_with_a_remedy(rootdir: Rootdir, registry: Registry, gone: str) -> None:
    rootdir.run(*DEMO, "--refs=stable", registry=registry.host)
    registry.has.remove(gone)
    done = rollback(rootdir, "demo", "--cloud=here", f"--registry={registry.host}")
    assert done.returncode == 1
    (cell,) = cells(rootdir)
    assert cell["status"] == "n/a"
    error = cell["stages"]["build"]["error"]
    assert error["class"] == "configuration"
    assert "is gone" in error["message"]
    assert error["remedy"] == "build that version again: pytest --clouds=here --projects=demo --refs=v1.0.0"


def test_without_a_green_cell_it_says_what_there_is(rootdir: Rootdir, registry: Registry) -> None:
    done = rollback(rootdir, "demo", "--cloud=here")
    assert (done.returncode, done.stdout) == (4, "")
    assert "no cell of demo on here was green; there is: none of it at all" in done.stderr
    rootdir.make("e2e demo-stable-here-red", "")
    rootdir.run(*DEMO, "--refs=stable", registry=registry.host)
    run = rootdir.last_run
    done = rollback(rootdir, "demo", "--cloud=here", "--to", run)
    assert done.returncode == 4
    assert f"was green in run {run}; there is: run {run}, demo-stable-here: failed" in done.stderr
    for project, cloud, unknown in (
        ("dmeo", "here", "no run had a project 'dmeo'; did you mean 'demo'? known: demo"),
        ("demo", "heer", "no run had a cloud 'heer'; did you mean 'here'? known: here"),
    ):
        done = rollback(rootdir, project, f"--cloud={cloud}")
        assert (done.returncode, unknown in done.stderr) == (4, True), done.stderr
    done = rollback(rootdir, "demo", "--cloud=here", "--to=nosuch")
    assert (done.returncode, "there is no run 'nosuch'" in done.stderr) == (4, True)
    for arguments, said in (
        ((*DEMO, "--rollback=last-success", "--refs=head"), "--rollback says what to install"),
        (("--clouds=here,there", "--projects=demo", "--rollback=last-success"), "one project on one cloud"),
        (("--clouds=here", "--projects=orchestra", "--rollback=last-success"), "is what clusters are made of"),
    ):
        result = rootdir.run(*arguments)
        assert result.ret == 4
        result.stderr.fnmatch_lines([f"*{said}*"])
