"""A project's own tests, compiled at a version, beside the program of its e2e container."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_crosscloud.build.go import GoBuild, GoProgram
from pytest_crosscloud.build.gotests import GoTests
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import E2E, BuildRequest, Project, Ref
from pytest_crosscloud.stage import StageContext
from tests.build.module_proxy import ModuleProxy
from tests.build.test_go import run_image

MODULE = "example.test/sample"
TEST = """package sum

import (
	"testing"

	"example.test/helper"
)

func TestSum(t *testing.T) { helper.Equal(t, 4) }
"""
HELPER = """package helper

import "testing"

func Equal(t *testing.T, sum int) { if sum != 4 { t.Fatal(sum) } }
"""


@pytest.fixture
def project(tmp_path: Path, proxy: ModuleProxy) -> Project:
    """Its package sum has a test that needs a module which no program of it needs."""
    go_mod = f"module {MODULE}\n\ngo 1.21\n\nrequire example.test/helper v1.0.0\n"
    files = {"go.mod": go_mod, "sum/sum.go": "package sum\n", "sum/sum_test.go": TEST}
    proxy.add(MODULE, "v1.0.0", files)
    proxy.add(MODULE, "v1.1.0", {**files, "sum/sum_test.go": TEST.replace("4", "undefined")})
    proxy.add("example.test/helper", "v1.0.0", {"go.mod": "module example.test/helper\n", "a.go": HELPER})
    directory = tmp_path / "e2e"
    directory.mkdir()
    (directory / "go.mod").write_text("module e2e\n\ngo 1.21\n")
    (directory / "main.go").write_text("package main\n\nfunc main() { println(1) }\n")
    tests = GoTests(program=GoProgram(directory=directory, image="sample/e2e"), module=MODULE, package="./sum")
    return Project(name="sample", build=GoBuild(module=MODULE, image="sample"), chart="", e2e=E2E(build=tests))


@pytest.fixture
def request_of(project: Project, stage: StageContext, registry_host: str) -> Callable[[str], BuildRequest]:
    return lambda version: BuildRequest(project, Ref("stable", version), "amd64", registry_host, stage)


def test_both_programs_are_in_one_image(
    project: Project, request_of: Callable[[str], BuildRequest], cache_directory: Path, tmp_path: Path
) -> None:
    assert project.e2e
    made = project.e2e.build.build(request_of("v1.0.0"))

    assert [(pin.name, pin.tag) for pin in made.pins] == [("SAMPLE", "v1.0.0")]
    assert run_image(cache_directory, "sample/e2e", "program", tmp_path) == "1\n"
    ran = subprocess.run([tmp_path / "root/own.test", "-test.v"], capture_output=True, text=True, check=True)
    assert "--- PASS: TestSum" in ran.stdout
    assert project.e2e.build.build(request_of("v1.0.0")).cached


def test_tests_that_do_not_compile_are_the_products_fault(
    project: Project, request_of: Callable[[str], BuildRequest]
) -> None:
    assert project.e2e
    with pytest.raises(StageError, match="undefined: undefined") as caught:
        project.e2e.build.build(request_of("v1.1.0"))
    assert caught.value.error_class == "product"


def test_each_version_has_its_own_tests(project: Project) -> None:
    assert project.e2e
    tests = project.e2e.build
    assert isinstance(tests, GoTests)
    assert tests.resolve(project, "v1.0.0").version == "v1.0.0"
    prints = {
        strategy.fingerprint(project, Ref("stable", version), arch)
        for strategy in (tests, replace(tests, package="."))
        for version in ("v1.0.0", "v1.1.0")
        for arch in ("amd64", "arm64")
    }
    assert len(prints) == 8
