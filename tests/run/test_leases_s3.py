"""What a bucket may be: not there, closed to us, or of a server that heeds no conditions. No secret is shown."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pytest_crosscloud.errors import ConfigurationError, CrosscloudError
from pytest_crosscloud.run.leases_s3 import Bucket
from tests import bucket


class _Careless(BaseHTTPRequestHandler):
    """Takes every PUT, as servers from before conditional writes do; or refuses all, and repeats the request."""

    refuses = False

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    do_GET = do_HEAD  # noqa: N815

    def _answer(self) -> None:
        body = b""
        if self.refuses:
            said = self.headers["Authorization"]
            body = f"<Error><Code>SignatureDoesNotMatch</Code><StringToSign>{said}</StringToSign></Error>".encode()
        self.send_response(403 if self.refuses else 200)
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Sun, 22 Nov 2026 03:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def _serving(patch: pytest.MonkeyPatch, handler: type[BaseHTTPRequestHandler]) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        for name, value in bucket.environment(f"http://127.0.0.1:{server.server_port}").items():
            patch.setenv(name, value)
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_a_server_that_heeds_no_conditions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        _serving(monkeypatch, _Careless),
        pytest.raises(ConfigurationError, match="s3://leases/x does not heed If-None-Match"),
    ):
        Bucket("s3://leases/x/")


def test_what_the_server_repeats_of_the_request_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = type("Refusing", (_Careless,), {"refuses": True})
    with _serving(monkeypatch, refusing), pytest.raises(ConfigurationError) as caught:
        Bucket("s3://leases")
    assert caught.value.message == "leases: s3://leases cannot be used: SignatureDoesNotMatch"
    assert not caught.value.__cause__ and caught.value.__suppress_context__
    assert bucket.SECRET not in str(caught.value) and "AKID" not in str(caught.value)


def test_a_server_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in bucket.environment("http://127.0.0.1:1").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        Bucket("s3://leases")
    assert "\n" not in caught.value.message
    assert "AWS_ENDPOINT_URL" in caught.value.remedy


def test_a_bucket_that_goes_away_is_no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    class Once(_Careless):
        conditions = 0

        def do_PUT(self) -> None:
            Once.conditions += 1
            if Once.conditions > 1:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(412)
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                super().do_PUT()

    with _serving(monkeypatch, Once):
        opened = Bucket("s3://leases")
        Once.refuses = True
        with pytest.raises(CrosscloudError, match="SignatureDoesNotMatch") as caught:
            opened.read("x")
    assert not isinstance(caught.value, ConfigurationError)


def test_without_the_package_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *arguments: Any) -> Any:
        if name.startswith("obstore"):
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ConfigurationError) as caught:
        Bucket("s3://leases")
    assert "pytest-crosscloud[s3]" in caught.value.remedy
