"""A cluster's secrets, made before any of its nodes exists: CAs, service-account key, bootstrap token, KUBECONFIG.

User-data in, Kubernetes out: the nodes get the CAs and make their own certificates below them, so the admin's
KUBECONFIG is complete as soon as the endpoint is known, without a login on any machine.
"""

from __future__ import annotations

import base64
import datetime
import json
import os
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ..model import Json
from ..redact import add_secret

#: No cluster of ours lives longer than this, so neither do its certificates.
LIFETIME = datetime.timedelta(days=7)

#: How far a node's clock may be behind this computer's.
CLOCK_SKEW = datetime.timedelta(minutes=5)


@dataclass(frozen=True)
class KeyPair(Json):
    """A certificate (of the service-account pair: the public key) and its private key, both PEM."""

    certificate: str
    key: str


@dataclass(frozen=True)
class Bootstrap(Json):
    """What ``terraform/modules/kubeadm`` needs to know before there is a cluster.

    The names and subjects are those of kubeadm's "PKI certificates and requirements".
    """

    ca: KeyPair
    etcd_ca: KeyPair
    front_proxy_ca: KeyPair
    service_account: KeyPair
    proxy: KeyPair  #: client certificate of kube-proxy, which is a service of every node
    admin: KeyPair  #: client certificate of the KUBECONFIG; stays on this computer
    token: str  #: bootstrap token, ``[a-z0-9]{6}.[a-z0-9]{16}``

    @classmethod
    def create(cls) -> Bootstrap:
        """New secrets, all registered for redaction."""
        ca = _authority("kubernetes")
        return cls(
            ca=ca,
            etcd_ca=_authority("etcd-ca"),
            front_proxy_ca=_authority("front-proxy-ca"),
            service_account=_plain_pair(),
            proxy=_client(ca, "system:kube-proxy"),
            admin=_admin(ca),
            token=f"{_random_word(6)}.{_random_word(16)}",
        )._registered()

    @classmethod
    def resume(cls, values: Mapping[str, Any]) -> Bootstrap:
        """What ``for_nodes`` gave to nodes that may be there already; the admin gets another certificate."""
        pairs = {name: KeyPair(**value) for name, value in values.items() if name != "token"}
        return cls(**pairs, admin=_admin(pairs["ca"]), token=values["token"])._registered()

    def _registered(self) -> Bootstrap:
        for secret in self.secrets():
            add_secret(secret)
        return self

    def secrets(self) -> list[str]:
        """Every text that must not leave: the token, and each private key as PEM, as JSON and as base64."""
        pairs = (self.ca, self.etcd_ca, self.front_proxy_ca, self.service_account, self.proxy, self.admin)
        keys = [pair.key for pair in pairs]
        return [self.token, *(form for key in keys for form in (key.strip(), json.dumps(key)[1:-1], _base64(key)))]

    def for_nodes(self) -> dict[str, object]:
        """What the Terraform modules take as ``bootstrap``: all but the admin's key."""
        values = self.to_json()
        del values["admin"]
        return values

    def kubeconfig(self, cluster: str, endpoint: str) -> str:
        """The admin's KUBECONFIG. ``endpoint`` is an https URL. JSON, which is YAML too."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": cluster,
                    "cluster": {"server": endpoint, "certificate-authority-data": _base64(self.ca.certificate)},
                }
            ],
            "users": [
                {
                    "name": "admin",
                    "user": {
                        "client-certificate-data": _base64(self.admin.certificate),
                        "client-key-data": _base64(self.admin.key),
                    },
                }
            ],
            "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": "admin"}}],
            "current-context": cluster,
        }
        return json.dumps(config, indent=2)


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read; it never exists with another mode, and never half written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


def _authority(name: str) -> KeyPair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        _certificate(subject, subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(_pem(certificate), _key_pem(key))


def _admin(ca: KeyPair) -> KeyPair:
    # system:masters needs no binding, so it works from the API server's first answer on; what makes it
    # dangerous elsewhere, that it cannot be revoked, ends with the cluster's CA.
    return _client(ca, "crosscloud-admin", "system:masters")


def _client(ca: KeyPair, name: str, group: str = "") -> KeyPair:
    authority = x509.load_pem_x509_certificate(ca.certificate.encode())
    signer = serialization.load_pem_private_key(ca.key.encode(), password=None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    # Kubernetes reads the common name as the user and each organization as a group.
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
    subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        _certificate(subject, authority.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return KeyPair(_pem(certificate), _key_pem(key))


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + LIFETIME)
    )


def _key_usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=True,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _plain_pair() -> KeyPair:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(public.decode(), _key_pem(key))


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()


def _random_word(length: int) -> str:
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(length))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
