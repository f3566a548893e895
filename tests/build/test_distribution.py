"""The registry client, against a registry that asks for tokens and fails as real ones do."""

from __future__ import annotations

import base64
import json
import multiprocessing
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud.build import distribution
from pytest_crosscloud.build.distribution import RegistryUnreachable, Repository
from pytest_crosscloud.build.images import File, ImageConfig, Layout, write
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.redact import redact

TOKEN = "a-token-that-opens"


class Handler(BaseHTTPRequestHandler):
    """A registry with one repository, ``some/image``, open to whoever fetched a token."""

    server: Server

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        server = self.server
        authorization = self.headers.get("Authorization", "")
        server.asked.append((self.path, authorization))
        if self.path.startswith("/token"):
            self._answer(200, {}, json.dumps({"token": TOKEN}).encode())
        elif server.status:
            self._answer(server.status, {}, b"broken")
        elif server.closed and authorization != f"Bearer {TOKEN}":
            realm = f'Bearer realm="http://{server.host}/token",service="this,that",scope="ignored"'
            self._answer(401, {"WWW-Authenticate": realm}, b"")
        elif self.path == "/v2/some/image/manifests/v1":
            self._answer(200, {"Docker-Content-Digest": "sha256:abc"}, b"")
        elif self.path == "/v2/some/image/tags/list?n=1000":
            more = {"Link": '</v2/some/image/tags/list?n=1000&last=v1>; rel="next"'}
            self._answer(200, more, b'{"tags": ["v1"]}')
        elif self.path == "/v2/some/image/tags/list?n=1000&last=v1":
            self._answer(200, {}, b'{"tags": ["v2"]}')
        else:
            self._answer(404, {}, b"")

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        return


class Server(ThreadingHTTPServer):
    closed = False  #: wants a token
    status = 0  #: the answer to everything

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server_address[1]}"
        self.asked: list[tuple[str, str]] = []

    @property
    def image(self) -> Repository:
        return Repository(self.host, "some/image")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setattr(distribution, "_tokens", {})
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("text", "host", "name"),
    [
        ("alpine", "docker.io", "library/alpine"),
        ("coredns/coredns", "docker.io", "coredns/coredns"),
        ("docker.io/alpine", "docker.io", "library/alpine"),
        ("index.docker.io/a/b", "docker.io", "a/b"),
        ("quay.io/a/b/c", "quay.io", "a/b/c"),
        ("localhost/a", "localhost", "a"),
        ("registry:5000/a", "registry:5000", "a"),
    ],
)
def test_names_are_read_as_container_tools_read_them(text: str, host: str, name: str) -> None:
    assert Repository.parse(text) == Repository(host, name)


def test_a_token_is_fetched_when_one_is_wanted_and_used_again(server: Server) -> None:
    server.closed = True
    assert server.image.digest("v1") == "sha256:abc"
    assert server.image.digest("v1") == "sha256:abc"
    tokens = [path for path, _ in server.asked if path.startswith("/token")]
    assert tokens == ["/token?service=this%2Cthat&scope=repository%3Asome%2Fimage%3Apull"]
    assert TOKEN not in redact(f"it is {TOKEN}")


def test_who_logged_in_asks_for_the_token_by_name(server: Server, tmp_path: Path) -> None:
    server.closed = True
    encoded = base64.b64encode(b"user:a-secret-password").decode()
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": {server.host: {"auth": encoded}}}))
    assert server.image.digest("v1")
    assert [authorization for path, authorization in server.asked if "/token" in path] == [f"Basic {encoded}"]
    assert "a-secret-password" not in redact("a-secret-password")


def test_a_tag_that_is_not_there_has_no_digest(server: Server) -> None:
    assert server.image.digest("v3") is None
    assert Repository(server.host, "no/such").tags() == []


def test_all_pages_of_tags_are_read(server: Server) -> None:
    assert server.image.tags() == ["v1", "v2"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_registry_that_cannot_answer_counts_as_unreachable(server: Server, status: int) -> None:
    server.status = status
    with pytest.raises(RegistryUnreachable, match=f"registry {server.host} unreachable: .*{status}") as caught:
        server.image.digest("v1")
    assert caught.value.error_class == "infrastructure"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_a_matter_of_configuration(server: Server, status: int) -> None:
    server.status = status
    with pytest.raises(StageError, match="refuses access to some/image") as caught:
        server.image.digest("v1")
    assert caught.value.error_class == "configuration"
    assert f"docker login {server.host}" in caught.value.remedy


def test_a_registry_that_is_not_there_is_unreachable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(RegistryUnreachable, match=f"registry {host} unreachable: .*refused"):
            Repository(host, "some/image").digest("v1")


def test_plain_http_is_found_out_where_a_registry_does_not_speak_tls(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distribution, "_PLAIN", ())  # as if it were on another computer
    distribution.plain_http.cache_clear()
    assert distribution.plain_http(server.host)
    distribution.plain_http.cache_clear()
    with pytest.raises(RegistryUnreachable):
        distribution.plain_http("127.0.0.1:1")


def test_docker_hub_is_asked_over_tls_where_its_api_is() -> None:
    assert distribution.base_url("docker.io") == "https://registry-1.docker.io"
    assert distribution.base_url("198.18.0.7:5000") == "http://198.18.0.7:5000"


def test_a_pushed_image_is_there_and_pushing_again_changes_nothing(registry_host: str, tmp_path: Path) -> None:
    image = write(tmp_path / "image", [File("/a", b"a")], ImageConfig("amd64", ["/a"]))
    repository = Repository(registry_host, "pushed/image")
    assert repository.digest("v1") is None
    assert repository.push(image, "v1") == image.manifest.digest
    assert repository.push(image, "v2") == image.manifest.digest
    assert sorted(repository.tags()) == ["v1", "v2"]
    assert repository.manifest("v1")["layers"][0]["digest"] == list(image.blobs())[1].digest


def _push_all(host: str, images: list[Path], together: Barrier) -> None:
    for image in images:
        together.wait(60)
        Repository(host, "contended/image").push(Layout(image), "v1")


def test_processes_that_push_the_same_at_once_do_not_spoil_it(registry_host: str, tmp_path: Path) -> None:
    images = [tmp_path / str(number) for number in range(20)]
    for image in images:
        write(image, [File("/a", image.name.encode())], ImageConfig("amd64", ["/a"]))
    together = multiprocessing.Barrier(4)
    pushes = [multiprocessing.Process(target=_push_all, args=(registry_host, images, together)) for _ in range(4)]
    for push in pushes:
        push.start()
    for push in pushes:
        push.join(120)
    assert [push.exitcode for push in pushes] == [0] * 4


def test_an_image_that_is_there_is_not_written_again(
    registry_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = write(tmp_path / "image", [File("/a", b"a")], ImageConfig("amd64", ["/a"]))
    repository = Repository(registry_host, "pushed/once")
    repository.push(image, "v1")
    sent = []
    send = distribution._send

    def record(method: str, *arguments: Any) -> Any:
        sent.append(method)
        return send(method, *arguments)

    monkeypatch.setattr(distribution, "_send", record)
    repository.push(image, "v1")
    assert sent == ["HEAD"]
