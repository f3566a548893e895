"""Images of Debian's packages: chosen by apt, unpacked without dpkg, the same bytes for the same versions."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_crosscloud.build import debian
from pytest_crosscloud.build.debian import DebianBuild
from pytest_crosscloud.build.distribution import Repository
from pytest_crosscloud.build.images import File
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import BuildRequest, Project, Ref
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.toolchain import pins
from tests.build.debian_packages import DebianPackages
from tests.build.module_proxy import ModuleProxy

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb is not installed")

BUILD = DebianBuild(packages=("app",), image="tests/app", entrypoint=["/usr/bin/app"], files=[File("/etc/app", b"1")])
PROJECT = Project(name="app", build=BUILD, chart="")


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DebianPackages]:
    packages = DebianPackages(tmp_path / "apt")
    monkeypatch.setenv("PATH", f"{packages.directory}:{os.environ['PATH']}")
    debian._choose.cache_clear()
    packages.add("app", "1:2.0-1", {"usr/bin/app": b"program", "usr/share/doc/app/README": b"read me"})
    packages.add(
        "libapp1",
        "2.0-1+b1",
        {
            "lib/x/libapp.so.1.2": b"library",
            "lib/x/libapp.so.1": Path("libapp.so.1.2"),
            "usr/share/doc/libapp1/copyright": b"MIT",
            "usr/share/man/man1/app.1": b"manual",
        },
    )
    yield packages
    debian._choose.cache_clear()


def layer(stage: StageContext, target: Path) -> dict[str, tarfile.TarInfo]:
    debian.write_layer(stage, ["app"], "amd64", target)
    with tarfile.open(target) as tar:
        return {entry.name: entry for entry in tar}


def test_files_lie_where_debian_has_them(apt: DebianPackages, stage: StageContext, tmp_path: Path) -> None:
    entries = layer(stage, tmp_path / "layer.tar")

    files = {name for name, entry in entries.items() if entry.isreg()}
    assert files == {"usr/bin/app", "usr/lib/x/libapp.so.1.2", "usr/share/doc/libapp1/copyright"}
    links = {name: entry.linkname for name, entry in entries.items() if entry.issym()}
    assert links.pop("usr/lib/x/libapp.so.1") == "libapp.so.1.2"
    assert links["lib"] == "usr/lib"
    assert {(entry.uid, entry.gid, entry.mtime) for entry in entries.values()} == {(0, 0, 0)}


def test_apt_is_asked_as_for_an_empty_computer(apt: DebianPackages, stage: StageContext, tmp_path: Path) -> None:
    layer(stage, tmp_path / "layer.tar")

    simulated, fetched = apt.asked
    assert "-o Dir::State::status=/dev/null" in simulated
    assert simulated.endswith("install --simulate app")
    assert fetched.endswith("download app:amd64=1:2.0-1 libapp1:amd64=2.0-1+b1")


def test_the_same_versions_are_the_same_bytes(apt: DebianPackages, stage: StageContext, tmp_path: Path) -> None:
    layer(stage, tmp_path / "1.tar")
    os.utime(next(apt.directory.glob("app_*.deb")), (1, 1))
    layer(stage, tmp_path / "2.tar")

    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()


def test_what_is_not_needed_is_left_out(apt: DebianPackages) -> None:
    assert [package.name for package in debian.choose(["app"], "amd64", ["lib*"])] == ["app"]


@pytest.mark.parametrize(
    ("file", "text", "error", "message"),
    [
        ("unknown", "E: Unable to locate package app\n", "configuration", "no package app"),
        ("unknown", "E: Package 'app' has no installation candidate\n", "configuration", "no package app"),
        ("unknown", "E: Unmet dependencies\n", "infrastructure", "Unmet dependencies"),
        ("gone", "E: 404  Not Found\n", "infrastructure", "cannot fetch Debian's packages: E: 404"),
    ],
)
def test_a_refusal_says_whose_fault_it_is(
    apt: DebianPackages, stage: StageContext, tmp_path: Path, file: str, text: str, error: str, message: str
) -> None:
    apt.say(file, text)

    with pytest.raises(StageError, match=message) as caught:
        layer(stage, tmp_path / "layer.tar")

    assert caught.value.error_class == error


def test_lists_that_were_never_updated_are_not_the_packages_fault(apt: DebianPackages) -> None:
    apt.say("unknown", "E: Unable to locate package app\n")
    apt.say("no-lists", "")

    with pytest.raises(StageError, match="apt knows no packages for amd64 here") as caught:
        debian.choose(["app"], "amd64")

    assert caught.value.error_class == "infrastructure"
    assert "apt-get update" in caught.value.remedy


def test_a_package_that_breaks_off_between_two_files_is_no_layer(
    apt: DebianPackages, stage: StageContext, tmp_path: Path
) -> None:
    first = tmp_path / "first.tar"
    with tarfile.open(first, "w") as files:
        files.addfile(tarfile.TarInfo("usr/bin/app"))
        whole = files.offset
    broken = apt.directory / "dpkg-deb"
    broken.write_text(f"#!/bin/sh\nhead -c {whole} {first}\nexit 2\n")
    broken.chmod(0o755)

    with pytest.raises(StageError, match=r"app_.*\.deb cannot be unpacked: dpkg-deb ended with exit code 2") as caught:
        layer(stage, tmp_path / "layer.tar")

    assert caught.value.error_class == "infrastructure"


def test_a_system_without_apt_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    debian._choose.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(StageError, match="need apt-get, and this system has none") as caught:
        debian.choose(["app"], "amd64")

    assert caught.value.error_class == "configuration"


def test_an_image_is_made_once_per_version(apt: DebianPackages, stage: StageContext, registry_host: str) -> None:
    ref = BUILD.resolve(PROJECT, "stable")
    assert (ref.version, ref.note) == ("1:2.0-1", "Debian's package app")
    request = BuildRequest(PROJECT, ref, "amd64", registry_host, stage)
    first, second = BUILD.build(request), BUILD.build(request)

    assert (first.cached, second.cached, first.pins == second.pins) == (False, True, True)
    assert (first.pins[0].name, first.pins[0].tag) == ("APP", "1-2.0-1")

    apt.add("libapp1", "2.0-2", {"lib/x/libapp.so.1.2": b"another library"})
    debian._choose.cache_clear()
    third = BUILD.build(request)
    assert (third.cached, third.pins[0].digest == first.pins[0].digest) == (False, False)


def test_everything_that_is_in_the_image_is_in_its_fingerprint(apt: DebianPackages) -> None:
    ref = Ref("stable", "2.0")
    builds = [
        BUILD,
        replace(BUILD, without=["lib*"]),
        replace(BUILD, files=[File("/etc/app", b"2")]),
        replace(BUILD, user="1:1"),
        replace(BUILD, entrypoint=["/usr/bin/other"]),
    ]
    assert len({build.fingerprint(PROJECT, ref, "amd64") for build in builds}) == len(builds)


def test_files_of_a_module_come_along_at_the_version_that_is_built(
    apt: DebianPackages, proxy: ModuleProxy, stage: StageContext, registry_host: str, tmp_path: Path
) -> None:
    for version in ("v1.0.0", "v1.1.0"):
        files = {"go.mod": "module example.test/app\n", "sql/1.sql": "CREATE", "sql/old/0.sql": version}
        proxy.add("example.test/app", version, files)
    build = replace(BUILD, module="example.test/app", module_files={"sql": "/migrations"})

    def request(version: str) -> BuildRequest:
        return BuildRequest(PROJECT, Ref("stable", version), "amd64", registry_host, stage)

    first, other = (build.build(request(version)).pins[0] for version in ("v1.0.0", "v1.1.0"))

    assert first.digest != other.digest
    layout = Repository.at(registry_host, "tests/app").pull(first.digest, tmp_path / "pulled", stage, limit=1 << 20)
    *_, top = [layout.path(blob.digest) for blob in layout.blobs()]
    with tarfile.open(top) as files_:
        content = files_.extractfile("migrations/old/0.sql")
        assert content and content.read() == b"v1.0.0"
        assert files_.getmember("migrations/1.sql").isreg()
    with pytest.raises(StageError, match=r"example\.test/app v1\.0\.0 has no files in none"):
        replace(build, module_files={"none": "/migrations"}).build(request("v1.0.0"))


def test_only_the_version_that_apt_has_is_a_ref(apt: DebianPackages) -> None:
    assert BUILD.resolve(PROJECT, "1:2.0-1").version == "1:2.0-1"
    with pytest.raises(StageError, match=r"no such ref '1\.0-1': apt here has app 1:2\.0-1"):
        BUILD.resolve(PROJECT, "1.0-1")


@pytest.mark.skipif(not shutil.which("apt-get"), reason="apt is not installed")
def test_the_real_apt_is_understood() -> None:
    debian._choose.cache_clear()
    try:
        chosen = {package.name: package for package in debian.choose(["libc6"], pins.host_arch())}
    except StageError as error:
        if "knows no packages" in error.message:
            pytest.skip("apt's lists were never updated")
        raise
    assert {"libc6", "libgcc-s1"} <= set(chosen)
    assert chosen["libc6"].version[0].isdigit()
