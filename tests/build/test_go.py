"""Go modules and programs become images: real builds of tiny modules from a module proxy made of files."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud.build import go
from pytest_crosscloud.build.go import GoBuild, GoProgram
from pytest_crosscloud.build.gomodule import wrapper
from pytest_crosscloud.build.images import Layout
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import Artifacts, BuildRequest, Project, Ref
from pytest_crosscloud.stage import StageContext
from tests.build.module_proxy import ModuleProxy

MODULE = "example.test/sample"
BUILD = GoBuild(
    module=MODULE,
    package="./cmd/hello",
    image="sample/hello",
    ldflags="-X main.version={number} -X main.commit={commit}",
)
MAIN = """package main

import "example.test/greeting"

var version, commit = "unknown", "unknown"

func main() { println(greeting.Text, version, commit) }
"""


def project(build: Any) -> Project:
    return Project(name="sam-ple", build=build, chart="")


@pytest.fixture
def request_of(stage: StageContext, registry_host: str) -> Callable[..., BuildRequest]:
    def make(build: Any, version: str = "v1.0.0") -> BuildRequest:
        return BuildRequest(project(build), Ref("stable", version, "c0ffee"), "amd64", registry_host, stage)

    return make


@pytest.fixture
def served(proxy: ModuleProxy) -> ModuleProxy:
    """A module that builds only with its replace directive: what it requires is not served."""
    go_mod = f"module {MODULE}\n\ngo 1.21\n\nrequire example.test/greeting v1.0.0\n\nreplace "
    replaced = go_mod + "example.test/greeting => example.test/fork v1.5.0\n"
    proxy.add(MODULE, "v1.0.0", {"go.mod": replaced, "cmd/hello/main.go": MAIN})
    proxy.add("example.test/fork", "v1.5.0", {"go.mod": "module example.test/greeting\n", "a.go": GREETING})
    proxy.add(MODULE, "v1.1.0", {"go.mod": replaced, "cmd/hello/main.go": MAIN.replace("greeting.Text", "nothing")})
    proxy.add(MODULE, "v1.2.0", {"go.mod": replaced.replace("1.21", "1.99"), "cmd/hello/main.go": MAIN})
    return proxy


GREETING = 'package greeting\n\nconst Text = "hello from the fork"\n'


def run_image(cache_directory: Path, path: str, program: str, tmp_path: Path) -> str:
    """Run a program of the one image that was built under ``path``."""
    (index,) = cache_directory.glob(f"builds/*/{path}/index.json")
    layout = Layout(index.parent)
    with tarfile.open(layout.path(list(layout.blobs())[1].digest)) as tar:
        tar.extractall(tmp_path / "root", filter="tar")
    return subprocess.run([tmp_path / "root" / program], capture_output=True, text=True, check=True).stderr


def test_a_module_with_replace_directives_becomes_an_image(
    served: ModuleProxy,
    request_of: Callable[..., BuildRequest],
    cache_directory: Path,
    tmp_path: Path,
    progress: list[str],
) -> None:
    first = BUILD.build(request_of(BUILD))
    assert run_image(cache_directory, "sample/hello", "hello", tmp_path) == "hello from the fork 1.0.0 c0ffee\n"
    assert (tmp_path / "root/etc/ssl/certs/ca-certificates.crt").stat().st_size > 100_000
    assert "fetching example.test/sample v1.0.0" in progress
    (pin,) = first.pins
    assert (pin.name, pin.tag, pin.image.partition("/")[2]) == ("SAM_PLE", "v1.0.0", "sample/hello")
    assert first.release_env().splitlines()[2] == f"SAM_PLE_DIGEST={pin.digest}"

    again = BUILD.build(request_of(BUILD))
    assert (again.pins, again.cached, first.cached) == (first.pins, True, False)


def test_what_a_module_lacks_of_generated_files_is_added(
    served: ModuleProxy, request_of: Callable[..., BuildRequest], cache_directory: Path, tmp_path: Path
) -> None:
    main = MAIN.replace('import "', 'import _ "embed"\nimport "').replace(
        "\nvar", "\n//go:embed dist/page\nvar page string\nvar"
    )
    files = {"go.mod": f"module {MODULE}\n\ngo 1.21\n", "cmd/hello/main.go": main.replace("greeting.Text", "page")}
    files["cmd/hello/main.go"] = files["cmd/hello/main.go"].replace('import "example.test/greeting"', "")
    served.add(MODULE, "v1.3.0", files)
    with pytest.raises(StageError, match="pattern dist/page: no matching files found"):
        BUILD.build(request_of(BUILD, "v1.3.0"))

    build = replace(BUILD, generated={"cmd/hello/dist/page": "a page"})
    build.build(request_of(build, "v1.3.0"))
    assert run_image(cache_directory, "sample/hello", "hello", tmp_path) == "a page 1.3.0 c0ffee\n"
    (folder,) = (cache_directory / "builds").glob("*/sample")
    assert not (folder.parent / "module").exists(), "the source is kept with the image"


def test_what_a_module_needs_newer_than_it_asks_for_is_built_in_and_told(
    proxy: ModuleProxy, request_of: Callable[..., BuildRequest], cache_directory: Path, tmp_path: Path
) -> None:
    go_mod = f"module {MODULE}\n\ngo 1.21\n\nrequire example.test/greeting v1.0.0\n"
    proxy.add(MODULE, "v1.0.0", {"go.mod": go_mod, "cmd/hello/main.go": MAIN})
    for version in ("v1.0.0", "v1.1.0"):
        text = GREETING.replace("the fork", version)
        proxy.add("example.test/greeting", version, {"go.mod": "module example.test/greeting\n", "a.go": text})
    build = replace(BUILD, requires={"example.test/greeting": "v1.1.0"})

    ref = build.resolve(project(build), "v1.0.0")
    build.build(request_of(build))

    assert ref.note == "built with example.test/greeting v1.1.0, which it does not ask for"
    assert run_image(cache_directory, "sample/hello", "hello", tmp_path) == "hello from v1.1.0 1.0.0 c0ffee\n"
    key = [each.fingerprint(project(each), ref, "amd64") for each in (BUILD, build)]
    assert key[0] != key[1]


def test_a_build_that_compiles_nothing_has_no_source_to_blame(
    served: ModuleProxy, request_of: Callable[..., BuildRequest], stage: StageContext
) -> None:
    with pytest.raises(StageError) as caught:
        BUILD.build(request_of(BUILD, "v9.9.9"))
    assert caught.value.error_class == "infrastructure"


def test_a_compile_error_is_the_products_with_the_compilers_lines(
    served: ModuleProxy, request_of: Callable[..., BuildRequest]
) -> None:
    with pytest.raises(StageError, match=r"main.go:\d+:\d+: undefined: nothing") as caught:
        BUILD.build(request_of(BUILD, "v1.1.0"))
    assert caught.value.error_class == "product"


def test_a_module_that_needs_a_newer_go_says_so(
    served: ModuleProxy, request_of: Callable[..., BuildRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOTOOLCHAIN", "local")
    with pytest.raises(StageError, match=r"example.test/sample needs Go 1.99, and here is ") as caught:
        BUILD.build(request_of(BUILD, "v1.2.0"))
    assert caught.value.error_class == "configuration"


def test_a_failing_network_is_not_the_products_fault(
    served: ModuleProxy, request_of: Callable[..., BuildRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOPROXY", "http://127.0.0.1:1")
    with pytest.raises(StageError, match="connection refused") as caught:
        BUILD.build(request_of(BUILD))
    assert caught.value.error_class == "infrastructure"


# -- what it is built from --------------------------------------------------------------------------------------


def test_the_wrapper_repeats_what_only_a_main_module_may_say(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text(
        """module example.test/sample
