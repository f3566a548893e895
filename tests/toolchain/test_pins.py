"""The pins are whole, and can be overridden by a file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pytest_crosscloud.errors import ConfigurationError
from pytest_crosscloud.toolchain import pins

TOOLS = tuple(pins.load()["tools"])


@pytest.mark.parametrize("name", TOOLS)
def test_every_tool_can_be_had_on_both_arches_and_is_checked(name: str) -> None:
    for source in pins.pinned(name).sources:
        sums = {**source.sum, **source.hashes}
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in sums.values())
        assert (source.kind in ("release", "pypi")) == bool(sums), (
            "a download has sums; a module or npm package its own"
        )
        assert source.url.startswith("https://") == (source.kind == "release")
    reachable = pins.pinned(name).sources
    for arch in ("amd64", "arm64"):
        assert any(arch in {**one.sum, **one.hashes} or one.kind in ("module", "npm") for one in reachable)


@pytest.mark.parametrize("name", TOOLS)
def test_what_is_pinned_would_be_accepted_from_path(name: str) -> None:
    pin = pins.pinned(name)
    minimum = tuple(map(int, pin.minimum.split(".")))
    assert all(tuple(map(int, source.version.split(".")[:2])) >= minimum for source in pin.sources)


def test_the_npm_lock_has_the_pinned_allure_and_a_checksum_of_every_package() -> None:
    lock = json.loads((Path(pins.__file__).with_name("npm") / "package-lock.json").read_text())["packages"]
    assert lock["node_modules/allure"]["version"] == pins.pinned("allure").sources[0].version
    packages = [package for path, package in lock.items() if path]
    assert all(package["integrity"].startswith("sha512-") for package in packages)
    assert not any("resolved" in package for package in packages), "an address here would override the user's registry"


def test_a_file_overrides_single_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = pins.pinned("helm")
    override = tmp_path / "pins.toml"
    override.write_text('[kubernetes]\nstable = "v1.35.4"\n[tools.helm]\nminimum = "4.0"\n')
    monkeypatch.setenv("CROSSCLOUD_PINS", str(override))
    assert pins.load()["kubernetes"]["stable"] == "v1.35.4"
    after = pins.pinned("helm")
    assert (after.minimum, after.sources) == ("4.0", before.sources)
    assert after.fingerprint != before.fingerprint


@pytest.mark.parametrize("content", [None, "not = toml ["])
def test_a_file_that_cannot_be_read_is_named(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    override = tmp_path / "mine.toml"
    if content:
        override.write_text(content)
    monkeypatch.setenv("CROSSCLOUD_PINS", str(override))
    with pytest.raises(ConfigurationError, match=r"CROSSCLOUD_PINS: .*mine\.toml"):
        pins.load()


def test_an_unknown_computer_is_a_clear_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "sparc64")
    with pytest.raises(ConfigurationError, match="sparc64"):
        pins.host_arch()
