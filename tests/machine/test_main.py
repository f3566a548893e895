"""The command line answers a mistake with a line, not a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_crosscloud.machine import records
from pytest_crosscloud.machine.__main__ import main
from pytest_crosscloud.machine.records import Machine, Network

UP = ["up", "--name", "m1", "--network", "net", "--address", "198.19.7.10", "--hostname", "node", "--run", "r1"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["exec", "m1", "--", "true"], "no machine m1 runs"),
        (["console", "m1"], "no machine m1 here"),
        ([*UP, "--user-data", "/nowhere"], "user-data: "),
        ([*UP, "--user-data", "/dev/null"], "no network net"),
        (["down", "--name", "../m1"], "not a valid name"),
        (["network-up", "--name", "a/b", "--cidr", "198.19.7.0/24", "--run", "r1"], "not a valid name of a network"),
    ],
)
def test_a_mistake(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 1
    assert message in capsys.readouterr().err


def test_a_name_that_is_taken_is_refused_and_kept(capsys: pytest.CaptureFixture[str]) -> None:
    records.put_network(Network("198.19.7.0/24", "r1", "net"))
    taken = Machine("m1", "r2", "net", "198.19.7.11", "node", "/disk")
    records.put_machine(taken)
    assert main([*UP, "--user-data", "/dev/null"]) == 1
    assert "machine m1 exists" in capsys.readouterr().err
    assert records.machines() == [taken]


def test_a_kept_disk_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records.put_network(Network("198.19.7.0/24", "r1", "net"))
    disk = tmp_path / "state/crosscloud/machines/m1/disk"
    disk.mkdir(parents=True)
    assert main([*UP, "--user-data", "/dev/null"]) == 1
    assert "kept disk" in capsys.readouterr().err
    assert disk.exists()


def test_list_is_of_one_run_and_can_be_read_by_programs(capsys: pytest.CaptureFixture[str]) -> None:
    for run in ("r1", "r2"):
        records.put_machine(Machine(f"m-{run}", run, "net", "198.19.7.10", "node", "/disk"))
    assert main(["list", "--run", "r2", "--json"]) == 0
    assert '"m-r2"' in (text := capsys.readouterr().out)
    assert "m-r1" not in text


def test_taking_down_what_is_not_there_is_nothing() -> None:
    assert main(["down", "--name", "m1"]) == 0
    assert main(["network-down", "--name", "net"]) == 0
