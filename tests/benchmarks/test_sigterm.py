"""The sigterm benchmark: one SIGTERM for real, and what becomes of its samples."""

from __future__ import annotations

from pathlib import Path

from benchmarks.sigterm import BEHAVIOUR, Ended, figures, is_junit, is_valid, terminated
from benchmarks.simulated import rootdir


def test_a_sigterm_in_the_middle_of_a_long_stage(tmp_path: Path) -> None:
    with rootdir.serve(tmp_path / "ledger", BEHAVIOUR) as client:
        ended = terminated(tmp_path / "one", client, "provision", 0)

    assert (ended.code, ended.junit, ended.left) == (2, True, ())


def test_the_share_of_what_went_wrong_is_told_in_the_peers_number() -> None:
    good = Ended("e2e", 2, junit=True, left=(), seconds=1.0)
    bad = Ended("e2e", 0, junit=False, left=("1 sleep",), seconds=3.0)

    taken = {figure.name: figure for figure in figures([good, good, good, bad], [bad, bad, good, good, good])}

    for name in ("sigterm-exit-0", "sigterm-no-junit", "sigterm-left"):
        assert (taken[name].value, taken[name].peer, taken[name].ok) == (1.25, {"kubetest2": 2}, False)
    assert taken["sigterm-seconds"].value == 1.0


def test_an_empty_file_is_no_junit(tmp_path: Path) -> None:
    (tmp_path / "empty.xml").touch()
    (tmp_path / "cut.xml").write_text("<testsuites><testsuite>")
    (tmp_path / "whole.xml").write_text("<testsuites><testsuite/></testsuites>")
    names = ("empty", "cut", "whole", "none")
    assert [name for name in names if is_junit(tmp_path / f"{name}.xml")] == ["whole"]
    assert not any(is_valid(tmp_path / f"{name}.xml", "start") for name in names)


def test_a_junit_that_is_valid_says_what_was_run(tmp_path: Path) -> None:
    counts = 'name="pytest" tests="{0}" failures="0" errors="0" skipped="0"'
    suite = f"<testsuites><testsuite {counts}>{{1}}</testsuite></testsuites>"
    (tmp_path / "none.xml").write_text(suite.format(0, ""))
    (tmp_path / "one.xml").write_text(suite.format(1, '<testcase classname="t" name="t" time="0.1"/>'))
    assert is_valid(tmp_path / "none.xml", "start") and not is_valid(tmp_path / "none.xml", "e2e")
    assert is_valid(tmp_path / "one.xml", "e2e")
