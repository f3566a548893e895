"""The registry client, against a registry that asks for tokens and fails as real ones do."""

from __future__ import annotations

import base64
import hashlib
import json
import multiprocessing
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud.build import distribution, registry
from pytest_crosscloud.build.distribution import ImageTooLarge, RegistryUnreachable, Repository
from pytest_crosscloud.build.images import INDEX, File, ImageConfig, Layout, write
from pytest_crosscloud.errors import DeadlineExceeded, StageError
from pytest_crosscloud.provision.bootstrap import Bootstrap
from pytest_crosscloud.redact import redact
from pytest_crosscloud.stage import StageContext
from tests.provision.test_cluster import serving_certificate

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
            realm = f'Bearer realm="{server.realm}/token",service="this,that",scope="ignored"'
            self._answer(401, {"WWW-Authenticate": realm}, b"")
        elif self.path == "/v2/some/image/manifests/v1":
            self._answer(200, {"Docker-Content-Digest": "sha256:abc"}, b"")
        elif self.path == "/v2/some/image/tags/list?n=1000":
            more = {"Link": '</v2/some/image/tags/list?n=1000&last=v1>; rel="next"'}
            self._answer(200, more, b'{"tags": ["v1"]}')
        elif self.path == "/v2/some/image/tags/list?n=1000&last=v1":
            self._answer(200, {}, b'{"tags": ["v2"]}')
        elif self.path in server.served:
            self._answer(200, {}, json.dumps(server.served[self.path]).encode())
        elif server.content and "/manifests/" in self.path:
            self._answer(200, {"Content-Type": INDEX}, server.content)
        else:
            self._answer(404, {}, b"")

    def do_POST(self) -> None:
        self._answer(self.server.writes, {}, b"no")

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
    content = b""  #: the answer to whoever asks for a manifest
    writes = 0  #: the answer to whoever begins an upload

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server_address[1]}"
        self.realm = f"http://{self.host}"
        self.asked: list[tuple[str, str]] = []
        self.served: dict[str, object] = {}  #: what is there beside, by path

    @property
    def image(self) -> Repository:
        return Repository(self.host, "some/image")


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setattr(distribution, "_tokens", {})
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    with serving() as server:
        yield server


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the server were on another computer."""
    monkeypatch.setattr(distribution, "_PLAIN", ())


@pytest.fixture
def tls_server(server: Server, outside: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Server:
    """The server behind TLS."""
    ca = Bootstrap.create().ca
    (tmp_path / "ca.pem").write_text(ca.certificate)
    (tmp_path / "server.pem").write_text(serving_certificate(ca))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.realm = f"https://{server.host}"
    return server


@pytest.fixture
def login(server: Server, tmp_path: Path) -> str:
    """Somebody logged in; what is returned opens the registry."""
    encoded = base64.b64encode(b"user:a-secret-password").decode()
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": {server.host: {"auth": encoded}}}))
    return f"Basic {encoded}"


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


def test_who_logged_in_asks_for_the_token_by_name(tls_server: Server, login: str) -> None:
    tls_server.closed = True
    assert tls_server.image.digest("v1")
    assert [authorization for path, authorization in tls_server.asked if "/token" in path] == [login]
    assert "a-secret-password" not in redact("a-secret-password")


def test_a_login_is_not_sent_over_plain_http(server: Server, login: str) -> None:
    server.closed = True
    assert server.image.digest("v1")
    assert login not in [authorization for _, authorization in server.asked]


def test_a_login_is_not_sent_to_a_server_of_tokens_without_tls(tls_server: Server, login: str) -> None:
    tls_server.closed = True
    with serving() as tokens:
        tls_server.realm = f"http://{tokens.host}"
        assert tls_server.image.digest("v1")
        assert [authorization for _, authorization in tokens.asked] == [""]


def test_a_tag_that_is_not_there_has_no_digest(server: Server) -> None:
    assert server.image.digest("v3") is None
    assert Repository(server.host, "no/such").tags() == []


def test_all_pages_of_tags_are_read(server: Server) -> None:
    assert server.image.tags() == ["v1", "v2"]


def test_an_index_is_there_with_the_images_that_it_names(server: Server) -> None:
    entries = [
        {"digest": "sha256:amd", "platform": {"architecture": "amd64"}},
        {"digest": "sha256:arm", "platform": {"architecture": "arm64"}},
    ]
    image = {"config": {"digest": "sha256:config"}, "layers": [{"digest": "sha256:layer"}]}
    there = "/v2/some/image/manifests/sha256:index", "/v2/some/image/manifests/sha256:amd"
    server.served = dict(zip(there, ({"manifests": entries}, image), strict=True))
    server.served["/v2/some/image/blobs/sha256:config"] = "config"
    assert not server.image.has("sha256:index", arch="amd64"), "its image lacks a layer"

    server.served["/v2/some/image/blobs/sha256:layer"] = "layer"
    assert server.image.has("sha256:index", arch="amd64")
    assert not server.image.has("sha256:index"), "one of its images is gone"
    assert not server.image.has("sha256:index", arch="s390x")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_registry_that_cannot_answer_counts_as_unreachable(server: Server, status: int) -> None:
    server.status = status
    with pytest.raises(RegistryUnreachable, match=f"registry {server.host} unreachable: .*{status}") as caught:
        server.image.digest("v1")
    assert caught.value.error_class == "infrastructure"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_a_matter_of_configuration(tls_server: Server, status: int) -> None:
    tls_server.status = status
    with pytest.raises(StageError, match="refuses access to some/image") as caught:
        tls_server.image.digest("v1")
    assert caught.value.error_class == "configuration"
    assert f"docker login {tls_server.host}" in caught.value.remedy


def test_a_registry_that_is_not_there_is_unreachable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(RegistryUnreachable, match=f"registry {host} unreachable: .*refused"):
            Repository(host, "some/image").digest("v1")


def test_a_registry_that_fails_the_tls_handshake_is_not_spoken_to_over_http(server: Server, outside: None) -> None:
    with pytest.raises(RegistryUnreachable) as caught:
        server.image.digest("v1")
    assert f"http://{server.host}" in caught.value.remedy
    assert server.asked == []


def test_a_registry_that_is_named_with_http_is_spoken_to_over_http(server: Server, outside: None) -> None:
    image = Repository.at(f"http://{server.host}", "some/image")
    assert image.digest("v1") == "sha256:abc"
    assert str(image) == f"{server.host}/some/image"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("docker.io", "https://registry-1.docker.io"),
        ("198.18.0.7:5000", "http://198.18.0.7:5000"),
        ("198.18.15.254:5000", "http://198.18.15.254:5000"),
        ("198.18.16.1:5000", "https://198.18.16.1:5000"),
        ("localhost", "http://localhost"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("registry.example:5000", "https://registry.example:5000"),
        ("10.0.0.1:5000", "https://10.0.0.1:5000"),
    ],
)
def test_only_inside_of_this_computer_http_is_plain(host: str, url: str) -> None:
    assert Repository(host, "some/image").url == url


@pytest.fixture
def image(tmp_path: Path) -> Layout:
    return write(tmp_path / "image", [File("/a", b"a")], ImageConfig("amd64", ["/a"]))


def test_a_push_ends_with_its_stage_when_nothing_answers(image: Layout, stage: StageContext) -> None:
    stage.deadline = time.monotonic() + 0.3
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(DeadlineExceeded, match="while pushing silent/image"):
            Repository(host, "silent/image").push(image, "v1", stage)


def test_an_answer_that_trickles_ends_with_its_stage(stage: StageContext) -> None:
    """Each byte comes long before the socket's own timeout, and the last one never."""
    stage.progress("looking up slow/image:v1")
    stage.deadline = time.monotonic() + 0.5
    over = threading.Event()
    sent: list[bytes] = []

    def trickle(listening: socket.socket) -> None:
        with suppress(OSError), listening.accept()[0] as connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while len(sent) < 1000 and not over.wait(0.01):
                connection.sendall(b" ")
                sent.append(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=trickle, args=(listening,))
        thread.start()
        try:
            with pytest.raises(DeadlineExceeded, match="while looking up slow/image:v1"):
                Repository(f"127.0.0.1:{listening.getsockname()[1]}", "slow/image").manifest("v1", stage)
            assert len(sent) < 1000, "all of the answer was waited for"
        finally:
            over.set()
            thread.join(10)


