"""What a Kubernetes ref means."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import ErrorClass
from pytest_crosscloud.toolchain import node, pins
from pytest_crosscloud.toolchain.kubernetes import resolve_kubernetes

PROXY = """case "$1" in
version) echo "go version go1.26.9" ;;
*) echo '{"Versions": ["v1.35.1", "v1.35.4", "v1.36.0-rc.0", "v1.36.3", "v1.37.0-alpha.1"]}' ;;
esac"""


NAMES = pins.load()["kubernetes"]


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "go"
    program.write_text(f"#!/bin/sh\n{PROXY}\n")
    program.chmod(0o755)
    monkeypatch.setenv("CROSSCLOUD_GO", str(program))


def test_stable_is_pinned_and_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSCLOUD_GO", "/nowhere")
    ref = resolve_kubernetes("stable", NAMES)
    assert (ref.name, ref.version) == ("stable", pins.load()["kubernetes"]["stable"])


def test_a_file_may_name_versions_head_too() -> None:
    names = {"head": "v1.36.0", "old": "1.34.4"}
    assert resolve_kubernetes("head", names).version == "v1.36.0"
    assert resolve_kubernetes("old", names).version == "v1.34.4"


def test_head_is_the_newest_that_is_served_pre_releases_included(proxy: None) -> None:
    ref = resolve_kubernetes("head", NAMES)
    assert (ref.name, ref.version) == ("head", "v1.37.0-alpha.1")
    assert "newest tag" in ref.note


def test_auto_is_the_newest_release_of_the_minor_before_the_newest(proxy: None) -> None:
    for name in ("stable", "previous"):
        ref = resolve_kubernetes(name, {**NAMES, name: "auto"})
        assert (ref.name, ref.version) == (name, "v1.35.4")
        assert "minor before" in ref.note
    with pytest.raises(StageError, match="no such Kubernetes version: auto"):
        resolve_kubernetes("auto", NAMES)


@pytest.mark.parametrize("name", ["v1.35.4", "1.35.4"])
def test_a_version_is_itself(proxy: None, name: str) -> None:
    ref = resolve_kubernetes(name, NAMES)
    assert (ref.name, ref.version) == (name, "v1.35.4")
    assert ref.url.endswith("/v1.35.4")


def test_a_version_whose_bundle_is_there_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSCLOUD_GO", "/nowhere")
    monkeypatch.setattr(node, "cached_bundle", lambda ref, arch: object())
    assert resolve_kubernetes("v1.34.4", NAMES).version == "v1.34.4"


@pytest.mark.parametrize("name", ["v1.99.0", "master", "stabel"])
def test_no_such_version_names_some_that_are(proxy: None, name: str) -> None:
    with pytest.raises(StageError, match=f"no such Kubernetes version: {name}") as caught:
        resolve_kubernetes(name, NAMES)
    assert caught.value.message.endswith("known: stable, head")
    assert caught.value.remedy.endswith("v1.35.4, v1.36.3")
    assert caught.value.error_class == ErrorClass.CONFIGURATION
