"""YAML that remembers where everything stands, rejects duplicate keys and leaves versions alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .errors import ConfigurationError


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Scalars of YAML 1.2's core schema, less floats, octal and hexadecimal: ``1.10`` and ``010`` are versions."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own name)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"0|-?[1-9][0-9]*", "-0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), list(_first))


@dataclass(frozen=True, order=True)
class Fault:
    """Something wrong at a place in a file; lines and columns start at 1."""

    line: int
    column: int
    message: str


class Document:
    """A YAML file whose root is a mapping (an empty file is an empty one): its ``data``, and where that stands."""

    def __init__(self, path: Path) -> None:
        """:raises ConfigurationError: it cannot be read, or is not YAML."""
        self.path = path
        try:
            loader = _Loader(path.read_bytes())
            self._root = loader.get_single_node()
            self.duplicates = list(_duplicates(self._root)) if self._root else []
            self.data: Any = loader.construct_document(self._root) if self._root else {}
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
            raise ConfigurationError(f"{where}: {error.problem or error.context}") from error
        except (yaml.YAMLError, RecursionError) as error:
            raise ConfigurationError(f"{path}: not YAML: {' '.join(str(error).split())}") from error

    def fault(self, path: Sequence[str | int], message: str, *, key: bool = False) -> Fault:
        """A fault at the value at ``path`` (or at its key), or at the nearest thing around it that there is."""
        mark = self._mark(path, key)
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
        return Fault(mark.line + 1, mark.column + 1, f"{dotted}: {message}" if dotted else message)

    def place(self, path: Sequence[str | int]) -> str:
        """``file:line:column`` of the value at ``path``."""
        mark = self._mark(path, key=False)
        return f"{self.path}:{mark.line + 1}:{mark.column + 1}"

    def _mark(self, path: Sequence[str | int], key: bool) -> yaml.Mark:
        node = self._root
        mark: yaml.Mark = node.start_mark
        for part in path:
            if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                mark = node.start_mark
                continue
            # construct_document has put merged keys (<<) in front of the node's own: the last one counts.
            entries = reversed(node.value) if isinstance(node, yaml.MappingNode) else ()
            entry = next((entry for entry in entries if entry[0].value == str(part)), None)
            if entry is None:
                break
            mark = entry[0].start_mark if key else entry[1].start_mark
            node = entry[1]
        return mark


def _duplicates(root: yaml.Node) -> Iterator[Fault]:
    """Keys that stand twice in a mapping: PyYAML silently takes the last one.

    :raises yaml.MarkedYAMLError: an alias stands inside what it stands for.
    """
    done: set[int] = set()

    def walk(node: yaml.Node, around: tuple[int, ...]) -> Iterator[Fault]:
        if id(node) in around:
            raise yaml.MarkedYAMLError(problem="an alias that contains itself", problem_mark=node.start_mark)
        if id(node) in done or isinstance(node, yaml.ScalarNode):
            return
        around = (*around, id(node))
        if isinstance(node, yaml.MappingNode):
            first: dict[str, yaml.Node] = {}
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in first:
                    line = first[key.value].start_mark.line + 1
                    mark = key.start_mark
                    yield Fault(mark.line + 1, mark.column + 1, f"duplicate key {key.value!r}: first on line {line}")
                elif isinstance(key, yaml.ScalarNode):
                    first[key.value] = key
                yield from walk(value, around)
        else:
            for item in node.value:
                yield from walk(item, around)
        done.add(id(node))

    return walk(root, ())