def test_a_push_that_another_process_holds_up_says_so(image: Layout, stage: StageContext, server: Server) -> None:
    stage.deadline = time.monotonic() + 0.3
    with (
        distribution._pushing("some/image", replace(stage, deadline=time.monotonic() + 60)),
        pytest.raises(DeadlineExceeded, match="waiting for another process, which is pushing some/image"),
    ):
        server.image.push(image, "v1", stage)


@pytest.mark.parametrize(
    ("status", "said", "error_class", "remedy"),
    [
        (401, "refuses the push to some/image", "configuration", "docker login"),
        (403, "refuses the push to some/image", "configuration", "docker login"),
        (405, "takes no push to some/image: it is read-only", "configuration", "--registry HOST"),
        (507, "has no room for some/image", "infrastructure", "free some space"),
        (500, "unreachable: it answers", "infrastructure", ""),
    ],
)
def test_a_push_that_is_refused_says_why(
    tls_server: Server, image: Layout, stage: StageContext, status: int, said: str, error_class: str, remedy: str
) -> None:
    tls_server.writes = status
    with pytest.raises(StageError, match=f"registry {tls_server.host} {said}.*HTTP {status}") as caught:
        tls_server.image.push(image, "new", stage)
    assert caught.value.error_class == error_class
    assert remedy in caught.value.remedy


