"""A web server of release archives, a cache of one's own, and programs that only say their version."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pytest_crosscloud import paths
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.toolchain import download


@dataclass
class Releases:
    """What the server has, by path below its root; ``broken`` answers break off half way, that many times."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)  #: "METHOD /path"

    def add(self, path: str, content: bytes, algorithm: str = "sha256") -> str:
        """Serve a file; its checksum as pins have it."""
        self.files[path] = content
        return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


@pytest.fixture
def releases(monkeypatch: pytest.MonkeyPatch) -> Iterator[Releases]:
    """A mirror of the official sites, and the only one that can be reached."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(b"")

        def do_GET(self) -> None:
            self._answer(None)

        def _answer(self, body: bytes | None) -> None:
            path = self.path.lstrip("/")
            served.requests.append(f"{self.command} {self.path}")
            content = served.files.get(path)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if served.broken.get(path) and body is None:
                served.broken[path] -= 1
                content = content[: len(content) // 2]
            self.wfile.write(content if body is None else body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Releases(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("CROSSCLOUD_MIRROR", served.url)
    monkeypatch.setattr(download, "_reachable", {})
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No official site answers: a port that nobody listens on."""
    monkeypatch.setenv("CROSSCLOUD_MIRROR", "http://127.0.0.1:9")
    monkeypatch.setattr(download, "_reachable", {})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package's cache. Go keeps its own, where it has the standard library compiled."""
    monkeypatch.setenv("GOCACHE", os.environ.get("GOCACHE", str(paths.cache().with_name("go-build"))))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "crosscloud"


@pytest.fixture
def said() -> list[str]:
    """What ``stage`` reported as progress."""
    return []


@pytest.fixture
def stage(tmp_path: Path, said: list[str]) -> StageContext:
    return StageContext(key="setup", run="", directory=tmp_path / "log", on_progress=said.append)


@dataclass(frozen=True)
class Programs:
    """A PATH of one's own: the programs that are put there, and nothing else."""

    directory: Path

    def put(self, name: str, script: str) -> Path:
        program = self.directory / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return program


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    directory = tmp_path / "programs"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    return Programs(directory)


def tarball(members: Mapping[str, bytes], mode: int = 0o755) -> bytes:
    """A .tar.gz of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
