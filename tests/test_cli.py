"""The crosscloud command: help, exit codes, and errors without tracebacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_crosscloud import cli
from pytest_crosscloud.commands import listing
from pytest_crosscloud.errors import ConfigurationError, CrosscloudError
from tests.samples import write_clouds

CROSSCLOUD = [sys.executable, "-c", "import sys; from pytest_crosscloud.cli import main; sys.exit(main())"]


def usage(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_help_teaches_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert usage("--help") == 0
    text = capsys.readouterr().out
    assert "crosscloud plan --clouds=local --projects=coredns" in text
    assert all(name in text and summary in text for name, _, summary in cli.COMMANDS)


@pytest.mark.parametrize("command", [name for name, _, _ in cli.COMMANDS])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert usage(command, "--help") == 0
    assert f"usage: crosscloud {command}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert usage("--version") == 0
    assert capsys.readouterr().out.startswith("crosscloud 0.")


def test_an_unknown_option_is_answered_by_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert usage("refs", "--jsn", "coredns") == pytest.ExitCode.USAGE_ERROR
    error = capsys.readouterr().err
    assert error.startswith("usage: crosscloud refs")
    assert "crosscloud refs: error: unknown argument '--jsn'; did you mean '--json'?" in error


@pytest.mark.parametrize("arguments", [[], ["lst"], ["list", "--nope"], ["list", "planets"]])
def test_wrong_usage_exits_as_pytest_does(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert usage(*arguments) == pytest.ExitCode.USAGE_ERROR
    assert capsys.readouterr().err.startswith("usage: crosscloud")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ConfigurationError("no such file", remedy="make one"), 4, "crosscloud: error: no such file\n  make one\n"),
        (CrosscloudError("it broke"), 1, "crosscloud: error: it broke\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_how_a_command_ends(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    message: str,
) -> None:
    def fail(args: object) -> int:
        raise error

    monkeypatch.setattr(listing, "main", fail)
    assert cli.main(["list"]) == code
    assert capsys.readouterr().err == message


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    write_clouds(tmp_path / "clouds/many.py", *(f"name='cloud-{number}'" for number in range(500)))
    with subprocess.Popen(
        [*CROSSCLOUD, "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == cli.EXIT_PIPE


def test_help_imports_no_command() -> None:
    script = (
        "import sys; from pytest_crosscloud import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith('pytest_crosscloud.commands')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
