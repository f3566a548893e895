"""Go builds count what they compile. The real go, on modules of a few lines."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import ErrorClass
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.toolchain.gobuild import gist, go, go_build, go_test_program
from pytest_crosscloud.toolchain.pins import host_arch


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A module of a program and two packages, and no others, so that all of it compiles in a second."""
    directory = tmp_path / "module"
    for name, text in {
        "go.mod": "module example.org/greet\n\ngo 1.24\n",
        "main.go": 'package main\n\nimport "example.org/greet/one"\n\nvar word = "unset"\n\n'
        "func main() { println(one.Greeting, word) }\n",
        "one/one.go": 'package one\n\nimport "example.org/greet/two"\n\nconst Greeting = "hello " + two.Name\n',
        "two/two.go": f'package two\n\nconst Name = "{tmp_path}"\n',
    }.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return directory


def test_a_build_says_how_far_it_is(module: Path, stage: StageContext, said: list[str], tmp_path: Path) -> None:
    output = tmp_path / "out" / "greet"
    go_build(stage, module, ".", output, arch=host_arch(), ldflags="-X main.word=set", label="greet")
    assert said == [
        "greet: counting the packages to compile",
        "greet: compiling 0 of 3 packages",
        "greet: compiling 1 of 3 packages",
        "greet: linking",
        "greet: linking",
    ]
    done = subprocess.run([output], capture_output=True, text=True, check=True)
    assert done.stderr == f"hello {tmp_path} set\n"


def test_what_is_cached_is_not_counted(module: Path, stage: StageContext, said: list[str], tmp_path: Path) -> None:
    go_build(stage, module, ".", tmp_path / "first", arch=host_arch())
    said.clear()
    (module / "main.go").write_text(f'package main\n\nfunc main() {{ println("{tmp_path}") }}\n')
    go_build(stage, module, ".", tmp_path / "second", arch=host_arch())
    assert said[1:] == ["linking", "linking"], "only the program's own package"


def test_several_programs_go_into_a_directory(module: Path, stage: StageContext, tmp_path: Path) -> None:
    (module / "three").mkdir()
    (module / "three" / "main.go").write_text("package main\n\nfunc main() {}\n")
    (tmp_path / "bin").mkdir()
    go_build(stage, module, (".", "./three"), tmp_path / "bin", arch=host_arch())
    assert sorted(path.name for path in (tmp_path / "bin").iterdir()) == ["greet", "three"]


def test_tests_become_a_program(module: Path, stage: StageContext, said: list[str], tmp_path: Path) -> None:
    (module / "one" / "one_test.go").write_text(
        'package one\n\nimport (\n\t"testing"\n\n\t"example.org/greet/two"\n)\n\n'
        'func TestGreeting(t *testing.T) {\n\tif Greeting != "hello "+two.Name {\n\t\tt.Fatal(Greeting)\n\t}\n}\n'
    )
    output = tmp_path / "one.test"
    go_test_program(stage, module, "example.org/greet/one", output, arch=host_arch(), ldflags="-s -w", label="tests")
    assert said[-1] == "tests: linking the tests"
    done = subprocess.run([output, "-test.v"], capture_output=True, text=True, check=True)
    assert "--- PASS: TestGreeting" in done.stdout


def test_code_that_does_not_compile_is_the_product_s_fault(module: Path, stage: StageContext, tmp_path: Path) -> None:
    (module / "one" / "one.go").write_text("package one\n\nconst Greeting = 1 + nothing\n")
    with pytest.raises(StageError, match=r"(?m)^one/one\.go:3:22: undefined: nothing$") as caught:
        go_build(stage, module, ".", tmp_path / "greet", arch=host_arch())
    assert caught.value.error_class == ErrorClass.PRODUCT


def test_a_linkers_usage_does_not_hide_what_it_complains_of(module: Path, stage: StageContext, tmp_path: Path) -> None:
    with pytest.raises(StageError) as caught:
        go_build(stage, module, ".", tmp_path / "greet", arch=host_arch(), ldflags="-nosuch")
    assert caught.value.message.endswith("\n".join(("# example.org/greet", "flag provided but not defined: -nosuch")))


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (["# a/b", "main.main: relocation target main.x not defined", "note"], [0, 1]),
        (["# a/b", "ld/link: -X flag requires argument", *["usage"] * 50], [0, 1]),
        (["go: updates to go.mod needed", "advice"], [0]),
        (["# a/b", "b/b.go:3:22: too many arguments", "\thave (int)", "\twant ()", "note"], [0, 1, 2, 3]),
        (["no words that we know", "second"], [0, 1]),
    ],
)
def test_the_lines_that_say_why_are_shown(said: list[str], shown: list[int]) -> None:
    assert gist(said).splitlines() == [said[index] for index in shown]


def test_of_a_failure_without_known_words_the_first_and_the_last_lines_are_shown() -> None:
    shown = gist([f"line {number}" for number in range(100)]).splitlines()
    assert (shown[0], shown[9:12], shown[-1]) == ("line 0", ["line 9", "…", "line 90"], "line 99")


def test_a_workspace_around_it_does_not_matter(module: Path, stage: StageContext, tmp_path: Path) -> None:
    (tmp_path / "go.work").write_text("go 1.24\n\nuse ./elsewhere\n")
    assert go(stage, module, "list", "./...").output.split() == [
        "example.org/greet",
        "example.org/greet/one",
        "example.org/greet/two",
    ]
