"""crosscloud plan: what a run would do, seen before it does it."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from pytest_crosscloud import cli, paths
from pytest_crosscloud.build import cache
from pytest_crosscloud.commands import plan
from pytest_crosscloud.toolchain import kubernetes
from tests.samples import HEAD, write_clouds

PROJECTS = """
from pytest_crosscloud.errors import OutOfReach, StageError
from pytest_crosscloud.model import E2E

class Picky(Strategy):
    def resolve(self, project, ref):
        if ref == "bug":
            return None + 1
        if ref == "nowhere":
            raise StageError("no such ref: nowhere")
        if ref == "far":
            raise OutOfReach("registry unreachable: far.test")
        return Ref(ref, "v1.0.0", note="newest tag" if ref == "head" else "")

@hookimpl
def crosscloud_projects():
    return [
        Project(name="one", build=Picky(), chart="c", e2e=E2E(build=Tests())),
        Project(name="two", build=Picky(), chart="c", order=200),
    ]

class Tests(Strategy):
    def fingerprint(self, project, ref, arch):
        return "tests"
"""


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_clouds(tmp_path / "clouds/local.py", "name='local', is_default=True, variables={'workers': 2}")
    write_clouds(tmp_path / "clouds/mine.py", "name='mine', provides_cluster=False")
    (tmp_path / "projects").mkdir()
    (tmp_path / "projects/both.py").write_text(HEAD + PROJECTS)
    (tmp_path / "cross-cloud.yml").write_text("kubernetes: {stable: v1.2.3}")
    monkeypatch.setattr(paths, "data", lambda *parts: tmp_path.joinpath("none", *parts))
    monkeypatch.setattr(cache, "is_kept", lambda key: key in ("one-v1.0.0-amd64", "tests"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planned(capsys: pytest.CaptureFixture[str], *options: str, code: int = 0) -> list[list[str]]:
    assert cli.main(["plan", *options]) == code
    return [line.split("\t") for line in capsys.readouterr().out.splitlines()]


def test_the_graph_with_what_is_cached(capsys: pytest.CaptureFixture[str]) -> None:
    assert planned(capsys, "--clouds=local", "--refs=stable") == [
        ["build", "one-stable", "cached", "v1.0.0"],
        ["build", "two-stable", "build", "v1.0.0"],
        ["provision", "local", "create", "kubernetes v1.2.3 amd64, 3 nodes, quota: not asked"],
        ["deploy", "one-stable-local", "after", "build one-stable, provision local"],
        ["deploy", "two-stable-local", "after", "build two-stable, provision local"],
        ["e2e", "one-stable-local", "after", "deploy one-stable-local"],
        ["e2e", "two-stable-local", "after", "deploy two-stable-local (no e2e container: installed and ready)"],
    ]


def test_a_build_is_cached_only_with_its_e2e_container(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "is_kept", lambda key: key == "one-v1.0.0-amd64")
    assert planned(capsys, "--projects=one", "--refs=stable")[0][2] == "build"


def test_notes_of_refs_and_clusters_of_others(capsys: pytest.CaptureFixture[str]) -> None:
    rows = planned(capsys, "--clouds=mine", "--projects=one", "--refs=head")
    assert rows[0] == ["build", "one-head", "cached", "v1.0.0 (newest tag)"]
    assert rows[1][:3] == ["provision", "mine", "use"]


def test_how_many_clusters_there_may_be(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clouds(root / "clouds/more.py", "name='aws', arch=('amd64', 'arm64')")
    (root / "cross-cloud.yml").write_text("kubernetes: {stable: v1.2.3, old: v1.1.0}\nclouds: {aws: {max_clusters: 1}}")
    options = ("--clouds=local,aws,mine", "--projects=one", "--refs=stable", "--kubernetes=stable,old")
    details = {row[1]: row[3] for row in planned(capsys, *options, "--max-clusters=3") if row[0] == "provision"}
    limits = {name: detail.partition(", quota: not asked")[2] for name, detail in details.items()}
    of_run, of_aws = ", 3 of 4 at a time (--max-clusters)", ", 1 of 2 at a time (clouds.aws.max_clusters)"
    assert limits["local-stable"] == of_run
    assert limits["aws-old"] == of_run + of_aws
    assert limits["mine-stable"] == ""
    assert cli.main(["plan", *options, "--max-clusters=0"]) == 4


def test_what_is_known_to_fail(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = write_clouds(root / "clouds/aws.py", "name='aws', credentials=(Credential('XC_NO_SUCH', 'a key'),)")
    plugin.write_text(plugin.read_text().replace("import Cloud,", "import Cloud, Credential,"))
    rows = planned(capsys, "--clouds=aws", "--projects=two", "--refs=nowhere,bug,stable", code=1)
    assert rows[:4] == [
        ["build", "two-nowhere", "fail", "no such ref: nowhere"],
        ["build", "two-bug", "fail", "TypeError: unsupported operand type(s) for +: 'NoneType' and 'int'"],
        ["build", "two-stable", "build", "v1.0.0"],
        ["provision", "aws", "fail", "XC_NO_SUCH is not set: a key"],
    ]
    assert {row[2] for row in rows[4:]} == {"n/a"}, "there is no cluster to deploy to"


def test_what_is_out_of_reach_fails_nothing_as_long_as_there_is_something_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert [row[:3] for row in planned(capsys, "--clouds=local", "--projects=one", "--refs=stable,far")] == [
        ["build", "one-stable", "cached"],
        ["build", "one-far", "n/a"],
        ["provision", "local", "create"],
        ["deploy", "one-stable-local", "after"],
        ["deploy", "one-far-local", "n/a"],
        ["e2e", "one-stable-local", "after"],
        ["e2e", "one-far-local", "n/a"],
    ]
    assert planned(capsys, "--projects=one", "--refs=far", code=1)[0][3] == "registry unreachable: far.test"


def test_a_cloud_without_room_is_known_to_fail(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = write_clouds(root / "clouds/small.py")
    plugin.write_text(f"""{HEAD}
