"""crosscloud refs: what is new, and what of it goes into cross-cloud.yml."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_crosscloud import cli, paths
from pytest_crosscloud.commands import refs
from pytest_crosscloud.errors import CrosscloudError

#: Strategies that know their releases from the environment, so that a release can come out between two commands.
PLUGIN = """
import os
from pytest_crosscloud import hookimpl
from pytest_crosscloud.build.resolve import newest
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import Project, Ref

class Strategy:
    def resolve(self, project, ref):
        tags = os.environ[project.name.upper()].split()
        if not tags:
            raise StageError("git cannot reach https://example.test: no route to host\\nand more")
        if ref == "head":
            return Ref(ref, "0123456789ab", note=f"branch {project.head_ref}" if project.head_ref else "")
        return Ref(ref, project.stable_ref or newest(tags, project.release_tags))
    def fingerprint(self, project, ref, arch):
        return ""
    def build(self, request):
        raise NotImplementedError

@hookimpl
def crosscloud_projects():
    return [
        Project(name="demo", build=Strategy(), chart="c", stable_ref="v1.9.0", head_ref="main"),
        Project(name="edgy", build=Strategy(), chart="c", release_tags=r"edge-(\\d+)\\.(\\d+)", stable_ref="edge-25.9"),
        Project(name="auto", build=Strategy(), chart="c", stable_ref="auto"),
        Project(name="asleep", build=Strategy(), chart="c", active=False, stable_ref="v1.0.0"),
    ]
"""
FILE = """\
# Ours.
projects:
  auto:
    stable_ref: auto     # moves by itself
  demo:                  # the first
    stable_ref: "v1.9.0" # checked by hand
