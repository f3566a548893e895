"""A Terraform module as it is written: its variables, outputs, resources and providers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..errors import ConfigurationError
from .hcl import Block, Body, Malformed, parse

#: What stands for another expression: a local value, or the loop of the resource that it is in.
_REFERENCE = re.compile(r"\b(?:local\.(?P<local>\w+)|each\.(?:key|value)|count\.index)\b")

#: Attributes that are read by people.
_PROSE = ("description", "error_message")


@dataclass(frozen=True)
class Provider:
    """A provider that a module requires."""

    source: str  #: ``hashicorp/aws``, with a host before it where it is not the program's own registry
    version: str = ""  #: the constraint, ``~> 6.0``; empty: any


@dataclass(frozen=True)
class Resource:
    """One resource of a module, with the text of its attributes."""

    type: str
    name: str
    body: Body
    file: str
    line: int

    @property
    def address(self) -> str:
        return f"{self.type}.{self.name}"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.address}"


class Module:
    """The ``*.tf`` files of a folder.

    :raises ConfigurationError: the folder is not there or has none; or one is not Terraform's language.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._bodies: dict[str, Body] = {}
        for path in sorted(folder.glob("*.tf")):
            try:
                self._bodies[path.name] = parse(path.read_text(encoding="utf-8"))
            except Malformed as error:
                raise ConfigurationError(f"{path}: {error}") from error
        if not self._bodies:
            raise ConfigurationError(f"{folder} has no Terraform module: no file ends with .tf")

    def blocks(self, kind: str) -> list[Block]:
        """The top-level blocks of a kind, of all files."""
        return [block for body in self._bodies.values() for block in body.of(kind)]

    @cached_property
    def variables(self) -> Mapping[str, Mapping[str, str]]:
        """The attributes of each variable (``type``, ``default``, …) by its name."""
        return {block.name: block.body.attributes for block in self.blocks("variable")}

    @cached_property
    def outputs(self) -> Mapping[str, Mapping[str, str]]:
        """The attributes of each output by its name."""
        return {block.name: block.body.attributes for block in self.blocks("output")}

    @cached_property
    def locals(self) -> Mapping[str, str]:
        """The expression of each local value."""
        return {name: text for block in self.blocks("locals") for name, text in block.body.attributes.items()}

    @cached_property
    def resources(self) -> list[Resource]:
        return [
            Resource(block.labels[0], block.labels[1], block.body, file, block.line)
            for file, body in self._bodies.items()
            for block in body.of("resource")
        ]

    @cached_property
    def providers(self) -> list[Provider]:
        """What the ``required_providers`` of its terraform block name."""
        found = []
        for terraform in self.blocks("terraform"):
            for required in terraform.body.of("required_providers"):
                for name, text in required.body.attributes.items():
                    given = dict(re.findall(r'(\w+)\s*[=:]\s*"([^"]*)"', text))
                    found.append(Provider(given.get("source", f"hashicorp/{name}"), given.get("version", "")))
        return found

    def expressions(self) -> Iterator[str]:
        """All that is evaluated: the attributes of all blocks, without the texts for people."""
        for body in self._bodies.values():
            yield from body.attributes.values()
            yield from _expressions(body.blocks)

    @property
    def uses_kubeadm(self) -> bool:
        """Whether its nodes are made by the shared module, not by the cloud."""
        return any("modules/kubeadm" in block.body.attributes.get("source", "") for block in self.blocks("module"))

    def mentions(self, expression: str, wanted: str, of: Resource | None = None) -> bool:
        """Whether an expression refers to ``wanted`` (``var.tags``), by itself or by the local values that it uses.

        :param of: the resource that it is in: what ``each`` and ``count`` stand for there.
        """
        return self._mentions(expression, wanted, of, frozenset())

    def _mentions(self, expression: str, wanted: str, of: Resource | None, seen: frozenset[str]) -> bool:
        if re.search(rf"(?<![\w.]){re.escape(wanted)}\b", expression):
            return True
        for match in _REFERENCE.finditer(expression):
            name = match["local"] or "each"
            if name in seen:
                continue
            told = self.locals.get(name, "") if match["local"] else _loop(of)
            if self._mentions(told, wanted, of, seen | {name}):
                return True
        return False


def _expressions(blocks: Iterable[Block]) -> Iterator[str]:
    for block in blocks:
        yield from (text for name, text in block.body.attributes.items() if name not in _PROSE)
        yield from _expressions(block.body.blocks)


def _loop(of: Resource | None) -> str:
    return of.body.attributes.get("for_each", "") + of.body.attributes.get("count", "") if of else ""
