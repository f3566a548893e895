"""The file of a bundle: the same bytes for the same files, whole or absent, and no trust in what is read."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud.errors import ConfigurationError
from pytest_crosscloud.repro import bundle

DOCUMENT: dict[str, Any] = {
    "version": bundle.VERSION,
    "crosscloud": "1.0",
    "cell": {"ref": {"name": "head", "version": "v1", "commit": "", "url": "", "note": ""}},
    "pins": [],
    **{key: {} for key in ("run", "project", "chart", "deploy_timeout", "e2e", "failure")},
    "redacted": [],
    "left_out": [],
}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "cells" / "a" / bundle.FILE
    path.parent.mkdir(parents=True)
    return path


def packed(target: Path, files: dict[str, str], **changes: object) -> Path:
    """A bundle of files."""
    folder = target.parent / "files"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    listed = {name: bundle.sha256(folder / name) for name in files}
    (folder / bundle.DOCUMENT).write_text(json.dumps({**DOCUMENT, "files": listed, **changes}))
    bundle.write(folder, target)
    return target


FILES = {"values.yaml": "a: 1", "chart/demo/Chart.yaml": "name: demo"}


def test_the_same_files_give_the_same_bytes(target: Path) -> None:
    before = packed(target, FILES).read_bytes()
    for number, path in enumerate((target.parent / "files").rglob("*")):
        os.utime(path, (number, number))
        path.chmod(0o700)
    bundle.write(target.parent / "files", target)
    assert target.read_bytes() == before
    with tarfile.open(target) as tar:
        assert tar.getnames() == ["bundle.json", "chart/demo/Chart.yaml", "values.yaml"]
        assert {(entry.mtime, entry.uid, entry.uname, entry.mode) for entry in tar} == {(0, 0, "", 0o644)}


def test_what_was_written_is_read(target: Path) -> None:
    found = bundle.read(packed(target, FILES))
    assert found.ref.version == "v1"
    folder = bundle.unpack(found)
    assert {name: (folder / name).read_text() for name in FILES} == FILES
    assert bundle.unpack(found) == folder
    old = folder.with_name("old")
    old.mkdir()
    os.utime(old, (1, 1))
    bundle.unpack(found)
    assert folder.is_dir() and not old.exists(), "what nobody uses any more goes"


def test_it_is_there_whole_or_not_at_all(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        packed(target, FILES)
    assert [path.name for path in target.parent.parent.rglob("*bundle*")] == [bundle.DOCUMENT]


def test_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no\.tar\.gz cannot be read: No such file") as caught:
        bundle.read(tmp_path / "no.tar.gz")
    assert "cells/CELL" in caught.value.remedy
    with pytest.raises(ConfigurationError, match="Is a directory"):
        bundle.read(tmp_path)


def test_a_newer_one_is_not_guessed_at(target: Path) -> None:
    packed(target, FILES, version=bundle.VERSION + 1, crosscloud="9.9")
    with pytest.raises(ConfigurationError, match=r"newer pytest-crosscloud \(9\.9\)") as caught:
        bundle.read(target)
    assert caught.value.remedy == "upgrade pytest-crosscloud"


@pytest.mark.parametrize("changes", [{"version": "1"}, {"cell": {}}, {"pins": [{"name": "A"}]}, {"cell": None}])
def test_what_it_says_must_make_sense(target: Path, changes: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="is damaged"):
        bundle.read(packed(target, FILES, **changes))


def test_what_is_no_bundle(target: Path) -> None:
    target.write_text("text")
    with pytest.raises(ConfigurationError, match="is damaged: BadGzipFile"):
        bundle.read(target)
    with tarfile.open(target, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("something"), io.BytesIO())
    with pytest.raises(ConfigurationError, match="is no bundle of a failed cell"):
        bundle.read(target)


@pytest.mark.parametrize("at", [0.5, 0.9])
def test_a_damage_is_found_wherever_it_is(target: Path, at: float) -> None:
    content = bytearray(packed(target, {**FILES, "noise": os.urandom(100_000).hex()}).read_bytes())
    where = int(len(content) * at)
    target.write_bytes(content[:where])
    with pytest.raises(ConfigurationError, match="is damaged"):
        bundle.unpack(bundle.read(target))
    content[where] ^= 0xFF
    target.write_bytes(content)
    with pytest.raises(ConfigurationError, match="is damaged"):
        bundle.unpack(bundle.read(target))
    assert not [path for path in Path(os.environ["XDG_CACHE_HOME"]).rglob("*") if path.name == "values.yaml"]


def _add(name: str, **fields: Any) -> Callable[[tarfile.TarFile], None]:
    def add(tar: tarfile.TarFile) -> None:
        entry = tarfile.TarInfo(name)
        for field, value in fields.items():
            setattr(entry, field, value)
        tar.addfile(entry, io.BytesIO(b"x" * entry.size))

    return add


@pytest.mark.parametrize(
    ("add", "why"),
    [
        (_add("../outside", size=1), "knows no ../outside"),
        (_add("/etc/outside", size=1), "knows no /etc/outside"),
        (_add("values.yaml", size=1), "values.yaml is not what it was"),
        (_add("values.yaml", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "values.yaml is no file"),
        (_add("values.yaml", type=tarfile.CHRTYPE), "values.yaml is no file"),
        (lambda tar: None, "values.yaml is missing"),
    ],
    ids=["above", "absolute", "changed", "link", "device", "missing"],
)
def test_nothing_but_its_own_files_is_unpacked(target: Path, add: Callable[[tarfile.TarFile], None], why: str) -> None:
    listed = {"values.yaml": "sha256:" + "0" * 64}
    with tarfile.open(target, "w:gz") as tar:
        text = json.dumps({**DOCUMENT, "files": listed}).encode()
        entry = tarfile.TarInfo(bundle.DOCUMENT)
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
        add(tar)
    with pytest.raises(ConfigurationError, match=f"is damaged: .*{why}"):
        bundle.unpack(bundle.read(target))


def test_a_bomb_is_not_unpacked(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed(target, {"large": "0" * 1000})
    monkeypatch.setattr(bundle, "IMAGES_LIMIT", 100)
    monkeypatch.setattr(bundle, "FILES_LIMIT", 100)
    with pytest.raises(ConfigurationError, match="larger than a bundle can be"):
        bundle.unpack(bundle.Bundle(target, {"files": {"large": ""}}))
