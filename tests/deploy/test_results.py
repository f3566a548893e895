"""What an e2e container left: the collector's archive and the JUnit file in it."""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_crosscloud import redact
from pytest_crosscloud.deploy import results


def log_of(files: dict[str, bytes], *, link: str = "") -> str:
    """What the collector writes for these files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        if link:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(entry)
    text = base64.encodebytes(packed.getvalue()).decode()
    return f"crosscloud-note: big.bin left out\ncrosscloud-results-begin\n{text}crosscloud-results-end\n"


def test_files_come_back_as_they_were(tmp_path: Path) -> None:
    log = log_of({"junit.xml": b"<testsuite/>", "more/data": bytes(range(256))})

    files = results.unpack(log, tmp_path)

    assert {str(file.relative_to(tmp_path)): file.read_bytes() for file in files} == {
        "junit.xml": b"<testsuite/>",
        "more/data": bytes(range(256)),
    }
    assert results.notes(log) == ["big.bin left out"]


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(redact, "_known", {"hunter2hunter2"})
    return "hunter2hunter2"


def test_files_of_text_are_redacted_and_others_stay_as_they_were(tmp_path: Path, secret: str) -> None:
    binary = b"\xff\xfe" + secret.encode()
    config = f'{{"token": "{"x" * 20}", "other": "{secret}"}}'.encode()

    files = results.unpack(log_of({"a.json": config, "b.bin": binary, "c.txt": "Größe\r\n".encode()}), tmp_path)

    assert [file.read_bytes() for file in files] == [
        b'{"token": "[redacted]", "other": "[redacted]"}',
        binary,
        "Größe\r\n".encode(),
    ]


def test_a_key_that_is_cut_off_does_not_spoil_the_junit_file(tmp_path: Path) -> None:
    junit = b"<testsuite><testcase name='a'><failure>-----BEGIN PRIVATE KEY-----\nMHcC</failure></testcase></testsuite>"
    (file,) = results.unpack(log_of({"junit.xml": junit}), tmp_path)

    assert results.read_junit(file.read_bytes()).failures == ["a: [redacted]"]


def test_failures_are_redacted(secret: str) -> None:
    report = results.read_junit(
        f"<testsuite><testcase name='a {secret}'><failure message='is {secret}'/></testcase></testsuite>".encode()
    )

    assert report.failures == ["a [redacted]: is [redacted]"]


def test_nothing_is_written_outside_of_the_directory(tmp_path: Path) -> None:
    inside = tmp_path / "results"

    files = results.unpack(log_of({"../out": b"", "/abs": b"", "a/../../out": b"", "ok": b""}, link="link"), inside)

    assert files == [inside / "ok"]
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


@pytest.mark.parametrize("cut", ["crosscloud-results-begin", "crosscloud-results-end"])
def test_an_archive_that_is_cut_short_says_so(tmp_path: Path, cut: str) -> None:
    log = log_of({"junit.xml": b"<testsuite/>"})

    with pytest.raises(results.BadResults):
        results.unpack(log[: log.index(cut)], tmp_path)


@given(st.sampled_from([b"", gzip.compress(b"")[:10], gzip.compress(b"x" * 600)]), st.binary(max_size=300))
def test_a_broken_archive_is_an_answer_not_a_crash(start: bytes, garbage: bytes) -> None:
    text = base64.b64encode(start + garbage).decode()

    with pytest.raises(results.BadResults):
        results.unpack(f"crosscloud-results-begin\n{text}\ncrosscloud-results-end", Path("/nonexistent"))


def test_counts_and_failures_of_nested_suites() -> None:
    report = results.read_junit(
        b"""<testsuites><testsuite name="dns">
          <testcase classname="dns" name="service"/>
          <testcase name="reverse"><failure message="no PTR record&#10;for 10.0.0.1">details</failure></testcase>
          <testcase name="metrics"><error>connection refused
            at line 3</error></testcase>
          <testsuite><testcase name="later"><skipped/></testcase></testsuite>
        </testsuite></testsuites>"""
    )

    assert (report.passed, report.failed, report.skipped) == (1, 2, 1)
    assert report.failures == ["reverse: no PTR record", "metrics: connection refused"]


OUTCOMES = {"passed": "", "failed": "<failure message='m'/>", "skipped": "<skipped/>"}


@given(st.lists(st.tuples(st.text(st.characters(categories=("L", "P"))), st.sampled_from(sorted(OUTCOMES)))))
def test_every_test_case_is_counted_once(cases: list[tuple[str, str]]) -> None:
    body = "".join(f"<testcase name={quoteattr(name)}>{OUTCOMES[outcome]}</testcase>" for name, outcome in cases)

    counts = results.read_junit(f"<testsuite>{body}</testsuite>".encode()).counts

    for outcome in OUTCOMES:
        assert getattr(counts, outcome) == sum(1 for _, found in cases if found == outcome)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not well-formed"),
        (b"<testsuite><testcase>", "not well-formed"),
        (b"<html/>", "its root is html"),
        (b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><testsuite name="&b;"/>', "no document type"),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><testsuite/>', "no document type"),
    ],
)
def test_what_is_not_junit_says_why(content: bytes, why: str) -> None:
    with pytest.raises(results.BadResults, match=why):
        results.read_junit(content)


def test_junit_xml_is_preferred_over_other_xml() -> None:
    files = [Path("coverage.xml"), Path("junit.xml"), Path("log.txt")]

    assert results.find_junit(files) == Path("junit.xml")
    assert results.find_junit([Path("coverage.xml"), Path("out/my-junit-1.xml")]) == Path("out/my-junit-1.xml")
    assert results.find_junit([Path("log.txt")]) is None
