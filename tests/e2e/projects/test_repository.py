"""examples/project-repository on a real cluster: green as it is, and red where its source is broken in a copy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.job import DEADLINE

pytestmark = pytest.mark.root

REPOSITORY = Path(__file__).parents[3] / "examples/project-repository"


def run(copy: Path, *arguments: str) -> tuple[int, str, dict[str, Any]]:
    """Run the cell as the README says; the exit code, what was shown, and the cell's result."""
    command = [sys.executable, "-m", "pytest", "-n", "auto", "--clouds=local", "--projects=tally", "--refs=head"]
    done = subprocess.run([*command, *arguments], cwd=copy, capture_output=True, text=True, timeout=DEADLINE)
    (cell,) = json.loads((copy / "reports/out/results.json").read_text())["cells"]
    return done.returncode, done.stdout + done.stderr, cell


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(REPOSITORY, tmp_path / "tally"))


def statuses(cell: dict[str, Any]) -> list[str]:
    return [cell["stages"][name]["status"] for name in ("build", "provision", "deploy", "e2e")]


def test_the_checkout_is_green_and_known_by_its_commit(copy: Path) -> None:
    for command in (
        ["init", "--quiet"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b.test", "commit", "--quiet", "--message=All of it"],
    ):
        subprocess.run(["git", *command], cwd=copy, check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=copy, capture_output=True, text=True, check=True).stdout

    # The bundled suite is in the package; its path beside "tests" has both in one run.
    code, text, cell = run(copy)
    assert code == 0, text
    assert statuses(cell) == ["success"] * 4
    assert cell["ref"]["commit"] == commit.strip()
    assert cell["checks"]["counts"]["passed"] == 4

    code, text, cell = run(copy, "tests/test_tally.py")
    assert code == 0, text
    assert "2 passed" in text
    assert cell["stages"]["build"]["cached"], "nothing has changed: reports are no source"


def test_what_does_not_compile_ends_the_build_with_the_compilers_words(copy: Path) -> None:
    edit(copy / "tally.go", "votes: map[string]int{}", "votes: nil, unknown: 1")

    code, text, cell = run(copy)

    assert code == 1
    assert statuses(cell)[0] == "failed"
    assert statuses(cell)[2:] == ["n/a", "n/a"]
    error = cell["stages"]["build"]["error"]
    assert error["class"] == "product"
    assert "tally.go:22" in error["message"]
    assert "unknown field unknown in struct literal" in error["message"]
    assert "unknown field unknown in struct literal" in text, "it is shown without looking into a file"


def test_what_behaves_wrongly_is_red_in_its_check(copy: Path) -> None:
    edit(copy / "tally.go", "t.votes[choice] += more", 't.votes["all"] += more; t.votes[choice] = t.votes["all"]')

    code, text, cell = run(copy)

    assert code == 1
    assert statuses(cell) == ["success", "success", "success", "failed"]
    failures = cell["checks"]["failures"]
    assert "choices do not mix" in str(failures), text
