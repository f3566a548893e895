"""Only the pinned file is kept, whatever the network does."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_crosscloud.errors import StageError
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.toolchain import download
from pytest_crosscloud.toolchain.download import Unavailable

from .conftest import Releases

URL = "https://get.example.org/tool-1.0.tar.gz"
AT = "get.example.org/tool-1.0.tar.gz"


def fetch(stage: StageContext, checksum: str, target: Path) -> None:
    download.fetch(stage, URL, checksum, target, "tool 1.0")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_the_pinned_file_is_downloaded_from_the_mirror(
    releases: Releases, stage: StageContext, said: list[str], tmp_path: Path, algorithm: str
) -> None:
    content = b"x" * 3_000_000
    fetch(stage, releases.add(AT, content, algorithm), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == content
    assert "tool 1.0: downloading 1 of 2 MB" in said


def test_another_file_is_refused_and_nothing_kept(releases: Releases, stage: StageContext, tmp_path: Path) -> None:
    checksum = releases.add(AT, b"what was pinned")
    actual = releases.add(AT, b"what somebody put there")
    with pytest.raises(StageError) as caught:
        fetch(stage, checksum, tmp_path / "file")
    assert checksum in caught.value.message
    assert actual in caught.value.message
    assert "nothing was installed" in caught.value.remedy
    assert not (tmp_path / "file").exists()


def test_half_a_download_is_tried_again(releases: Releases, stage: StageContext, tmp_path: Path) -> None:
    checksum = releases.add(AT, b"whole file")
    releases.broken[AT] = 2
    fetch(stage, checksum, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"whole file"
    assert releases.requests.count(f"GET /{AT}") == 3


def test_a_download_that_always_breaks_off_is_given_up(releases: Releases, stage: StageContext, tmp_path: Path) -> None:
    checksum = releases.add(AT, b"whole file")
    releases.broken[AT] = 99
    with pytest.raises(Unavailable):
        fetch(stage, checksum, tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_a_missing_file_is_not_asked_for_again_and_others_still_are(
    releases: Releases, stage: StageContext, tmp_path: Path
) -> None:
    with pytest.raises(Unavailable, match="404"):
        fetch(stage, "sha256:0", tmp_path / "file")
    assert releases.requests == [f"HEAD /{AT}"]
    fetch(stage, releases.add(AT, b"now it is there"), tmp_path / "file")


def test_no_network_is_found_out_once(
    stage: StageContext, offline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unavailable):
        fetch(stage, "sha256:0", tmp_path / "file")
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("asked again"))
    with pytest.raises(Unavailable, match="no way"):
        download.fetch(stage, "https://elsewhere.example.org/x", "sha256:0", tmp_path / "file", "x")


def test_without_a_mirror_the_official_place_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CROSSCLOUD_MIRROR", raising=False)
    assert download.location(URL) == URL