def _own_registry(directory: Path, storage: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> registry.Registry:
    """docker-registry as a run has it, with other settings of its storage."""
    if not shutil.which("docker-registry"):
        pytest.skip("docker-registry is not installed")
    dumps = json.dumps

    def configured(config: Any) -> str:
        for key, value in storage.items():
            config["storage"][key] |= value
        return dumps(config)

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(json, "dumps", configured)
    try:
        return registry.start(f"test-{uuid.uuid4()}", directory, lambda spec: None, storage=directory / "storage")
    finally:
        monkeypatch.undo()


def test_a_real_registry_that_is_read_only(
    image: Layout, tmp_path: Path, stage: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = _own_registry(tmp_path, {"maintenance": {"readonly": {"enabled": True}}}, monkeypatch)
    try:
        with pytest.raises(StageError, match=r"takes no push to some/image: it is read-only \(HTTP 405\)"):
            Repository(started.host, "some/image").push(image, "v1", stage)
    finally:
        registry.release(started.spec)


@pytest.mark.root
def test_a_real_registry_whose_disk_is_full(
    tmp_path: Path, stage: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = write(tmp_path / "large", [File("/a", b"a" * (3 << 20))], ImageConfig("amd64", ["/a"]))
    small = tmp_path / "run" / "storage"
    small.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    try:
        started = _own_registry(tmp_path / "run", {}, monkeypatch)
        try:
            # Half of the time the kernel drops its answer, because it closes before it has read all that was sent.
            with pytest.raises(StageError, match=r"has no room for some/large|it may have no room") as caught:
                Repository(started.host, "some/large").push(large, "v1", stage)
            assert caught.value.error_class == "infrastructure"
        finally:
            registry.release(started.spec)
    finally:
        subprocess.run(["umount", "--lazy", small], check=True)


def test_an_upload_says_how_far_it_is(
    registry_host: str, tmp_path: Path, stage: StageContext, progress: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distribution, "_SHOWN", 1 << 20)
    large = write(tmp_path / "large", [File("/a", b"a" * (3 << 20))], ImageConfig("amd64", ["/a"]))
    Repository(registry_host, "pushed/large").push(large, "v1", stage)
    shown = [f"pushing to {registry_host}: {part} of 3 MiB" for part in (1, 2, 3)]
    assert progress == ["pushing pushed/large", *shown]


def test_a_pushed_image_is_there_and_pushing_again_changes_nothing(
    registry_host: str, image: Layout, stage: StageContext
) -> None:
    repository = Repository(registry_host, "pushed/image")
    assert repository.digest("v1") is None
    assert repository.push(image, "v1", stage) == image.manifest.digest
    assert repository.push(image, "v2", stage) == image.manifest.digest
    assert sorted(repository.tags()) == ["v1", "v2"]
    assert repository.manifest("v1")["layers"][0]["digest"] == list(image.blobs())[1].digest


def test_what_is_pulled_is_what_was_pushed(
    registry_host: str, image: Layout, tmp_path: Path, stage: StageContext
) -> None:
    repository = Repository(registry_host, "pulled/image")
    digest = repository.push(image, "v1", stage)
    pulled = repository.pull(digest, tmp_path / "pulled", stage, limit=1 << 20)
    assert pulled.manifest == image.manifest
    blobs = [image.manifest, *image.blobs()]
    assert [pulled.path(blob.digest).read_bytes() for blob in blobs] == [
        image.path(blob.digest).read_bytes() for blob in blobs
    ]
    with pytest.raises(ImageTooLarge, match=r"pulled/image@sha256:\w+ has 0 MiB"):
        repository.pull(digest, tmp_path / "large", stage, limit=100)


def test_a_pull_takes_nothing_that_its_digest_does_not_say(server: Server, tmp_path: Path, stage: StageContext) -> None:
    with pytest.raises(StageError, match="HTTP 404"):
        server.image.pull("sha256:" + "0" * 64, tmp_path / "absent", stage, limit=100)
    server.content = b'{"manifests": []}'
    with pytest.raises(StageError, match="the registry sent something else as sha256:000"):
        server.image.pull("sha256:" + "0" * 64, tmp_path / "other", stage, limit=100)
    digest = f"sha256:{hashlib.sha256(server.content).hexdigest()}"
    with pytest.raises(StageError, match="is an index of several images"):
        server.image.pull(digest, tmp_path / "index", stage, limit=100)


def _push_all(host: str, images: list[Path], together: Barrier, stage: StageContext) -> None:
    for image in images:
        together.wait(60)
        Repository(host, "contended/image").push(Layout(image), "v1", stage)


def test_processes_that_push_the_same_at_once_do_not_spoil_it(
    registry_host: str, tmp_path: Path, stage: StageContext
) -> None:
    images = [tmp_path / str(number) for number in range(20)]
    for image in images:
        write(image, [File("/a", image.name.encode())], ImageConfig("amd64", ["/a"]))
    together = multiprocessing.Barrier(4)
    pushes = [
        multiprocessing.Process(target=_push_all, args=(registry_host, images, together, stage)) for _ in range(4)
    ]
    for push in pushes:
        push.start()
    for push in pushes:
        push.join(120)
    assert [push.exitcode for push in pushes] == [0] * 4


def test_an_image_that_is_there_is_not_written_again(
    registry_host: str, image: Layout, stage: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Repository(registry_host, "pushed/once")
    repository.push(image, "v1", stage)
    sent = []
    send = distribution._send

    def record(method: str, *arguments: Any) -> Any:
        sent.append(method)
        return send(method, *arguments)

    monkeypatch.setattr(distribution, "_send", record)
    repository.push(image, "v1", stage)
    assert sent == ["HEAD"]
