"""Reads Terraform's language as far as its blocks and the text of their attributes; evaluates nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_SPACE = re.compile(r"(?:\s+|#[^\n]*|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][\w-]*")
_HEREDOC = re.compile(r"<<-?(\w+)[^\n]*\n")
_OPENING, _CLOSING = "([{", ")]}"


class Malformed(ValueError):
    """The text is not Terraform's language; the message has the line."""


@dataclass
class Body:
    """What stands between a block's braces, or in a file."""

    attributes: dict[str, str] = field(default_factory=dict)  #: name → expression, as it is written, without comments
    blocks: list[Block] = field(default_factory=list)

    def of(self, kind: str) -> Iterator[Block]:
        """The blocks of a kind."""
        return (block for block in self.blocks if block.kind == kind)


@dataclass
class Block:
    """``kind "label" "label" { body }``."""

    kind: str
    labels: tuple[str, ...]
    body: Body
    line: int

    @property
    def name(self) -> str:
        return ".".join(self.labels)

    def expressions(self) -> Iterator[str]:
        """All expressions in it, those of the blocks in it too."""
        yield from self.body.attributes.values()
        for block in self.body.blocks:
            yield from block.expressions()


def parse(text: str) -> Body:
    """The body of a file.

    :raises Malformed: it is none.
    """
    return _Reader(text).body(is_file=True)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def body(self, *, is_file: bool = False) -> Body:
        body = Body()
        while True:
            self._skip()
            if self.at == len(self.text):
                if is_file:
                    return body
                raise self._malformed("a block is not closed")
            if self.text[self.at] == "}" and not is_file:
                self.at += 1
                return body
            self._statement(body)

    def _statement(self, body: Body) -> None:
        line = self._line()
        name = self._word()
        self._skip(lines=False)
        if self.text.startswith("=", self.at):
            self.at += 1
            body.attributes[name] = self._expression()
            return
        labels = []
        while not self.text.startswith("{", self.at):
            labels.append(self._word())
            self._skip(lines=False)
        self.at += 1
        body.blocks.append(Block(name, tuple(labels), self.body(), line))

    def _word(self) -> str:
        if self.text.startswith('"', self.at):
            start = self.at
            self._string()
            return self.text[start + 1 : self.at - 1]
        match = _NAME.match(self.text, self.at)
        if not match:
            raise self._malformed("a name is expected")
        self.at = match.end()
        return match.group()

    def _expression(self) -> str:
        """Up to the end of the line, or of the block, outside of brackets."""
        parts = []
        depth = 0
        while self.at < len(self.text):
            char = self.text[self.at]
            start = self.at
            if char == '"':
                self._string()
            elif match := _HEREDOC.match(self.text, self.at):
                self._heredoc(match)
            elif char == "#" or self.text.startswith(("//", "/*"), self.at):
                end = _SPACE.match(self.text, self.at)
                self.at = end.end() if end and self.text.startswith("/*", self.at) else self._end_of_line()
                continue
            elif char == "\n" and depth == 0:
                break
            elif char in _OPENING:
                depth += 1
                self.at += 1
            elif char in _CLOSING:
                if depth == 0:
                    break  # the end of a block in one line
                depth -= 1
                self.at += 1
            else:
                self.at += 1
            parts.append(self.text[start : self.at])
        if depth:
            raise self._malformed("a bracket is not closed")
        return "".join(parts).strip()

    def _string(self) -> None:
        """Past a string; what is interpolated may have strings of its own."""
        self.at += 1
        while self.at < len(self.text):
            if self.text[self.at] == "\\":
                self.at += 2
            elif self.text.startswith(("$${", "%%{"), self.at):
                self.at += 3
            elif self.text.startswith(("${", "%{"), self.at):
                self.at += 2
                self._interpolated()
            elif self.text[self.at] == '"':
                self.at += 1
                return
            elif self.text[self.at] == "\n":
                break
            else:
                self.at += 1
        raise self._malformed("a string is not closed")

    def _interpolated(self) -> None:
        depth = 1
        while self.at < len(self.text) and depth:
            char = self.text[self.at]
            if char == '"':
                self._string()
                continue
            depth += (char == "{") - (char == "}")
            self.at += 1

    def _heredoc(self, start: re.Match[str]) -> None:
        end = re.compile(rf"^[ \t]*{start[1]}[ \t]*$", re.MULTILINE).search(self.text, start.end())
        if not end:
            raise self._malformed(f"there is no {start[1]} at the end of a text")
        self.at = end.end()

    def _skip(self, *, lines: bool = True) -> None:
        if lines:
            match = _SPACE.match(self.text, self.at)
            self.at = match.end() if match else self.at
        else:
            while self.text.startswith((" ", "\t"), self.at):
                self.at += 1

    def _line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1

    def _end_of_line(self) -> int:
        end = self.text.find("\n", self.at)
        return len(self.text) if end < 0 else end

    def _malformed(self, what: str) -> Malformed:
        return Malformed(f"line {self._line()}: {what}")