class Small(Cloud):
    def capacity(self, clusters):
        return [f"vCPUs: {{clusters * 2}} needed, 2 left"] if clusters > 1 else []
@hookimpl
def crosscloud_clouds():
    return [Small(name="small")]
""")
    (root / "cross-cloud.yml").write_text("kubernetes: {stable: v1.2.3, old: v1.1.0}")
    options = ("--clouds=small,mine", "--projects=one", "--refs=stable", "--kubernetes=stable,old")
    rows = planned(capsys, *options, code=1)
    assert [row[3] for row in rows if row[2] == "fail"] == [
        "no room for 2 clusters at a time: vCPUs: 4 needed, 2 left"
    ] * 2
    assert planned(capsys, *options, "--max-clusters=1")


def test_an_unknown_kubernetes_is_answered_with_what_there_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes, "_versions", lambda: ["v1.35.4", "v1.36.3"])
    rows = planned(capsys, "--projects=two", "--refs=stable", "--kubernetes=stabel", code=1)
    said = "no such Kubernetes version: stabel; did you mean 'stable'? known: stable, head; "
    assert rows[1] == ["provision", "local", "fail", f"{said}or any released version, such as v1.35.4, v1.36.3"]


def test_two_names_of_one_kubernetes_are_noted(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes, "_versions", lambda: ["v1.1.9", "v1.2.2", "v1.2.3"])
    select = ("plan", "--projects=two", "--refs=stable", "--kubernetes=stable,head")

    def notes() -> list[str]:
        assert cli.main([*select, "--json"]) == 0
        found: list[str] = json.loads(capsys.readouterr().out)["notes"]
        return found

    assert cli.main([*select]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("note: kubernetes stable and head are the same version, v1.2.3: ")
    assert [f"note: {note}" for note in notes()] == [line]

    (root / "cross-cloud.yml").write_text("kubernetes: {stable: auto}")
    assert notes() == []

    (root / "cross-cloud.yml").write_text("kubernetes: {stable: v1.2.3}")
    (root / "clouds/local.py").unlink()  # nothing is provisioned on the other
    assert cli.main([*select, "--clouds=mine"]) == 0
    assert capsys.readouterr().err == ""


def test_json_has_the_stages_and_the_problems(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "clouds/bad.py").write_text("\n1 / 0")
    assert cli.main(["plan", "--json", "--projects=two", "--refs=nowhere"]) == 1
    answer = json.loads(capsys.readouterr().out)
    build, *others = answer["stages"]
    assert build == {"stage": "build", "target": "two-nowhere", "action": "fail", "detail": "no such ref: nowhere"}
    assert [(step["stage"], step["action"]) for step in others] == [
        ("provision", "create"),
        ("deploy", "n/a"),
        ("e2e", "n/a"),
    ]
    assert [problem["line"] for problem in answer["problems"]] == [2]


def test_a_slow_network_holds_nobody_up(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    never = threading.Event()
    monkeypatch.setattr(plan, "RESOLVE_TIMEOUT", 0.05)
    monkeypatch.setattr(cache, "is_kept", lambda key: never.wait())
    try:
        rows = planned(capsys, "--projects=two", "--refs=stable")
    finally:
        never.set()
    assert rows[0] == ["build", "two-stable", "unknown", "stable could not be resolved within 0 s"]


def test_nothing_is_touched(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for variable in ("XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(variable, str(root / variable))
    before = sorted(path for path in root.rglob("*") if "__pycache__" not in path.parts)
    planned(capsys, "--clouds=local")
    assert sorted(path for path in root.rglob("*") if "__pycache__" not in path.parts) == before


def test_a_wrong_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "--clouds=locl"]) == 4
    assert "unknown cloud 'locl'; did you mean 'local'? known: local, mine" in capsys.readouterr().err


def test_no_compiler_is_installed_to_make_a_plan(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "projects/go.py").write_text(
        f"{HEAD}\nfrom pytest_crosscloud.build.go import GoBuild\n@hookimpl\ndef crosscloud_projects():\n"
        "    return [Project(name='go', chart='c', build=GoBuild(module='example.com/m', image='m'))]\n"
    )
    monkeypatch.setattr(plan, "find", lambda name: None)
    rows = planned(capsys, "--projects=go,one", "--refs=stable")
    assert rows[0] == ["build", "go-stable", "unknown", "Go is not there yet (crosscloud setup gets it)"]
    assert rows[1][:3] == ["build", "one-stable", "cached"], "others need no Go"


def test_upgrades_come_last_if_they_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    lines = planned(capsys, "--projects=one", "--upgrade")
    assert lines[-1] == ["upgrade", "one-local", "after", "build one-stable, build one-head, provision local"]
    for refs in ("stable,far", "far,stable"):
        assert planned(capsys, "--projects=one", f"--refs={refs}", "--upgrade")[-1][:3] == [
            "upgrade",
            "one-local",
            "n/a",
        ]


def test_one_ref_is_no_upgrade_here_as_in_pytest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "--projects=one,two", "--refs=stable", "--upgrade"]) == 4
    said = capsys.readouterr()
    assert "--upgrade goes from one ref to another" in said.err
    assert said.out == ""
