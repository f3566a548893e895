"""Whether a file is valid JUnit XML, by the schema of Jenkins' xUnit plugin (junit-10.xsd)."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

#: By element: the attributes it must have, those it may have, and what it may contain.
_ELEMENTS: dict[str, tuple[str, str, str]] = {
    "testsuites": ("", "name time tests failures errors", "testsuite"),
    "testsuite": (
        "name tests failures errors",
        "group time skipped timestamp hostname id package file log url version",
        "testsuite properties testcase system-out system-err",
    ),
    "properties": ("", "", "property"),
    "property": ("name value", "", ""),
    "testcase": ("name", "time classname group", "skipped error failure system-out system-err"),
    "failure": ("", "type message", ""),
    "error": ("", "type message", ""),
    "skipped": ("", "type message", ""),
    "system-out": ("", "", ""),
    "system-err": ("", "", ""),
}
_TEXT = {"failure", "error", "skipped", "system-out", "system-err"}
_TIME = re.compile(r"\d*(\.\d{0,3})?")


def check(path: Path) -> ET.Element:
    """The document's root.

    :raises ValueError: (also ElementTree's ParseError, a SyntaxError) it is not valid.
    """
    root = ET.fromstring(path.read_bytes())  # noqa: S314 - pytest wrote it, or we
    if root.tag not in ("testsuites", "testsuite"):
        raise ValueError(f"{path}: the root is <{root.tag}>")
    for element in root.iter():
        _check(element)
    for suite in root.iter("testsuite"):
        _check_counts(suite)
    return root


def _check(element: ET.Element) -> None:
    if element.tag not in _ELEMENTS:
        raise ValueError(f"<{element.tag}> is no element of the schema")
    required, optional, children = (set(names.split()) for names in _ELEMENTS[element.tag])
    given = set(element.attrib)
    if required - given or given - required - optional:
        raise ValueError(f"<{element.tag}> with the attributes {', '.join(sorted(given))}")
    if wrong := [child.tag for child in element if child.tag not in children]:
        raise ValueError(f"<{wrong[0]}> in <{element.tag}>")
    if element.tag not in _TEXT and (element.text or "").strip():
        raise ValueError(f"text in <{element.tag}>")
    if element.tag != "testcase" and not _TIME.fullmatch(element.get("time", "")):
        raise ValueError(f"<{element.tag} time={element.get('time')!r}>")


def _check_counts(suite: ET.Element) -> None:
    """What the schema does not say, and readers go by."""
    cases = suite.findall("testcase")
    # pytest counts a test whose call and whose teardown went wrong once as each, and as two tests.
    if len(cases) != int(suite.get("tests", 0)):
        raise ValueError(f"{suite.get('name')}: {len(cases)} test cases, {suite.get('tests')} counted")
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        count = sum(case.find(tag) is not None for case in cases)
        if attribute in suite.attrib and int(suite.attrib[attribute]) != count:
            raise ValueError(f"{suite.get('name')}: {count} {attribute}, {suite.get(attribute)} counted")
