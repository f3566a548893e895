"""Images made without an engine: deterministic, well-formed, and known to be whole."""

from __future__ import annotations

import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_crosscloud.build.images import File, ImageConfig, Layout, Link, write

CONFIG = ImageConfig(arch="arm64", entrypoint=["/bin/app", "-x"], env={"B": "2", "A": "1"}, ports=["53/udp"])


def files(directory: Path) -> list[File]:
    directory.mkdir()
    program = directory / "app"
    program.write_bytes(b"\x7fELF")
    return [
        File("/bin/app", program, 0o755),
        File("/etc/ssl/ca.crt", b"certificates"),
        File("/bin/alias", Link("app")),
    ]


def layer(layout: Layout) -> Path:
    return layout.path(list(layout.blobs())[1].digest)


def test_the_same_inputs_give_the_same_digest(tmp_path: Path) -> None:
    first = write(tmp_path / "1", files(tmp_path / "a"), CONFIG)
    later = files(tmp_path / "b")
    os.utime(tmp_path / "b" / "app", (1, 1))
    second = write(tmp_path / "2", list(reversed(later)), CONFIG)
    assert first.manifest == second.manifest


@pytest.mark.parametrize(
    "config",
    [
        replace(CONFIG, arch="amd64"),
        replace(CONFIG, entrypoint=["/bin/app"]),
        replace(CONFIG, env={}),
        replace(CONFIG, user="1:1"),
        replace(CONFIG, ports=[]),
        replace(CONFIG, labels={"a": "b"}),
    ],
)
def test_another_configuration_gives_another_digest(tmp_path: Path, config: ImageConfig) -> None:
    content = files(tmp_path / "a")
    assert write(tmp_path / "1", content, CONFIG).manifest != write(tmp_path / "2", content, config).manifest


def test_the_layer_holds_the_files_owned_by_root_without_times(tmp_path: Path) -> None:
    layout = write(tmp_path / "image", files(tmp_path / "a"), CONFIG)
    with tarfile.open(layer(layout)) as tar:
        entries = {entry.name: entry for entry in tar}
        assert list(entries) == ["bin", "etc", "etc/ssl", "bin/alias", "bin/app", "etc/ssl/ca.crt"]
        assert {(entry.uid, entry.gid, entry.mtime) for entry in entries.values()} == {(0, 0, 0)}
        assert entries["bin/app"].mode == 0o755
        assert entries["bin/alias"].linkname == "app"
        content = tar.extractfile("etc/ssl/ca.crt")
        assert content and content.read() == b"certificates"


def test_the_configuration_says_how_it_starts(tmp_path: Path) -> None:
    layout = write(tmp_path / "image", files(tmp_path / "a"), CONFIG)
    config = json.loads(layout.path(next(layout.blobs()).digest).read_text())
    assert (config["os"], config["architecture"]) == ("linux", "arm64")
    assert config["config"]["Entrypoint"] == ["/bin/app", "-x"]
    assert config["config"]["Env"] == ["A=1", "B=2"]
    assert config["config"]["ExposedPorts"] == {"53/udp": {}}
    assert config["rootfs"]["diff_ids"] == [list(layout.blobs())[1].digest]


def test_a_layout_knows_when_it_lost_something(tmp_path: Path) -> None:
    layout = write(tmp_path / "image", files(tmp_path / "a"), CONFIG)
    assert layout.intact()
    with layer(layout).open("r+b") as blob:
        blob.truncate(10)
    assert not layout.intact()
    layer(layout).unlink()
    assert not layout.intact()
    assert not Layout(tmp_path / "nothing").intact()