"""


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    plugin = tmp_path / "projects/some.py"
    plugin.parent.mkdir()
    plugin.write_text(PLUGIN)
    (tmp_path / "cross-cloud.yml").write_text(FILE)
    for name, tags in (
        ("DEMO", "v1.9.0 v1.10.0 v2.0.0-rc.1"),
        ("EDGY", "edge-25.9 edge-25.10 v9.9.9"),
        ("AUTO", "v0.1.0 v0.2.0"),
        ("ASLEEP", "v1.0.0 v1.0.1"),
    ):
        monkeypatch.setenv(name, tags)
    monkeypatch.setattr(paths, "data", lambda *parts: tmp_path.joinpath("none", *parts))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_program_reads_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["refs"]) == 0
    assert [line.split("\t") for line in capsys.readouterr().out.splitlines()] == [
        ["auto", "auto", "v0.2.0", "0123456789ab", ""],
        ["demo", "v1.9.0", "v1.10.0", "0123456789ab", "a newer release is out; branch main"],
        ["edgy", "edge-25.9", "edge-25.10", "0123456789ab", "a newer release is out"],
    ]


def test_an_update_changes_the_values_and_prints_the_diff(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["refs", "--update"]) == 0
    assert capsys.readouterr().out == (
        "--- a/cross-cloud.yml\n+++ b/cross-cloud.yml\n@@ -3,4 +3,6 @@\n   auto:\n"
        "     stable_ref: auto     # moves by itself\n   demo:                  # the first\n"
        '-    stable_ref: "v1.9.0" # checked by hand\n+    stable_ref: "v1.10.0" # checked by hand\n'
        "+  edgy:\n+    stable_ref: edge-25.10\n"
    )
    assert (root / "cross-cloud.yml").read_text() == FILE.replace("v1.9.0", "v1.10.0") + (
        "  edgy:\n    stable_ref: edge-25.10\n"
    )
    assert cli.main(["refs", "--update"]) == 0
    assert capsys.readouterr() == ("", "crosscloud: nothing to update: no newer release is known\n")


def test_patch_takes_the_diff(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["refs", "--update"])
    wanted = (root / "cross-cloud.yml").read_text()
    (root / "cross-cloud.yml").write_text(FILE)
    subprocess.run(["git", "apply", "-"], input=capsys.readouterr().out, text=True, check=True, cwd=root)
    assert (root / "cross-cloud.yml").read_text() == wanted


def test_only_what_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["refs", "asleep", "--update"]) == 0
    assert (root / "cross-cloud.yml").read_text() == FILE + "  asleep:\n    stable_ref: v1.0.1\n"
    assert cli.main(["refs", "auto,edgy"]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines() if "\t" in line] == ["auto", "edgy"]


def test_what_clusters_are_made_of_is_written_where_they_read_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = PLUGIN.partition("    return [")[0] + (
        '    return [Project(name="orchestra", build=Strategy(), chart="c", stable_ref="v1.9.0", is_kubernetes=True)]\n'
    )
    (root / "projects/more.py").write_text(more)
    monkeypatch.setenv("ORCHESTRA", "v1.9.0 v1.9.1")
    assert cli.main(["refs", "--update", "orchestra"]) == 0
    assert (root / "cross-cloud.yml").read_text() == FILE + "kubernetes:\n  stable: v1.9.1\n"


def test_a_file_that_is_not_there_is_made(root: Path) -> None:
    (root / "cross-cloud.yml").unlink()
    assert cli.main(["refs", "demo", "--update"]) == 0
    assert (root / "cross-cloud.yml").read_text() == "projects:\n  demo:\n    stable_ref: v1.10.0\n"


def test_a_project_that_cannot_be_asked_does_not_stop_the_others(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEMO", "")
    assert cli.main(["refs", "--update"]) == 1
    assert (root / "cross-cloud.yml").read_text() == FILE + "  edgy:\n    stable_ref: edge-25.10\n"
    assert capsys.readouterr().err == "crosscloud: demo: git cannot reach https://example.test: no route to host\n"
    assert cli.main(["refs", "demo"]) == 1
    assert capsys.readouterr().out == "demo\tv1.9.0\t?\t?\tgit cannot reach https://example.test: no route to host\n"


@pytest.mark.parametrize(
    ("stable", "note"),
    [("main", "stable is no release tag"), ("v3.0.0", "stable is newer than that")],
)
def test_nothing_goes_back_and_no_branch_is_replaced(
    root: Path, stable: str, note: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = FILE.replace("v1.9.0", stable)
    (root / "cross-cloud.yml").write_text(text)
    assert cli.main(["refs", "demo"]) == 0
    assert capsys.readouterr().out.rstrip("\n").split("\t")[-1] == f"{note}; branch main"
    assert cli.main(["refs", "demo", "--update"]) == 0
    assert capsys.readouterr().err == "crosscloud: nothing to update: no newer release is known\n"
    assert (root / "cross-cloud.yml").read_text() == text


@pytest.mark.parametrize(
    ("stable", "shown", "note"),
    [
        ("v1.0.0", "v1.0.0", "a newer release is out; with agent v0.5.0 (newest: v0.6.0), tool v2.0.0"),
        ("auto", "auto", "with agent v0.6.0, tool v2.0.0"),
    ],
)
def test_the_parts_of_a_project_are_told_with_newer_ones(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stable: str, shown: str, note: str
) -> None:
    more = (
        "from pytest_crosscloud.build.parts import Part, Parts\n"
        + PLUGIN.partition("    return [")[0]
        + (
            "    agent, tool = (Part(build=Strategy(), stable_ref=ref) for ref in ('v0.5.0', 'v2.0.0'))\n"
            "    parts = {'several': Part(build=Strategy()), 'agent': agent, 'tool': tool}\n"
            "    return [Project(name='several', build=Parts(parts=parts), chart='c', stable_ref='v1.0.0')]\n"
        )
    )
    (root / "projects/more.py").write_text(more)
    text = f"projects:\n  several:\n    stable_ref: {stable}\n"
    (root / "cross-cloud.yml").write_text(text)
    for name, tags in (("SEVERAL", "v1.0.0 v1.1.0"), ("AGENT", "v0.5.0 v0.6.0"), ("TOOL", "v2.0.0")):
        monkeypatch.setenv(name, tags)
    assert cli.main(["refs", "several"]) == 0
    assert capsys.readouterr().out == f"several\t{shown}\tv1.1.0\t0123456789ab\t{note}\n"
    assert cli.main(["refs", "several", "--update"]) == 0
    assert (root / "cross-cloud.yml").read_text() == text.replace("v1.0.0", "v1.1.0")


def test_what_cannot_be_edited_is_named_with_its_place(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = FILE.replace('"v1.9.0"', "&v v1.9.0")
    (root / "cross-cloud.yml").write_text(text)
    assert cli.main(["refs", "--update"]) == 1
    shown = capsys.readouterr()
    assert f"crosscloud: {root}/cross-cloud.yml:6: projects.demo.stable_ref cannot be changed safely" in shown.err
    assert "write it there yourself: stable_ref: v1.10.0" in shown.err
    assert (root / "cross-cloud.yml").read_text() == text + "  edgy:\n    stable_ref: edge-25.10\n"


def test_unknown_names_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["refs", "demmo"]) == 4
    assert "unknown project 'demmo'; did you mean 'demo'?" in capsys.readouterr().err


def test_json_has_everything(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AUTO", "")
    assert cli.main(["refs", "--update", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["diff"].startswith("--- a/cross-cloud.yml\n")
    auto, demo, _ = answer["projects"]
    assert (auto["newest"], auto["error"][:16]) == ("", "git cannot reach")
    assert demo == {
        "project": "demo",
        "stable": "v1.9.0",
        "newest": "v1.10.0",
        "head": "0123456789ab",
        "note": "a newer release is out; branch main",
        "error": "",
        "update": True,
    }


def test_the_file_keeps_its_rights_its_link_and_its_encoding(root: Path) -> None:
    real = root / "elsewhere.yml"
    (root / "cross-cloud.yml").unlink()
    real.write_bytes(FILE.replace("\n", "\r\n").encode("utf-8-sig"))
    real.chmod(0o640)
    (root / "cross-cloud.yml").symlink_to(real)
    assert cli.main(["refs", "demo", "--update"]) == 0
    assert (root / "cross-cloud.yml").is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert real.read_bytes() == FILE.replace("v1.9.0", "v1.10.0").replace("\n", "\r\n").encode("utf-8-sig")


def test_whoever_changes_the_file_meanwhile_loses_nothing(root: Path) -> None:
    path = root / "cross-cloud.yml"
    with pytest.raises(CrosscloudError, match="has just been changed by somebody else"):
        refs._write(path, b"as it was read", b"new")
    assert path.read_text() == FILE
    assert sorted(found.name for found in root.iterdir()) == ["cross-cloud.yml", "projects"]


def test_a_kill_leaves_the_old_file_or_the_new_one(root: Path) -> None:
    """Killed at each system call that touches the file, in turn."""
    program = (
        "import os, signal, sys, pathlib\n"
        "from pytest_crosscloud.commands import refs\n"
        "left = int(sys.argv[1])\n"
        "def hook(event, args):\n"
        "    global left\n"
        "    if event in ('open', 'os.rename', 'os.remove', 'os.chmod', 'os.chown'):\n"
        "        left -= 1\n"
        "        if left < 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "path = pathlib.Path('cross-cloud.yml')\n"
        "before = path.read_bytes()\n"
        "sys.addaudithook(hook)\n"
        "refs._write(path, before, b'new')\n"
    )
    for number in range(50):
        (root / "cross-cloud.yml").write_text(FILE)
        code = subprocess.run([sys.executable, "-c", program, str(number)], env=os.environ, check=False).returncode
        assert (root / "cross-cloud.yml").read_text() in (FILE, "new")
        if code != -signal.SIGKILL:
            break
    assert (code, number > 2) == (0, True)
