"""Puts single values into the text of a YAML file: comments, order and quoting of all else stay as they are.

Every edit is read back before it is believed: the file must say what it said before, with that one value changed. What
cannot be changed like that is refused, and the place named: a value that others share by an alias, for one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from .errors import ConfigurationError
from .marked_yaml import compose, parse

#: Text that may stand without quotes wherever a value may, if it is read as text: tags, versions, names.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]*")

#: Anchors and tags, which come before what they are of.
_PROPERTIES = re.compile(r"(?:[&!]\S*\s*)*")

#: Between a key and its value: the colon, blanks, line ends and comments.
_BETWEEN = re.compile(r"\s*:(?:\s|#[^\r\n]*[\r\n])*")

_ALIAS = re.compile(r"\s*:\s*\*[^\s,\]}]+")

#: What may follow on the last line of something.
_REST = re.compile(r"[ \t]+#[^\r\n\x85\u2028\u2029]*|[ \t]*")

_BREAK = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")

#: Columns that a mapping is indented by, where the file shows none.
_INDENT = 2


class _Refused(Exception):
    def __init__(self, reason: str, index: int) -> None:
        super().__init__(reason)
        self.index = index  #: of the character that the reason is about


def put(text: str, path: Sequence[str], value: str, file: Path) -> str:
    """``text`` with ``value`` at ``path``; mappings on the way there are added where they are missing.

    :param file: what the text is of, for messages.
    :raises ConfigurationError: it cannot be changed safely; the message says where, and what to do.
    """
    editor = _Editor(text)
    try:
        edited = editor.put(path, value)
        try:
            is_right = parse(edited) == _expected(parse(text), path, value)
        except yaml.YAMLError:
            is_right = False
        if not is_right:
            raise _Refused("what stands there means something in another place, too", editor.place)
    except _Refused as refused:
        line = len(_BREAK.findall(text, 0, refused.index)) + 1
        raise ConfigurationError(
            f"{file}:{line}: {'.'.join(path)} cannot be changed safely: {refused}",
            remedy=f"write it there yourself: {path[-1]}: {_scalar(value)}",
        ) from None
    return edited


def _expected(data: Any, path: Sequence[str], value: str) -> Any:
    expected: Any = deepcopy(data) or {}
    section = expected
    for name in path[:-1]:
        # A copy: an alias makes one object of two places.
        section[name] = dict(section.get(name) or {})
        section = section[name]
    section[path[-1]] = value
    return expected


class _Editor:
    def __init__(self, text: str) -> None:
        self._text = text
        found = _BREAK.search(text)
        self._newline = found.group() if found else "\n"
        self._root = compose(text)
        self.place = 0  #: index of what was looked at last

    def put(self, path: Sequence[str], value: str) -> str:
        if isinstance(self._root, yaml.MappingNode):
            return self._put(self._root, path, value)
        ends = not self._text or _BREAK.match(self._text[-1])
        return self._text + ("" if ends else self._newline) + self._block(0, path, value) + self._newline

    def _put(self, mapping: yaml.MappingNode, path: Sequence[str], value: str) -> str:
        self.place = _start(mapping)
        is_flow = self._is_flow(mapping)
        key, child = next((entry for entry in reversed(mapping.value) if entry[0].value == path[0]), (None, None))
        if key is None or child is None:
            return self._insert_flow(mapping, path, value) if is_flow else self._insert_block(mapping, path, value)
        self.place = _start(key)
        if _start(child) < _end(key) or not _BETWEEN.fullmatch(self._text, _end(key), _start(child)):
            raise _Refused("it is an alias", _start(key))
        if len(path) == 1:
            return self._replace(child, value)
        if isinstance(child, yaml.MappingNode):
            return self._put(child, path[1:], value)
        if not isinstance(child, yaml.ScalarNode) or child.tag != "tag:yaml.org,2002:null":
            raise _Refused("that is no mapping", _start(child))
        return self._fill(key, child, path[1:], value, is_flow)

    # -- one value ----------------------------------------------------------------------------------------------

    def _replace(self, node: yaml.Node, value: str) -> str:
        old = self._text[_start(node) : _end(node)]
        if not isinstance(node, yaml.ScalarNode) or old[:1] in ("|", ">"):
            raise _Refused("it is no text of one line", _start(node))
        if old[:1] in ("&", "!"):
            raise _Refused("it has an anchor or a tag", _start(node))
        if not old:  # nothing stands behind the colon
            return self._spliced(_end(node), _end(node), f" {_scalar(value)}")
        return self._spliced(_start(node), _end(node), _scalar(value, old[0]))

    def _fill(self, key: yaml.Node, null: yaml.Node, path: Sequence[str], value: str, is_flow: bool) -> str:
        """Put a mapping where nothing is."""
        old = self._text[_start(null) : _end(null)]
        if old[:1] in ("&", "!"):
            raise _Refused("it has an anchor or a tag", _start(null))
        if old or is_flow:
            gap = " " if self._text[_start(null) - 1] == ":" else ""
            return self._spliced(_start(null), _end(null), gap + _flow(path, value, braces=True))
        at = self._line_end(_end(null))
        lines = self._block(key.start_mark.column + self._step(), path, value)
        return self._spliced(at, at, self._newline + lines)

    # -- a new entry --------------------------------------------------------------------------------------------

    def _insert_flow(self, mapping: yaml.MappingNode, path: Sequence[str], value: str) -> str:
        at = _PROPERTIES.match(self._text, _start(mapping)).end() + 1  # type: ignore[union-attr]
        entry = _flow(path, value)
        if not mapping.value:
            return self._spliced(at, at, entry)
        blanks = re.compile(r"[ \t]*").match(self._text, at).group()  # type: ignore[union-attr]
        if self._text[at + len(blanks)] in "#\r\n":
            return self._spliced(at, at, f"{entry},")
        return self._spliced(at, at, f"{blanks}{entry}, ".removesuffix(" " if blanks else ""))

    def _insert_block(self, mapping: yaml.MappingNode, path: Sequence[str], value: str) -> str:
        end = self._content_end(mapping)
        column = mapping.value[0][0].start_mark.column
        lines = self._block(column, path, value)
        if _BREAK.match(self._text[end - 1]):  # a block of text ends with its line
            return self._spliced(end, end, lines + self._newline)
        # Where sections are set apart, a new one is, too.
        gap = self._newline if column == 0 and re.search(r"\n\r?\n", self._text) else ""
        at = self._line_end(end)
        return self._spliced(at, at, self._newline + gap + lines)

    def _block(self, column: int, path: Sequence[str], value: str) -> str:
        step = self._step()
        *around, last = (f"{' ' * (column + depth * step)}{_scalar(name)}:" for depth, name in enumerate(path))
        return self._newline.join((*around, f"{last} {_scalar(value)}"))

    # -- where things are ---------------------------------------------------------------------------------------

    def _spliced(self, start: int, end: int, new: str) -> str:
        return self._text[:start] + new + self._text[end:]

    def _is_flow(self, node: yaml.Node) -> bool:
        opening = _PROPERTIES.match(self._text, _start(node)).end()  # type: ignore[union-attr]
        return not isinstance(node, yaml.ScalarNode) and self._text[opening] in "{["

    def _line_end(self, index: int) -> int:
        """The end of the line, of which only blanks and a comment are left at ``index``."""
        at = _REST.match(self._text, index).end()  # type: ignore[union-attr]
        if at < len(self._text) and not _BREAK.match(self._text, at):
            raise _Refused("more stands on that line", index)
        return at

    def _content_end(self, node: yaml.Node) -> int:
        """The index behind the last character of a node that is no comment. A block's own mark lies behind those."""
        if isinstance(node, yaml.ScalarNode) or self._is_flow(node):
            return _end(node)
        last = node.value[-1]
        if isinstance(last, yaml.Node):
            if _start(last) < _start(node):
                raise _Refused("an alias stands at the end of it", _start(node))
            return self._content_end(last)
        key, value = last
        if _start(value) >= _end(key):
            return self._content_end(value)
        if alias := _ALIAS.match(self._text, _end(key)):
            return alias.end()
        raise _Refused("an alias stands at the end of it", _start(key))

    def _step(self) -> int:
        """By how many columns the file's first mapping within a mapping is indented."""
        entries = self._root.value if isinstance(self._root, yaml.MappingNode) else ()
        for key, value in entries:
            if isinstance(value, yaml.MappingNode) and value.value and not self._is_flow(value):
                step: int = value.value[0][0].start_mark.column - key.start_mark.column
                if step > 0:
                    return step
        return _INDENT


def _start(node: yaml.Node) -> int:
    index: int = node.start_mark.index
    return index


def _end(node: yaml.Node) -> int:
    index: int = node.end_mark.index
    return index


def _flow(path: Sequence[str], value: str, *, braces: bool = False) -> str:
    """``a: {b: value}``."""
    text = _scalar(value)
    for depth, name in reversed(list(enumerate(path))):
        text = f"{_scalar(name)}: {text}"
        if depth or braces:
            text = f"{{{text}}}"
    return text


def _scalar(value: str, style: str = "") -> str:
    """``value`` as a scalar, with the quotes of one that begins with ``style``; with some if it needs them."""
    if style == '"':
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if style != "'" and _PLAIN.fullmatch(value) and parse(value) == value:
        return value
    return "'" + value.replace("'", "''") + "'"
