from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_crosscloud import redact as module
from pytest_crosscloud.redact import PLACEHOLDER, add_kubeconfig, add_secret, mask, redact


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_known", set())


def test_registered_secret_is_replaced_everywhere() -> None:
    add_secret("hunter2hunter2")
    assert redact("a hunter2hunter2 b=hunter2hunter2") == f"a {PLACEHOLDER} b={PLACEHOLDER}"


def test_short_values_are_not_registered() -> None:
    add_secret("aws")
    assert redact("cloud aws") == "cloud aws"


@pytest.mark.parametrize(
    "name", ["AWS_SECRET_ACCESS_KEY", "PACKET_AUTH_TOKEN", "VSPHERE_PASSWORD", "GOOGLE_CREDENTIALS"]
)
def test_environment_secrets_are_known_by_their_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "wJalrXUtnFEMI")
    assert redact("key is wJalrXUtnFEMI.") == f"key is {PLACEHOLDER}."


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\nafter", "MHcCAQEE"),
        ("client-key-data: LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVkt", "LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVkt"),
        ('{"client-key-data": "LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVkt"}', "LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVkt"),
        ('{"user":{"token":"eyJhbGciOiJSUzI1NiJ9.x.y"}}', "eyJhbGciOiJSUzI1NiJ9"),
        (r'"{\"token\": \"eyJhbGciOiJSUzI1NiJ9.x.y\"}"', "eyJhbGciOiJSUzI1NiJ9"),
        ("token: 'eyJhbGciOiJSUzI1NiJ9.x.y'", "eyJhbGciOiJSUzI1NiJ9"),
        ("kubectl --token=eyJhbGciOiJSUzI1NiJ9.x.y get pods", "eyJhbGciOiJSUzI1NiJ9"),
        ("https://example.org/?token=eyJhbGciOiJSUzI1NiJ9&page=2", "eyJhbGciOiJSUzI1NiJ9"),
        ("kubeadm join --token abcdef.0123456789abcdef", "abcdef.0123456789abcdef"),
        ("Authorization: Bearer eyJhbGciOiJSUzI1NiJ9.x.y", "eyJhbGciOiJSUzI1NiJ9"),
        ("https://user:s3cretpw@example.org/x", "s3cretpw"),
    ],
)
def test_secrets_of_a_known_shape(text: str, secret: str) -> None:
    assert secret not in redact(text)
    assert PLACEHOLDER in redact(text)


def test_a_truncated_private_key_is_redacted_to_the_end() -> None:
    assert "MHcCAQEE" not in redact("-----BEGIN PRIVATE KEY-----\nMHcCAQEE")


@pytest.mark.parametrize("text", ["<a>{}</a><b/>", '{{"a": "{}", "b": 1}}'])
def test_what_is_around_a_truncated_private_key_stays(text: str) -> None:
    assert redact(text.format("-----BEGIN PRIVATE KEY-----\nMHcCAQEE")) == text.format(PLACEHOLDER)


DIGEST = "sha256:9f1c0b6d2d3c9e7e2f55aa0f4f0d6a4b7d5e1a1c1b2f3a4d5e6f708192a3b4c5"


@pytest.mark.parametrize(
    "text",
    [
        f"coredns@{DIGEST}",
        f'{{"image": "coredns", "digest": "{DIGEST}"}}',
        "the bootstrap token is made before any node; the password: is asked for",
        "automountServiceAccountToken=false",
        '"token": "", "password": null',
    ],
)
def test_digests_and_ordinary_text_are_no_secrets(text: str) -> None:
    assert redact(text) == text


KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIoxyoxyoxyoxyoxyoxyoxyoxyoxyoxyoxyo\n-----END EC PRIVATE KEY-----\n"
KEY_BASE64 = base64.b64encode(KEY.encode()).decode()
TOKEN = "a-token-of-an-account"


@pytest.mark.parametrize("dump", [json.dumps, yaml.safe_dump])
@pytest.mark.parametrize(
    ("user", "forms"),
    [
        ({"client-key-data": KEY_BASE64}, [KEY, KEY_BASE64, json.dumps(KEY)[1:-3], KEY.splitlines()[1]]),
        ({"client-key": "admin.key"}, [KEY, KEY.splitlines()[1]]),
        ({"token": TOKEN}, [TOKEN, base64.b64encode(TOKEN.encode()).decode()]),
        ({"tokenFile": "token"}, [TOKEN]),
        ({"username": "admin", "password": "letmein"}, ["letmein"]),
        ({"auth-provider": {"name": "oidc", "config": {"refresh-token": TOKEN}}}, [TOKEN]),
        ({"exec": {"command": "login", "env": [{"name": "MY_PASSWORD", "value": "letmein"}]}}, ["letmein"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_the_secrets_of_a_kubeconfig_are_known_once_it_is_opened(
    tmp_path: Path, user: dict[str, Any], forms: list[str], dump: Any
) -> None:
    (tmp_path / "admin.key").write_text(KEY)
    (tmp_path / "token").write_text(TOKEN + "\n")
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(dump({"users": [{"name": "admin", "user": user}]}))
    add_kubeconfig(kubeconfig)
    for form in forms:
        assert form.strip() not in redact(f"a {form} b")
    assert redact("admin, login and oidc stay") == "admin, login and oidc stay"


@pytest.mark.parametrize("text", ["", "[]", "users: 1", "users: [{}]", "{", "\x00"])
def test_what_is_no_kubeconfig_has_no_secrets(tmp_path: Path, text: str) -> None:
    add_kubeconfig(tmp_path / "absent")
    (tmp_path / "kubeconfig").write_text(text)
    add_kubeconfig(tmp_path / "kubeconfig")
    assert module._known == set()


def test_values_are_masked_by_their_names_and_by_what_they_are() -> None:
    add_secret("hunter2hunter2")
    value = {
        "admin": {"password": "short", "passwordCount": 12345, "secretName": "mine"},
        "tokens": ["one", "two"],
        "env": [{"name": "API_KEY", "value": "k"}, {"name": "MODE", "value": "fast"}],
        "url": "https://me:hunter2hunter2@host",
        "client-key-data": "A" * 20,
        "automountServiceAccountToken": False,
        "emptyPassword": "",
        "replicas": 2,
    }
    masked, places = mask(value)
    assert masked == {
        "admin": {"password": PLACEHOLDER, "passwordCount": PLACEHOLDER, "secretName": "mine"},
        "tokens": [PLACEHOLDER, PLACEHOLDER],
        "env": [{"name": "API_KEY", "value": PLACEHOLDER}, {"name": "MODE", "value": "fast"}],
        "url": f"https://me:{PLACEHOLDER}@host",
        "client-key-data": PLACEHOLDER,
        "automountServiceAccountToken": False,
        "emptyPassword": "",
        "replicas": 2,
    }
    assert places == [
        "admin.password",
        "admin.passwordCount",
        "tokens[0]",
        "tokens[1]",
        "env[0].value",
        "url",
        "client-key-data",
    ]
    assert mask(masked) == (masked, [])
