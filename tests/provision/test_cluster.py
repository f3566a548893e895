from __future__ import annotations

import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pytest_crosscloud.errors import DeadlineExceeded, StageError
from pytest_crosscloud.model import ErrorClass
from pytest_crosscloud.provision import cluster
from pytest_crosscloud.provision.bootstrap import Bootstrap, KeyPair
from pytest_crosscloud.redact import redact
from pytest_crosscloud.stage import StageContext


def node(name: str, *, ready: bool, control_plane: bool = False) -> dict[str, Any]:
    labels = {"node-role.kubernetes.io/control-plane": ""} if control_plane else {}
    return {
        "metadata": {"name": name, "labels": labels},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "192.0.2.7"}],
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


def serving_certificate(ca: KeyPair) -> str:
    """Certificate and key of a server on 127.0.0.1, below ``ca``."""
    authority = x509.load_pem_x509_certificate(ca.certificate.encode())
    signer = serialization.load_pem_private_key(ca.key.encode(), password=None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder(authority.subject, x509.Name([]), key.public_key(), x509.random_serial_number())
        .not_valid_before(authority.not_valid_before_utc)
        .not_valid_after(authority.not_valid_after_utc)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=True)
        .sign(signer, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return (certificate.public_bytes(pem) + private).decode()


GAVE_UP = "error: no such token\ncrosscloud 3.1 FAILED while running kubeadm join\n" + "kubelet: again\n" * 30


class ApiServer:
    """Answers /api/v1/nodes over TLS to the admin alone; each answer is the next of ``answers``, the last for ever."""

    def __init__(self, directory: Path, answers: list[list[dict[str, Any]]]) -> None:
        self.bootstrap = Bootstrap.create()
        self.connections = 0
        self.refusals = 0  #: how often there is no service account yet
        pem = directory / "server.pem"
        pem.write_text(serving_certificate(self.bootstrap.ca))
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                outer.connections += 1
                super().setup()

            def do_GET(self) -> None:
                if self.path == "/api/v1/nodes":
                    items = answers.pop(0) if len(answers) > 1 else answers[0]
                    found = bool(items)
                    body = json.dumps({"items": items}).encode()
                else:
                    assert self.path == "/api/v1/namespaces/default/serviceaccounts/default"
                    found = outer.refusals == 0
                    outer.refusals = max(0, outer.refusals - 1)
                    body = b"{}"
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pem)
        tls.load_verify_locations(cadata=self.bootstrap.ca.certificate)
        tls.verify_mode = ssl.CERT_REQUIRED
        self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.kubeconfig = directory / "kubeconfig"
        self.kubeconfig.write_text(
            self.bootstrap.kubeconfig("test", f"https://127.0.0.1:{self.server.server_address[1]}")
        )


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[StageContext]:
    said: list[str] = []
    yield StageContext("provision x", "0123abcd", tmp_path, deadline=time.monotonic() + 20, on_progress=said.append)
    assert len(said) == len(set(said)), "a line of progress is said once"


@pytest.fixture(autouse=True)
def short_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "INTERVAL", 0.001)


def test_waits_until_all_nodes_are_ready_over_one_connection(tmp_path: Path, stage: StageContext) -> None:
    first, second = node("a", ready=True), node("b", ready=False)
    server = ApiServer(tmp_path, [[], [first], [first, second], [first, node("b", ready=True)]])
    found = cluster.wait_ready(server.kubeconfig, 2, stage)
    assert [item["metadata"]["name"] for item in found] == ["a", "b"]
    assert server.connections == 1


def test_the_deadline_says_what_was_waited_for_and_shows_the_consoles(tmp_path: Path, stage: StageContext) -> None:
    sad = node("a", ready=False)
    sad["status"]["conditions"][0]["message"] = "cni plugin not initialized"
    server = ApiServer(tmp_path, [[sad]])
    stage.deadline = time.monotonic() + 0.3
    with pytest.raises(DeadlineExceeded, match=r"waiting for nodes: 0 of 1 Ready, a: cni plugin not init") as error:
        cluster.wait_ready(server.kubeconfig, 1, stage, lambda: {"a": "line one\nkubelet is sad"})
    assert "console of a:\nline one\nkubelet is sad" in error.value.message


def test_waits_until_pods_are_let_in(tmp_path: Path, stage: StageContext) -> None:
    server = ApiServer(tmp_path, [[node("a", ready=True)]])
    server.refusals = 2
    cluster.wait_ready(server.kubeconfig, 1, stage)
    assert server.refusals == 0


def test_a_stranger_is_not_the_api_server(tmp_path: Path, stage: StageContext) -> None:
    server = ApiServer(tmp_path, [[node("a", ready=True)]])
    server.kubeconfig.write_text(
        Bootstrap.create().kubeconfig("test", f"https://127.0.0.1:{server.server.server_address[1]}")
    )
    stage.deadline = time.monotonic() + 0.3
    with pytest.raises(DeadlineExceeded, match=r"waiting for the API server at .*: .*certificate"):
        cluster.wait_ready(server.kubeconfig, 1, stage)


def test_a_node_that_gave_up_ends_the_wait(
    tmp_path: Path, stage: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONSOLE_INTERVAL", 0.0)
    server = ApiServer(tmp_path, [[node("a", ready=False)]])
    with pytest.raises(StageError, match="b did not become part of the cluster") as error:
        cluster.wait_ready(server.kubeconfig, 2, stage, lambda: {"a": "fine", "b": GAVE_UP})
    assert error.value.error_class is ErrorClass.INFRASTRUCTURE
    assert "console of a" not in error.value.message
    assert error.value.message.endswith("error: no such token\ncrosscloud 3.1 FAILED while running kubeadm join")


def test_identity() -> None:
    assert cluster.identity(node("a", ready=True, control_plane=True)) == ("a", "192.0.2.7", "control-plane")
    assert cluster.identity(node("b", ready=True)) == ("b", "192.0.2.7", "worker")


def test_standalone_takes_in_the_files(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("CA")
    path = tmp_path / "config"
    path.write_text(
        "current-context: c\n"
        "contexts: [{name: c, context: {cluster: x, user: u}}]\n"
        "clusters: [{name: x, cluster: {server: 'https://x', certificate-authority: ca.crt}}]\n"
        "users: [{name: u, user: {token: t}}]\n"
    )
    config = json.loads(cluster.standalone(path))
    assert config["clusters"][0]["cluster"] == {"server": "https://x", "certificate-authority-data": "Q0E="}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "contexts: []",
        "current-context: c\ncontexts: [{name: c, context: {cluster: x, user: u}}]\nclusters: []\nusers: []",
        "current-context: c\ncontexts: [{name: c, context: {cluster: x, user: u}}]\n"
        "clusters: [{name: x, cluster: {server: 'https://x', certificate-authority: gone.crt}}]\nusers: []",
    ],
)
def test_what_is_no_kubeconfig_is_the_users_fault(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(StageError, match="is not a usable KUBECONFIG") as error:
        cluster.standalone(tmp_path / "config")
    assert error.value.error_class is ErrorClass.CONFIGURATION


@pytest.mark.parametrize("opened", [cluster.Api, cluster.standalone])
def test_a_kubeconfigs_secrets_are_redacted_once_it_is_opened(tmp_path: Path, opened: Any) -> None:
    token = f"a-token-for-{opened.__name__}"
    config = json.loads(Bootstrap.create().kubeconfig("c", "https://127.0.0.1:1"))
    config["users"][0]["user"]["token"] = token
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    assert token in redact(f"is {token}")
    opened(kubeconfig)
    assert token not in redact(f"is {token}")
