"""Keeps secrets out of every text that leaves: logs, reports, evidence, messages."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

PLACEHOLDER = "[redacted]"

#: Environment variables whose values are secrets by their names.
_SECRET_NAME = re.compile(r"(SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIALS?|PRIVATE_KEY|API_?KEY|ACCESS_KEY)", re.IGNORECASE)

#: Keys of configuration files and options whose values are secrets, as far as they are long enough to be one.
_KEYS = "client-key-data|client-certificate-data|certificate-authority-data|token|password"

#: Around a key or value of JSON, of JSON within JSON, of YAML or of a shell's command.
_QUOTE = r"""\\*["']?"""

#: Secrets by their shape: PEM keys, kubeconfig data, bearer and kubeadm tokens.
_SHAPES = (
    # A key that is cut off ends where its string or its element does, so that what is around it can still be read.
    re.compile(r"""-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----|[^<"']*)""", re.DOTALL),
    re.compile(rf"""(?P<keep>(?:{_KEYS}){_QUOTE}\s*[:=]\s*{_QUOTE})[^\s,}}"'\\&<]{{16,}}"""),
    re.compile(r"(?P<keep>\b[Bb]earer\s+)[A-Za-z0-9._~+/=-]{16,}"),
    re.compile(r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b"),
    re.compile(r"(?P<keep>://[^/\s:@]+:)[^/\s:@]+(?=@)"),
)

_known: set[str] = set()


def add_secret(value: str) -> None:
    """From now on ``value`` is replaced wherever it appears. Values under 6 characters are too common to be."""
    if len(value) >= 6:
        _known.add(value)


def add_kubeconfig(path: str | Path) -> None:
    """Register the secrets of a KUBECONFIG's users: keys, tokens and passwords, also of files that it names.

    Call it where a KUBECONFIG is opened: what is known is known to this process only. A file that cannot be read has
    nothing to register; whoever opens it says so.
    """
    import yaml

    path = Path(path)
    try:
        config = yaml.safe_load(path.read_text())
        users = [entry["user"] for entry in config["users"]]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return
    for value in _user_secrets(users, path.parent):
        for form in _forms(value):
            add_secret(form)


def _user_secrets(node: Any, directory: Path) -> Iterator[str]:
    """The secrets of a KUBECONFIG's users, auth providers and exec plugins, as they stand in the file."""
    if isinstance(node, list):
        for item in node:
            yield from _user_secrets(item, directory)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if not isinstance(value, str):
            yield from _user_secrets(value, directory)
        elif key in ("client-key", "tokenFile"):
            try:
                yield (directory / value).read_text().strip()
            except (OSError, ValueError):
                continue
        # A variable of an exec plugin is called by another key than its own.
        elif key == "client-key-data" or is_secret_name(str(node.get("name", "")) if key == "value" else str(key)):
            yield value


def _forms(value: str) -> Iterator[str]:
    """A secret as it stands, as base64 and within JSON; what it is the base64 of; and a key line by line."""
    texts = [value]
    with suppress(ValueError):  # not base64, or not of a text
        texts.append(base64.b64decode(value, validate=True).decode())
    for text in texts:
        yield text.strip()
        yield json.dumps(text.strip())[1:-1]
        yield base64.b64encode(text.encode()).decode()
        if "PRIVATE KEY-----" in text:  # a program's output is redacted line by line
            yield from (line for line in text.splitlines() if len(line) >= 32 and "-----" not in line)


def is_secret_name(name: str) -> bool:
    """Whether something of this name, a variable or a key, holds a secret."""
    return bool(_SECRET_NAME.search(name))


def mask(value: Any) -> tuple[Any, list[str]]:
    """``value``, as JSON or YAML have it, without secrets; and the paths at which it had one.

    What is called like a secret is one: by its key, or as Kubernetes writes variables (``{name: …, value: …}``).
    """
    places: list[str] = []
    return _masked(value, "", "", places), places


def _masked(value: Any, key: str, at: str, places: list[str]) -> Any:
    if isinstance(value, list | tuple):
        return [_masked(item, key, f"{at}[{number}]", places) for number, item in enumerate(value)]
    if isinstance(value, Mapping):
        named = str(value.get("name", ""))
        return {
            name: _masked(item, named if name == "value" else str(name), f"{at}.{name}".lstrip("."), places)
            for name, item in value.items()
        }
    if value is None or isinstance(value, bool) or value in ("", PLACEHOLDER):
        return value
    # ``secretName`` and its like only refer to a secret.
    secret = is_secret_name(key) and not key.endswith("Name")
    text = PLACEHOLDER if secret else redact(str(value))
    if not secret and text == str(value) and f"{key}: {value}" == redact(f"{key}: {value}"):
        return value
    places.append(at)
    return text if text != str(value) else PLACEHOLDER


def redact(text: str) -> str:
    """``text`` without secrets: registered ones, those of the environment by name, and those of a known shape."""
    secrets = {value for name, value in os.environ.items() if len(value) >= 6 and is_secret_name(name)}
    for secret in sorted(_known | secrets, key=len, reverse=True):
        text = text.replace(secret, PLACEHOLDER)
    for shape in _SHAPES:
        text = shape.sub(lambda match: (match.groupdict().get("keep") or "") + PLACEHOLDER, text)
    return text