go 1.24.1
godebug http2client=0
require example.test/a v1.0.0
exclude example.test/b v1.2.3
replace (
    example.test/a => example.test/fork v1.5.0
    example.test/c v1.1.0 => example.test/c v1.0.9
    example.test/d => ./d
)
"""
    )
    command = ["go", "mod", "edit", "-json", str(tmp_path / "go.mod")]
    described = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert wrapper(described, "v2.0.0").splitlines() == [
        "module crosscloud.invalid/wrapper",
        "",
        "go 1.24.1",
        "",
        "godebug http2client=0",
        "require example.test/sample v2.0.0",
        "exclude example.test/b v1.2.3",
        "replace example.test/a => example.test/fork v1.5.0",
        "replace example.test/c v1.1.0 => example.test/c v1.0.9",
    ]


@pytest.mark.parametrize(
    ("module", "package", "name"),
    [
        ("github.com/coredns/coredns", ".", "coredns"),
        ("github.com/prometheus/prometheus", "./cmd/promtool", "promtool"),
        ("example.test/sample/v2", ".", "sample"),
    ],
)
def test_the_program_is_called_what_go_calls_it(module: str, package: str, name: str) -> None:
    assert go._program_name(module, package) == name


CHANGES: list[dict[str, Any]] = [
    {"module": "example.test/other"},
    {"package": "."},
    {"image": "other"},
    {"ldflags": ""},
    {"tags": "x"},
    {"arguments": ("-x",)},
    {"user": "1"},
    {"ports": ("53/udp",)},
    {"env": {"A": "b"}},
    {"generated": {"ui/index.html": ""}},
    {"requires": {"example.test/greeting": "v1.1.0"}},
    {"release": (r"v1\.(.+)", r"v2.\1")},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_each_field_changes_the_fingerprint(change: dict[str, Any]) -> None:
    ref = Ref("stable", "v1.0.0")
    changed = replace(BUILD, **change)
    same = BUILD.fingerprint(project(BUILD), ref, "amd64")
    assert same == BUILD.fingerprint(project(BUILD), replace(ref, name="v1.0.0"), "amd64")
    assert same != changed.fingerprint(project(changed), ref, "amd64")


def test_every_field_is_in_the_list_above() -> None:
    assert {name for change in CHANGES for name in change} == set(GoBuild.__dataclass_fields__)


def test_version_arch_and_compiler_change_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    def fingerprint(version: str = "v1.0.0", arch: str = "amd64") -> str:
        return BUILD.fingerprint(project(BUILD), Ref("stable", version), arch)

    prints = {fingerprint(), fingerprint("v1.0.1"), fingerprint(arch="arm64")}
    monkeypatch.setattr(go, "_compiler", lambda: "go1.99")
    assert len(prints | {fingerprint()}) == 4


# -- programs of this computer ----------------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path: Path) -> GoProgram:
    directory = tmp_path / "source"
    directory.mkdir()
    (directory / "go.mod").write_text("module local\n\ngo 1.21\n")
    (directory / "main.go").write_text('package main\n\nfunc main() { println("checked") }\n')
    return GoProgram(directory=directory, image="sample/e2e")


def test_a_program_is_built_again_only_when_its_source_changes(
    program: GoProgram, request_of: Callable[..., BuildRequest], cache_directory: Path, tmp_path: Path
) -> None:
    def build() -> Artifacts:
        return program.build(request_of(program))

    first = build()
    assert not first.cached
    assert run_image(cache_directory, "sample/e2e", "program", tmp_path) == "checked\n"
    assert first.pins[0].tag.startswith("src-")
    (program.directory / ".editor-file").write_text("noise")
    assert build() == replace(first, cached=True)
    (program.directory / "main.go").write_text('package main\n\nfunc main() { println("changed") }\n')
    changed = build()
    assert not changed.cached
    assert changed.pins[0].digest != first.pins[0].digest


def test_what_a_run_writes_is_no_source(program: GoProgram) -> None:
    before = program.resolve(project(program), "head")
    for name in ("reports/out/results.json", "reports/repro/index.html", "__pycache__/conftest.pyc"):
        path = program.directory / name
        path.parent.mkdir(parents=True)
        path.write_text("written")
    assert program.resolve(project(program), "head") == before
    (program.directory / "reports/mine.go").write_text("package reports\n")
    assert program.resolve(project(program), "head") != before


def test_a_checkout_is_known_by_its_commit_as_long_as_nothing_is_changed(
    tmp_path: Path, commit: Callable[[Mapping[str, str]], str]
) -> None:
    sha = commit({"go.mod": "module local\n\ngo 1.21\n", "main.go": "package main\n", ".gitignore": "/venv/\n"})
    program = GoProgram(directory=tmp_path / "git", image="sample/sample")
    sample = replace(project(program), repository_url="https://git.test/sample")
    found = program.resolve(sample, "head")
    assert (found.version, found.commit, found.url) == (sha[:12], sha, f"https://git.test/sample/tree/{sha}")

    ignored = program.directory / "venv"
    ignored.mkdir()
    (ignored / "go.mod").write_text("module installed\n\ngo 1.21\n")
    assert program.resolve(sample, "head").commit == sha
    assert GoProgram(directory=ignored, image="x").resolve(sample, "head").commit == "", "it is not of that repository"

    (program.directory / "main.go").write_text("package main // changed\n")
    changed = program.resolve(sample, "head")
    assert changed.commit == ""
    assert changed.version.startswith("src-")
    assert "no commit" in changed.note


def test_a_program_for_another_arch_is_another_build(program: GoProgram) -> None:
    ref = program.resolve(project(program), "stable")
    prints = {program.fingerprint(project(program), ref, arch) for arch in ("amd64", "arm64")}
    assert len(prints) == 2


def test_a_folder_without_a_module_is_a_mistake_of_the_plugin(tmp_path: Path) -> None:
    program = GoProgram(directory=tmp_path, image="sample/e2e")
    with pytest.raises(StageError, match=r"no go\.mod in") as caught:
        program.resolve(project(program), "stable")
    assert caught.value.error_class == "configuration"
