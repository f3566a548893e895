"""What a shared directory does to the register in it: old readers, lost answers, files that were left behind."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.run.leases_directory import Directory


def test_who_read_long_ago_is_refused_though_its_number_is_free_again(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    directory.replace("x", "", "first")
    old = directory.read("x")
    for text in ("second", "third"):
        assert directory.replace("x", directory.read("x").version, text)
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["3"], "the number 2 is free again"

    assert not directory.replace("x", old.version, "late")

    assert directory.read("x").text == "third"
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["3"]


def test_a_link_that_is_made_counts_whatever_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def answer_lost(*arguments: Any, **options: Any) -> None:
        link(*arguments, **options)
        raise FileExistsError(17, "File exists")  # what the server says when the request comes a second time

    directory = Directory(tmp_path)
    monkeypatch.setattr(os, "link", answer_lost)
    assert directory.replace("x", "", "mine")
    assert directory.read("x").text == "mine"


def test_time_is_the_file_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = Directory(tmp_path)
    monkeypatch.setattr(time, "time", lambda: 0.0)  # this host's clock is decades behind
    assert directory.read("x").now > 1.7e9


def test_files_of_who_was_killed_go_after_an_hour_and_not_before(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    directory.replace("x", "", "1")
    for folder in (tmp_path, tmp_path / "x"):
        for name, age in ((".old", 3700), (".new", 3000)):
            (folder / name).touch()
            os.utime(folder / name, (time.time() - age,) * 2)
    Directory(tmp_path).replace("x", "1", "2")
    assert {path.name for path in tmp_path.iterdir()} == {".new", "x"}
    assert {path.name for path in (tmp_path / "x").iterdir()} == {".new", "2"}


def test_a_name_stays_inside(tmp_path: Path) -> None:
    (tmp_path / "leases").mkdir()
    directory = Directory(tmp_path / "leases")
    assert directory.replace("../../etc/passwd", "", "text")
    assert directory.read("../../etc/passwd").text == "text"
    assert [path.name for path in tmp_path.iterdir()] == ["leases"]


def test_a_directory_that_goes_away_is_named(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    directory = Directory(shared)
    shared.rmdir()
    with pytest.raises(CrosscloudError, match=r"leases: .*shared/x: No such file"):
        directory.read("x")
