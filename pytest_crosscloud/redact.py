"""Keeps secrets out of every text that leaves: logs, reports, evidence, messages."""

from __future__ import annotations

import os
import re

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


def is_secret_name(name: str) -> bool:
    """Whether something of this name, a variable or a key, holds a secret."""
    return bool(_SECRET_NAME.search(name))


def redact(text: str) -> str:
    """``text`` without secrets: registered ones, those of the environment by name, and those of a known shape."""
    secrets = {value for name, value in os.environ.items() if len(value) >= 6 and is_secret_name(name)}
    for secret in sorted(_known | secrets, key=len, reverse=True):
        text = text.replace(secret, PLACEHOLDER)
    for shape in _SHAPES:
        text = shape.sub(lambda match: (match.groupdict().get("keep") or "") + PLACEHOLDER, text)
    return text
