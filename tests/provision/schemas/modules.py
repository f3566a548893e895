"""What the Terraform modules write down of providers, resources and data sources, read by a parser of HCL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hcl2

from pytest_crosscloud import paths

TERRAFORM = paths.data("terraform")

#: What python-hcl2 says of a value that was written as a block.
_BLOCK = "__is_block__"

#: Terraform's own of every resource and data source, with what is in the blocks among them.
_META = {"count", "for_each", "depends_on", "provider", "lifecycle", "connection", "provisioner"}


@dataclass(frozen=True)
class Block:
    """A block as it was written, without Terraform's own arguments; what is ``dynamic`` is what it generates."""

    arguments: frozenset[str]
    blocks: tuple[tuple[str, Block], ...]


@dataclass(frozen=True)
class Written:
    """A resource, a data source or a provider's configuration of a module."""

    kind: str  #: ``resource``, ``data`` or ``provider``
    type: str  #: e.g. ``aws_vpc``; of a provider's configuration its local name
    name: str
    provider: str  #: local name
    block: Block

    def __str__(self) -> str:
        return f"{self.kind} {self.type} {self.name}".strip()


def roots() -> list[Path]:
    """The modules that need a provider."""
    return sorted(path for path in TERRAFORM.iterdir() if path.name != "modules" and requirements(path))


def requirements(module: Path) -> dict[str, dict[str, str]]:
    """``source`` and ``version`` of the providers that a module asks for, by local name."""
    return {
        name: {key: _text(value) for key, value in requirement.items()}
        for settings in _top(module, "terraform")
        for block in settings.get("required_providers", [])
        for name, requirement in _said(block)
    }


def written(module: Path) -> Iterator[Written]:
    for kind in ("resource", "data"):
        for labelled in _top(module, kind):
            for type_, named in labelled.items():
                for name, body in named.items():
                    provider = _text(body["provider"]).strip("${}").split(".")[0] if "provider" in body else ""
                    provider = provider or _text(type_).split("_")[0]
                    yield Written(kind, _text(type_), _text(name), provider, _block(body))
    for labelled in _top(module, "provider"):
        for name, body in labelled.items():
            yield Written("provider", _text(name), "", _text(name), _block(body, meta={"alias"}))


def parse(text: str) -> dict[str, Any]:
    parsed: dict[str, Any] = hcl2.loads(text)
    return parsed


def _top(module: Path, kind: str) -> Iterator[dict[str, Any]]:
    for path in sorted(module.glob("*.tf")):
        yield from parse(path.read_text()).get(kind, [])


def _block(body: dict[str, Any], meta: set[str] = _META) -> Block:
    arguments, blocks = set(), []
    for name, value in _said(body):
        if name in meta:
            continue
        if name == "dynamic":
            for dynamic in value:
                blocks += [(_text(label), _block(made["content"][0], set())) for label, made in _said(dynamic)]
        elif isinstance(value, list) and value and isinstance(value[0], dict) and value[0].get(_BLOCK):
            blocks += [(name, _block(one, set())) for one in value]
        else:
            arguments.add(name)
    return Block(frozenset(arguments), tuple(blocks))


def _said(body: dict[str, Any]) -> list[tuple[str, Any]]:
    """What somebody wrote: python-hcl2's own marks, and comments, are keys of the same mapping."""
    return [(name, value) for name, value in body.items() if not name.startswith("__")]


def _text(value: Any) -> str:
    return str(value).strip('"')
