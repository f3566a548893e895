"""YAML that remembers where everything stands, rejects duplicate keys and leaves versions alone."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .errors import ConfigurationError

#: Hidden values of duplicate keys that are looked at: each is another reading of the whole file.
_READINGS = 50


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


def compose(text: str) -> yaml.Node | None:
    """A document's nodes, with their places in the text; None: it is empty.

    :raises yaml.YAMLError: it is not YAML.
    """
    node: yaml.Node | None = _Loader(text).get_single_node()
    return node


def parse(text: str) -> Any:
    """What a document says.

    :raises yaml.YAMLError: it is not YAML.
    """
    return _Loader(text).get_single_data()


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
        if path.is_dir():
            raise ConfigurationError(f"{path}: is a folder; name the file in it")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
        text = decode(path, content)
        try:
            self._loader = _Loader(content)
            self._root = self._loader.get_single_node()
            self.duplicates, self._hidden = _duplicates(self._root) if self._root else ([], [])
            self.data: Any = self._loader.construct_document(self._root) if self._root else {}
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
            said = error.problem or error.context
            if mark and any(line[mark.column :].startswith("\t") for line in text.splitlines()[mark.line :][:1]):
                said = "a tab: YAML is indented with spaces"
            raise ConfigurationError(f"{where}: {said}") from error
        except (yaml.YAMLError, RecursionError) as error:
            raise ConfigurationError(f"{path}: not YAML: {' '.join(str(error).split())}") from error

    def readings(self) -> Iterator[Any]:
        """The ``data``, then the same with earlier values of duplicate keys, which it hides, in the place of the last.

        While one is looked at, ``fault`` and ``place`` speak of it.
        """
        for choices in self._hidden[:_READINGS]:
            values = [node.value for node, _ in choices]
            for node, (key, value) in choices:
                node.value = [*(entry for entry in node.value if entry[0].value != key.value), (key, value)]
            try:
                yield self._loader.construct_document(self._root)
            finally:
                for (node, _), entries in zip(choices, values, strict=True):
                    node.value = entries
        yield self.data

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


def decode(path: Path, content: bytes) -> str:
    """What a file says, in UTF-8; or in UTF-16 if it begins with that one's mark.

    :raises ConfigurationError: it is in another encoding.
    """
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = len(content[: error.start].splitlines()) or 1
        raise ConfigurationError(f"{path}:{line}: not UTF-8; save it as UTF-8") from None
    before, null, _ = text.partition("\0")
    if null:
        where = f"{path}:{len(before.splitlines()) or 1}"
        raise ConfigurationError(f"{where}: a null character: UTF-16 without its mark, or no text; save it as UTF-8")
    return text


#: A choice of values: each mapping with the entry that counts in it.
_Choices = tuple[tuple[yaml.MappingNode, tuple[yaml.Node, yaml.Node]], ...]


def _duplicates(root: yaml.Node) -> tuple[list[Fault], list[_Choices]]:
    """Keys that stand twice in a mapping, PyYAML silently takes the last one; and how to get at each value so hidden.

    :raises yaml.MarkedYAMLError: an alias stands inside what it stands for.
    """
    faults: list[Fault] = []
    hidden: list[_Choices] = []
    done: set[int] = set()

    def walk(node: yaml.Node, around: tuple[int, ...], choices: _Choices) -> None:
        if id(node) in around:
            raise yaml.MarkedYAMLError(problem="an alias that contains itself", problem_mark=node.start_mark)
        if id(node) in done or isinstance(node, yaml.ScalarNode):
            return
        around = (*around, id(node))
        if isinstance(node, yaml.MappingNode):
            first: dict[str, yaml.Node] = {}
            last = {key.value: key for key, _ in node.value if isinstance(key, yaml.ScalarNode)}
            for key, value in node.value:
                here = choices
                if isinstance(key, yaml.ScalarNode):
                    if first.setdefault(key.value, key) is not key:
                        line = first[key.value].start_mark.line + 1
                        mark = key.start_mark
                        said = f"duplicate key {key.value!r}: first on line {line}"
                        faults.append(Fault(mark.line + 1, mark.column + 1, said))
                    if last[key.value] is not key:
                        here = (*choices, (node, (key, value)))
                        hidden.append(here)
                walk(value, around, here)
        else:
            for item in node.value:
                walk(item, around, choices)
        done.add(id(node))

    walk(root, (), ())
    return faults, hidden
