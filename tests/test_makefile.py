"""The Makefile and what CI calls: the commands of the README's first lines."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


def make(*argv: str) -> str:
    done = subprocess.run(
        ["make", "--no-print-directory", "-C", ROOT, *argv], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_make_explains_every_target_that_a_person_types() -> None:
    text = make()
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets
    for target in targets[1].split():
        assert re.search(rf"^  make {target} +\w", text, re.MULTILINE), target


def test_the_demo_sets_up_and_then_runs_the_main_job() -> None:
    commands = make("--dry-run", "demo").splitlines()
    order = [
        next(i for i, line in enumerate(commands) if text in line) for text in ("venv", "crosscloud setup", "-n auto")
    ]
    assert order == sorted(order)
    assert commands[-1] == ".venv/bin/pytest -n auto --clouds=local --projects=coredns --refs=stable,head"


@pytest.mark.parametrize("root", [1, 0])
@pytest.mark.parametrize(("target", "slow"), [("test", " and not slow"), ("test-all", "")])
def test_without_root_the_tests_that_need_it_are_left_out_and_it_is_said(target: str, slow: str, root: int) -> None:
    commands = make("--dry-run", target, f"ROOT={'0' if root else ''}")
    assert f'-m "not root{slow}" tests' in commands
    assert (f'-m "root{slow}" tests' in commands) == bool(root)
    assert ("Left out" in commands) == (not root)
    assert ("crosscloud setup" in commands) == bool(root), "unit tests need no Debian package"
    assert ("-m tests.programs" in commands) == bool(root)
    assert all(check in commands for check in ("ruff check", "ruff format --check", "mypy"))


def test_bench_takes_a_name() -> None:
    assert make("--dry-run", "bench", "BENCH=cluster").splitlines()[-1].endswith("-m benchmarks cluster")


def test_ci_runs_the_tests_as_ci_and_without_input(tmp_path: Path) -> None:
    fake = tmp_path / "make"
    fake.write_text('#!/bin/sh\necho "$CI $* $PWD"; cat\n')
    fake.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    argv = ["bash", str(ROOT / ".ci" / "run")]
    done = subprocess.run(argv, env=env, input="not read", capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"true test {ROOT}\n"


# -- scripts/venv -------------------------------------------------------------------------------------------------

UV = """case "$1" in
--version) echo uv 0 ;;
venv) mkdir -p .venv/bin ;;
*) echo "$*" >> .venv/installed ;;
esac"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose packages are installed by a uv that only writes down what it is told."""
    checkout = tmp_path / "checkout"
    (checkout / "scripts").mkdir(parents=True)
    for name in ("venv", "uv.txt"):
        shutil.copy(ROOT / "scripts" / name, checkout / "scripts")
    (checkout / "requirements.lock").write_text("pytest==9.0 --hash=sha256:0\n")
    (checkout / "pyproject.toml").write_text("[project]\n")
    uv = tmp_path / "uv"
    uv.write_text(f"#!/bin/sh\n{UV}\n")
    uv.chmod(0o755)
    return checkout


def venv(checkout: Path) -> str:
    env = {**os.environ, "PATH": f"{checkout.parent}:{os.environ['PATH']}"}
    done = subprocess.run([checkout / "scripts/venv"], env=env, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def test_the_venv_is_made_from_the_lock_with_hashes_and_once(checkout: Path) -> None:
    venv(checkout)
    installed = (checkout / ".venv" / "installed").read_text().splitlines()
    assert installed == [
        "pip install --compile-bytecode --require-hashes --requirement requirements.lock",
        "pip install --compile-bytecode --no-deps --no-build-isolation --editable .",
    ]
    assert venv(checkout) == "", "nothing to do"


def test_another_lock_makes_it_anew(checkout: Path) -> None:
    venv(checkout)
    (checkout / "requirements.lock").write_text("pytest==9.1 --hash=sha256:1\n")
    assert "making .venv" in venv(checkout)


def test_after_a_kill_half_way_it_is_made_anew(checkout: Path) -> None:
    venv(checkout)
    for stamp in (checkout / ".venv").glob(".made-from-*"):
        stamp.unlink()
    assert "making .venv" in venv(checkout)


def test_the_end_of_the_tests_says_what_each_of_them_left_out(tmp_path: Path) -> None:
    """As the recipe runs it, with a python that adds what it was told to select."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\n[ -n "$CROSSCLOUD_TESTS_LEFT_OUT" ] || exit 0\necho running\n')
    python.write_text(python.read_text() + 'echo "Left out: $*" >> "$CROSSCLOUD_TESTS_LEFT_OUT"\nexit 1\n')
    python.chmod(0o755)
    (recipe,) = [line for line in make("--dry-run", "test", "ROOT=0").splitlines() if "failed=1" in line]
    shell = recipe.replace(".venv/bin/python", str(python))
    for _ in range(2):  # nothing of the last time is said again
        done = subprocess.run(["sh", "-c", shell], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        lines = done.stdout.splitlines()
        assert lines[:2] == ["running", "running"]
        assert ["not root" in line for line in lines[2:]] == [True, False]


@pytest.fixture
def gate(checkout: Path) -> Path:
    """A pipe: uv does not go on with an environment that it makes before somebody has opened it to write."""
    gate = checkout.parent / "gate"
    os.mkfifo(gate)
    uv = checkout.parent / "uv"
    uv.write_text(uv.read_text().replace("venv) ", f"venv) cat {gate}; "))
    return gate


def test_of_two_at_once_one_makes_it_and_the_other_says_that_it_waits(checkout: Path, gate: Path) -> None:
    env = {**os.environ, "PATH": f"{checkout.parent}:{os.environ['PATH']}"}
    argv = [checkout / "scripts/venv"]
    with ExitStack() as ended:

        def start() -> subprocess.Popen[str]:
            process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True)
            ended.enter_context(process)
            ended.callback(end, process)
            return process

        first = start()
        assert "making .venv" in next_line(first)
        second = start()
        assert "waiting for another process" in next_line(second)
        gate.write_text("go on")
        assert "installing" in first.communicate(timeout=60)[0]
        assert second.communicate(timeout=60)[0] == "", "it finds what the first has made"
        assert (first.returncode, second.returncode) == (0, 0)
    assert len((checkout / ".venv" / "installed").read_text().splitlines()) == 2, "the packages, and the checkout"


def next_line(process: subprocess.Popen[str]) -> str:
    """What a process says next, which it has to within a minute."""
    assert process.stdout
    assert select.select([process.stdout], [], [], 60)[0], "it says nothing"
    return process.stdout.readline()


def end(process: subprocess.Popen[str]) -> None:
    """End it with what it has started; one that has ended is left alone."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
