"""Bad input, seen as a whole run: a registry that refuses the push, and an e2e that hangs past its deadline."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from .conftest import Rootdir

SELECT = ("--clouds=here", "--projects=demo", "--refs=stable,head")

GREEN = dict.fromkeys(("build", "provision", "deploy", "e2e"), "success")

#: A build that does push, where the stand-ins only say so.
_PUSHES = """
from pytest_crosscloud import hookimpl
from pytest_crosscloud.build.distribution import Repository
from pytest_crosscloud.build.images import File, ImageConfig, write

@hookimpl(tryfirst=True)
def crosscloud_build(request):
    if request.ref.name == "head":
        image = write(request.stage.directory / "image", [File("/a", b"a")], ImageConfig("amd64", ["/a"]))
        Repository.at(request.registry, "demo").push(image, "v1", request.stage)
"""

#: What the e2e of a container says, when that does not end in its time.
_HANGS = """
from pytest_crosscloud import hookimpl
from pytest_crosscloud.errors import DeadlineExceeded
from pytest_crosscloud.model import ErrorClass

@hookimpl(tryfirst=True)
def crosscloud_e2e(request):
    if request.artifacts.ref.name == "head":
        raise DeadlineExceeded("the e2e container did not end within 1 s", error_class=ErrorClass.PRODUCT)
"""


@contextmanager
def refusing(status: int) -> Iterator[str]:
    """A registry that has nothing and answers every write with ``status``: its host."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

        def do_GET(self) -> None:
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815

        def do_POST(self) -> None:
            self.send_error(status)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def cells(rootdir: Rootdir) -> dict[str, Any]:
    written = json.loads((rootdir.out / "results.json").read_text())
    assert written["run"]["status"] == "failed"
    return {cell["id"]: cell for cell in written["cells"]}


def statuses(cell: dict[str, Any]) -> dict[str, str]:
    return {name: stage["status"] for name, stage in cell["stages"].items()}


def said(result: pytest.RunResult) -> str:
    """What was shown, without the breaks of its lines."""
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    return " ".join(result.stdout.str().split())


@pytest.mark.parametrize(
    ("status", "error_class", "words", "attempts"),
    [(403, "configuration", "refuses the push to demo", 1), (507, "infrastructure", "has no room for demo", 2)],
)
def test_a_registry_that_refuses_the_push(
    rootdir: Rootdir, status: int, error_class: str, words: str, attempts: int
) -> None:
    rootdir.configure("retries: {attempts: 2, backoff: 0}")
    rootdir.pytester.makeconftest(_PUSHES)
    with refusing(status) as host:
        result = rootdir.run("-n", "2", *SELECT, registry=host)
    assert result.ret == 1
    result.assert_outcomes(passed=3, failed=1, skipped=1)
    found = cells(rootdir)
    assert statuses(found["demo-stable-here"]) == GREEN, "the others go on"
    red = found["demo-head-here"]
    assert (red["status"], statuses(red)) == ("n/a", {**GREEN, "build": "failed", "deploy": "n/a", "e2e": "n/a"})
    build = red["stages"]["build"]
    assert (build["error"]["class"], build["attempts"]) == (error_class, attempts)
    assert f"registry {host} {words}" in build["error"]["message"]
    assert {red["stages"][name]["upstream"] for name in ("deploy", "e2e")} == {"build demo-head"}
    assert f"registry {host} {words}" in said(result)
    assert f"build demo-head ({error_class}): " in said(result)
    assert build["error"]["remedy"] and build["error"]["remedy"] in said(result)


@pytest.mark.parametrize("whose", ["container", "hook"])
def test_an_e2e_that_hangs(rootdir: Rootdir, whose: str) -> None:
    """Its container's time over is the project's fault; that of a hook of somebody's, nobody knows whose."""
    if whose == "container":
        rootdir.pytester.makeconftest(_HANGS)
        error_class, words = "product", "the e2e container did not end within 1 s"
    else:
        rootdir.make("e2e demo-head-here", "hang")
        rootdir.configure("timeouts: {e2e: 2}")
        error_class, words = "infrastructure", "deadline exceeded while"
    result = rootdir.run("-n", "2", *SELECT)
    assert result.ret == 1
    result.assert_outcomes(passed=4, failed=1)
    found = cells(rootdir)
    assert statuses(found["demo-stable-here"]) == GREEN
    red = found["demo-head-here"]
    assert (red["status"], statuses(red)) == ("failed", {**GREEN, "e2e": "failed"})
    e2e = red["stages"]["e2e"]
    assert (e2e["error"]["class"], e2e["attempts"]) == (error_class, 1), "nothing would come of another attempt"
    assert words in e2e["error"]["message"]
    assert f"e2e demo-head-here ({error_class}): " in said(result) and words in said(result)
    assert rootdir.ledger("destroy") == ["destroy here"], "nothing is left running"
