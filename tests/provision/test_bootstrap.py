from __future__ import annotations

import base64
import json
import re
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from pytest_crosscloud.provision.bootstrap import LIFETIME, Bootstrap, KeyPair, write_secret
from pytest_crosscloud.redact import PLACEHOLDER, redact


@pytest.fixture(scope="module")
def bootstrap() -> Bootstrap:
    return Bootstrap.create()


def certificate(pair: KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate.encode())


def names(pair: KeyPair, oid: x509.ObjectIdentifier) -> list[str | bytes]:
    return [attribute.value for attribute in certificate(pair).subject.get_attributes_for_oid(oid)]


@pytest.mark.parametrize("name", ["admin", "proxy"])
def test_client_certificates_are_issued_by_the_ca(bootstrap: Bootstrap, name: str) -> None:
    client = certificate(getattr(bootstrap, name))
    client.verify_directly_issued_by(certificate(bootstrap.ca))
    with pytest.raises(ValueError, match="Issuer"):
        client.verify_directly_issued_by(certificate(bootstrap.etcd_ca))


@pytest.mark.parametrize(
    ("name", "subject"), [("ca", "kubernetes"), ("etcd_ca", "etcd-ca"), ("front_proxy_ca", "front-proxy-ca")]
)
def test_authorities_are_what_kubeadm_wants(bootstrap: Bootstrap, name: str, subject: str) -> None:
    pair = getattr(bootstrap, name)
    assert names(pair, NameOID.COMMON_NAME) == [subject]
    constraints = certificate(pair).extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value.ca
    assert certificate(pair).extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


@pytest.mark.parametrize("name", ["ca", "etcd_ca", "front_proxy_ca", "proxy", "admin"])
def test_keys_belong_to_their_certificates_and_end_with_the_cluster(bootstrap: Bootstrap, name: str) -> None:
    pair = getattr(bootstrap, name)
    key = serialization.load_pem_private_key(pair.key.encode(), password=None)
    assert key.public_key() == certificate(pair).public_key()
    assert certificate(pair).not_valid_before_utc < datetime.now(UTC)
    assert certificate(pair).not_valid_after_utc <= datetime.now(UTC) + LIFETIME


def test_the_identities_are_those_that_kubernetes_knows(bootstrap: Bootstrap) -> None:
    assert names(bootstrap.proxy, NameOID.COMMON_NAME) == ["system:kube-proxy"]
    assert names(bootstrap.proxy, NameOID.ORGANIZATION_NAME) == []
    assert names(bootstrap.admin, NameOID.ORGANIZATION_NAME) == ["system:masters"]


def test_the_token_is_a_bootstrap_token(bootstrap: Bootstrap) -> None:
    assert re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", bootstrap.token)
    assert Bootstrap.create().token != bootstrap.token


def test_nodes_do_not_get_the_admins_key(bootstrap: Bootstrap) -> None:
    text = json.dumps(bootstrap.for_nodes())
    assert json.dumps(bootstrap.ca.key)[1:-1] in text
    assert json.dumps(bootstrap.admin.key)[1:-1] not in text


def test_the_kubeconfig_is_the_admins(bootstrap: Bootstrap) -> None:
    config = json.loads(bootstrap.kubeconfig("xc-1", "https://192.0.2.1:6443"))
    assert config["clusters"][0]["cluster"]["server"] == "https://192.0.2.1:6443"
    assert base64.b64decode(config["users"][0]["user"]["client-key-data"]).decode() == bootstrap.admin.key
    assert config["current-context"] == config["contexts"][0]["name"]


def test_no_secret_gets_through_redaction(bootstrap: Bootstrap) -> None:
    for text in (
        bootstrap.kubeconfig("xc-1", "https://192.0.2.1:6443"),
        json.dumps(bootstrap.to_json()),
        f"kubeadm join --token={bootstrap.token}",
    ):
        redacted = redact(text)
        assert PLACEHOLDER in redacted
        assert not [secret for secret in bootstrap.secrets() if secret in redacted]


def test_a_secret_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("older, and readable by all")
    write_secret(path, "secret")
    assert path.read_text() == "secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
