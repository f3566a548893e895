"""What an e2e container left in /results: unpacked from the collector's log, and its JUnit file counted."""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
import xml.parsers.expat
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..model import TestCounts
from ..redact import redact

#: Bytes that the collector's archive may have unpacked: more than its own limit means that it is not its archive.
_UNPACKED_LIMIT = 16 << 20

#: Failures that are kept of one JUnit file, and characters of each one's message.
_FAILURES = 50
_MESSAGE = 500

# Written by deploy/collector/main.go.
_BEGIN, _END, _NOTE = "crosscloud-results-begin", "crosscloud-results-end", "crosscloud-note: "


class BadResults(ValueError):
    """The results are there and cannot be read; the message says why."""


@dataclass
class JUnit:
    """What a JUnit file says."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)  #: "name: message"

    @property
    def counts(self) -> TestCounts:
        return TestCounts(self.passed, self.failed, self.skipped)


def notes(log: str) -> list[str]:
    """What the collector says that it left out."""
    return [line.removeprefix(_NOTE) for line in log.splitlines() if line.startswith(_NOTE)]


def unpack(log: str, directory: Path) -> list[Path]:
    """Write the files in a collector's log below ``directory``, text redacted; return them in the order of their names.

    :raises BadResults: the archive is cut short or broken.
    """
    _, begin, after = log.partition(f"{_BEGIN}\n")
    text, end, _ = after.partition(_END)
    if not begin or not end:
        raise BadResults("the collector was ended before it had written the results" if begin else "no results")
    written = []
    try:
        with gzip.open(io.BytesIO(base64.b64decode(text))) as packed:
            archive = packed.read(_UNPACKED_LIMIT + 1)
        if len(archive) > _UNPACKED_LIMIT:
            raise BadResults("the results are larger than the collector's limit")
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                path = PurePosixPath(member.name)
                if content is None or path.is_absolute() or ".." in path.parts:
                    continue
                target = directory / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(_redacted(content.read()))
                written.append(target)
    except (ValueError, OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise BadResults(f"the results cannot be unpacked: {error}") from error
    return sorted(written)


def _redacted(content: bytes) -> bytes:
    """A text without secrets; what is no text stays as it is."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content
    return redact(text).encode()


def find_junit(files: list[Path]) -> Path | None:
    """The JUnit file among the results: ``junit.xml``, else the first that is called so, else the first XML file."""
    found = [path for path in files if path.suffix == ".xml"]
    return min(found, key=lambda path: (path.name != "junit.xml", "junit" not in path.name, path), default=None)


def read_junit(content: bytes) -> JUnit:
    """Count a JUnit file (``testsuites``, ``testsuite`` or a bare ``testcase`` as its root).

    The file comes from the software under test: document types, and with them entities, are refused.

    :raises BadResults: it is no XML, or no JUnit.
    """
    reader = _Reader()
    try:
        reader.parser.Parse(content, True)
    except xml.parsers.expat.ExpatError as error:
        raise BadResults(f"not well-formed: {error}") from error
    return reader.junit


class _Reader:
    """Counts test cases as expat meets them."""

    def __init__(self) -> None:
        self.junit = JUnit()
        self.parser = xml.parsers.expat.ParserCreate()
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self._depth = 0
        self._case = ""
        self._outcome = ""
        self._message = ""
        self._body = ""
        self._inside = ""

    def _refuse(self, *_: object) -> None:
        raise BadResults("a JUnit file has no document type")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._depth == 0 and tag not in {"testsuites", "testsuite", "testcase"}:
            raise BadResults(f"not a JUnit file: its root is {tag}")
        self._depth += 1
        if tag == "testcase":
            self._case = attributes.get("name") or attributes.get("classname") or "unnamed"
            self._outcome = self._message = self._body = ""
        elif self._case and tag in {"failure", "error", "skipped"} and self._outcome != "failed":
            self._inside = tag
            self._outcome = "skipped" if tag == "skipped" else "failed"
            self._message = attributes.get("message", "")

    def _text(self, text: str) -> None:
        if self._inside and len(self._body) < _MESSAGE:
            self._body += text

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if tag == self._inside:
            self._inside = ""
        if tag != "testcase":
            return
        if self._outcome == "failed":
            self.junit.failed += 1
            said = (self._message or self._body).strip().split("\n")[0][:_MESSAGE]
            if len(self.junit.failures) < _FAILURES:
                self.junit.failures.append(redact(f"{self._case}: {said}" if said else self._case))
        elif self._outcome == "skipped":
            self.junit.skipped += 1
        else:
            self.junit.passed += 1
        self._case = ""
