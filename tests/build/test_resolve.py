"""What stable, head and literal refs become, asked of a git repository and of a module proxy made of files."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_crosscloud.build import resolve
from pytest_crosscloud.build.go import GoBuild
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import Project
from tests.build.module_proxy import ModuleProxy

Commit = Callable[[Mapping[str, str]], str]

MODULE = "example.test/sample"
GO_MOD = {"go.mod": f"module {MODULE}\n"}


def project(repository: Path, **values: Any) -> Project:
    build = GoBuild(module=MODULE, image="sample")
    return Project(name="sample", build=build, chart="", repository_url=f"file://{repository}", **values)


@pytest.fixture
def served(proxy: ModuleProxy) -> ModuleProxy:
    for version in ("v1.0.0", "v1.9.0", "v1.10.0", "v1.11.0-rc.1"):
        proxy.add(MODULE, version, GO_MOD)
    return proxy


# -- Go modules -------------------------------------------------------------------------------------------------


def test_stable_is_what_the_project_says(served: ModuleProxy, tmp_path: Path) -> None:
    found = resolve.go_module(MODULE, project(tmp_path, stable_ref="v1.9.0"), "stable")
    assert (found.name, found.version, found.note) == ("stable", "v1.9.0", "")


def test_stable_is_the_newest_release_otherwise(served: ModuleProxy, tmp_path: Path) -> None:
    assert resolve.go_module(MODULE, project(tmp_path), "stable").version == "v1.10.0"


def test_head_is_the_newest_tag_that_is_served_where_git_is_unreachable(served: ModuleProxy, tmp_path: Path) -> None:
    found = resolve.go_module(MODULE, project(tmp_path / "nothing"), "head")
    assert found.version == "v1.11.0-rc.1"
    assert "git unreachable" in found.note


def test_head_is_the_newest_tag_of_which_everything_is_served(served: ModuleProxy, tmp_path: Path) -> None:
    wants = {"go.mod": f"module {MODULE}\n\nrequire example.test/refused v1.0.0\n"}
    wants["main.go"] = 'package main\n\nimport _ "example.test/refused"\n\nfunc main() {}\n'
    served.add(
        "example.test/refused", "v1.0.0", {"go.mod": "module example.test/refused\n", "a.go": "package refused\n"}
    )
    served.add(MODULE, "v1.11.0", {"go.mod": f"module {MODULE}\n", "main.go": "package main\n\nfunc main() {}\n"})
    served.add(MODULE, "v1.12.0", wants)
    unfinished = project(tmp_path / "nothing")
    assert unfinished.build.resolve(unfinished, "head").version == "v1.12.0"

    subprocess.run(["go", "clean", "-modcache"], check=True)
    (served.directory / "example.test/refused/@v/v1.0.0.zip").unlink()
    found = unfinished.build.resolve(unfinished, "head")
    assert found.version == "v1.11.0"
    assert found.note.endswith(
        "with all that it requires: v1.12.0 lacks example.test/refused@v1.0.0 (no such file or directory)"
    )
    assert unfinished.build.resolve(unfinished, "v1.12.0").version == "v1.12.0", "what was typed is taken as it is"
    moving = replace(unfinished, stable_ref="")
    found = moving.build.resolve(moving, "stable")
    assert (found.version, found.note.startswith("newest release that the module proxy serves with all")) == (
        "v1.11.0",
        True,
    )


def test_a_release_may_have_another_name_than_its_tag(served: ModuleProxy, tmp_path: Path) -> None:
    build = GoBuild(module=MODULE, image="sample", release=(r"v1\.(\d+)\.0", r"v\1"))
    sample = replace(project(tmp_path / "nothing", stable_ref="v9"), build=build)
    for ref in ("stable", "v9", "v1.9.0"):
        found = build.resolve(sample, ref)
        assert (found.name, found.version, found.note) == (ref, "v1.9.0", "release v9")
    assert build.resolve(sample, "head").version == "v1.11.0-rc.1"


def test_head_is_the_newest_tag_if_every_one_lacks_something(served: ModuleProxy, tmp_path: Path) -> None:
    found = resolve.go_module(MODULE, project(tmp_path / "nothing"), "head", lambda version: "everything")
    assert found.version == "v1.11.0-rc.1"


def test_candidates_have_one_deadline_together(
    served: ModuleProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks(version: str) -> str:
        if version == "v1.11.0-rc.1":
            return "example.test/refused@v1.0.0"
        raise TimeoutError

    sample = project(tmp_path / "nothing")
    found = resolve.go_module(MODULE, sample, "head", lacks)
    assert found.version == "v1.11.0-rc.1"
    assert found.note.endswith("it lacks example.test/refused@v1.0.0, and there was no time to look at older ones")

    monkeypatch.setattr(resolve, "SERVED_TIMEOUT", -1.0)
    found = sample.build.resolve(sample, "head")
    assert found.version == "v1.11.0-rc.1"
    assert found.note.endswith("there was no time to see whether all that it requires is served too")


def test_head_is_the_commit_of_the_branch_where_git_is_reachable(
    served: ModuleProxy, commit: Commit, tmp_path: Path
) -> None:
    sha = commit(GO_MOD)
    pseudo = f"v1.12.0-0.20260101000000-{sha[:12]}"
    (served.directory / MODULE / "@v" / f"{sha}.info").write_text(
        f'{{"Version": "{pseudo}", "Time": "2026-01-01T00:00:00Z"}}'
    )
    for branch, note in (("", ""), ("main", "branch main")):
        found = resolve.go_module(MODULE, project(tmp_path / "git", head_ref=branch), "head")
        assert (found.version, found.commit, found.note) == (pseudo, sha, note)


def test_a_tag_that_git_knows_has_its_commit(served: ModuleProxy, commit: Commit, tmp_path: Path) -> None:
    sha = commit(GO_MOD)
    subprocess.run(["git", "-C", str(tmp_path / "git"), "tag", "v1.9.0"], check=True)
    assert resolve.go_module(MODULE, project(tmp_path / "git"), "v1.9.0").commit == sha


def test_a_head_that_is_a_tag_stays_that_tag(served: ModuleProxy, commit: Commit, tmp_path: Path) -> None:
    """As with a project whose branch has gone on without the program that is tested."""
    sha = commit(GO_MOD)
    subprocess.run(["git", "-C", str(tmp_path / "git"), "tag", "v1.9.0"], check=True)
    commit({"gone.go": "package gone"})
    for repository, known in (("git", sha), ("nothing", "")):
        found = resolve.go_module(MODULE, project(tmp_path / repository, head_ref="v1.9.0"), "head")
        assert (found.version, found.commit) == ("v1.9.0", known)
        assert found.note == "the project's head is the tag v1.9.0"


def test_a_head_may_be_a_tag_that_is_no_version(served: ModuleProxy, commit: Commit, tmp_path: Path) -> None:
    sha = commit(GO_MOD)
    subprocess.run(["git", "-C", str(tmp_path / "git"), "tag", "nightly"], check=True)
    (served.directory / MODULE / "@v" / f"{sha}.info").write_text('{"Version": "v1.9.0"}')
    found = resolve.go_module(MODULE, project(tmp_path / "git", head_ref="nightly"), "head")
    assert (found.commit, found.note) == (sha, "tag nightly")


def test_a_branch_that_is_not_there_is_named_with_the_closest(
    served: ModuleProxy, commit: Commit, tmp_path: Path
) -> None:
    commit(GO_MOD)
    with pytest.raises(StageError, match="no such ref 'mian'") as caught:
        resolve.go_module(MODULE, project(tmp_path / "git", head_ref="mian"), "head")
    assert (caught.value.error_class, caught.value.remedy) == ("configuration", "known: main")


def test_a_version_that_is_not_served_is_named_with_the_closest(served: ModuleProxy, tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"sample: no such ref 'v1.9.1'") as caught:
        resolve.go_module(MODULE, project(tmp_path), "v1.9.1")
    assert caught.value.error_class == "configuration"
    assert "v1.9.0" in caught.value.remedy


def test_a_proxy_that_cannot_be_asked_is_infrastructure(proxy: ModuleProxy, tmp_path: Path) -> None:
    with pytest.raises(resolve.Unreachable, match="does not serve example") as caught:
        resolve.go_module(MODULE, project(tmp_path), "stable")
    assert caught.value.error_class == "infrastructure"


# -- git --------------------------------------------------------------------------------------------------------


@pytest.fixture
def shas(commit: Commit, tmp_path: Path) -> dict[str, str]:
    """Commits by the name of what points to them: two tags, one of them annotated, and a branch."""
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.test"]
    git = ["git", "-C", str(tmp_path / "git"), *identity]
    first = commit({"file": "1"})
    subprocess.run([*git, "tag", "v1.2.0"], check=True)
    second = commit({"file": "2"})
    subprocess.run([*git, "tag", "--annotate", "--message=x", "v1.10.0"], check=True)
    subprocess.run([*git, "tag", "v1.11.0-rc.1"], check=True)
    return {"v1.2.0": first, "v1.10.0": second, "main": commit({"file": "3"})}


@pytest.mark.parametrize(
    ("ref", "points_to", "version"),
    [
        ("stable", "v1.10.0", "v1.10.0"),
        ("head", "main", ""),
        ("v1.2.0", "v1.2.0", "v1.2.0"),
        ("main", "main", ""),
    ],
)
def test_git_refs_become_commits(shas: dict[str, str], tmp_path: Path, ref: str, points_to: str, version: str) -> None:
    found = resolve.git(f"file://{tmp_path / 'git'}", project(tmp_path), ref)
    assert found.commit == shas[points_to]
    assert found.version == (version or shas[points_to][:12])


def test_a_sha_is_taken_as_it_is(shas: dict[str, str], tmp_path: Path) -> None:
    sha = shas["v1.2.0"]
    assert resolve.git(f"file://{tmp_path / 'git'}", project(tmp_path), sha).commit == sha


def test_git_refs_that_do_not_exist_are_named_with_the_closest(shas: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"no such ref 'v1.20.0'") as caught:
        resolve.git(f"file://{tmp_path / 'git'}", project(tmp_path), "v1.20.0")
    assert caught.value.error_class == "configuration"
    assert "v1.2.0" in caught.value.remedy


def test_a_repository_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(resolve.Unreachable, match="git cannot reach"):
        resolve.git(f"file://{tmp_path / 'nothing'}", project(tmp_path), "stable")


# -- versions ---------------------------------------------------------------------------------------------------

numbers = st.tuples(*[st.integers(0, 30)] * 3)


@given(st.lists(numbers, min_size=1), st.lists(numbers), st.randoms())
def test_the_newest_release_is_the_greatest_by_its_numbers(
    releases: list[tuple[int, ...]], candidates: list[tuple[int, ...]], random: Any
) -> None:
    tags = [f"v{a}.{b}.{c}" for a, b, c in releases]
    tags += [f"v9{a}.{b}.{c}-rc.1" for a, b, c in candidates] + ["latest", "v1", "nightly-2026.01.01"]
    random.shuffle(tags)
    assert resolve.newest(tags) == "v{}.{}.{}".format(*max(releases))


def test_no_release_is_no_newest() -> None:
    assert resolve.newest(["v1.0.0-beta", "main"]) == ""


@pytest.mark.parametrize(
    ("scheme", "tags", "wanted"),
    [
        (r"edge-(\d+)\.(\d+)\.(\d+)", ["edge-25.9.4", "edge-25.10.1", "stable-2.14.10", "v99.0.0"], "edge-25.10.1"),
        (r"v(\d+)\.(\d+)(?:-(\d+))?", ["v1.9-3", "v1.10", "v1.10-2", "v1.10-debian"], "v1.10-2"),
        ("", ["v1.9.0", "v1.10.0", "edge-99.1.1"], "v1.10.0"),
        (r"edge-(\d+)", ["v1.0.0"], ""),
    ],
)
def test_a_project_may_have_tags_of_its_own_kind(scheme: str, tags: list[str], wanted: str) -> None:
    assert resolve.newest(tags, scheme) == wanted


def test_newer_is_what_the_scheme_says_and_only_of_releases() -> None:
    assert resolve.is_newer("v1.10.0", "v1.9.0")
    assert not resolve.is_newer("v1.9.0", "v1.10.0")
    assert not resolve.is_newer("v1.10.0", "main")
    assert not resolve.is_newer("v2.0.0-rc.1", "v1.0.0")
    assert resolve.is_newer("edge-25.10", "edge-25.9", r"edge-(\d+)\.(\d+)")


def test_auto_is_the_newest_release(served: ModuleProxy, tmp_path: Path) -> None:
    automatic = project(tmp_path, stable_ref="auto")
    assert automatic.stable_ref == "", "strategies know one word for it"
    assert resolve.go_module(MODULE, automatic, "stable").version == "v1.10.0"
