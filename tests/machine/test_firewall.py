"""Rules of the packet filter are told apart by their comment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_crosscloud import cli
from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.machine import firewall
from pytest_crosscloud.machine.records import Network

SAVED = """\
*filter
:FORWARD ACCEPT [0:0]
-A FORWARD -i ccb1 -m comment --comment "crosscloud:r1:net" -j ACCEPT
-A FORWARD -i ccb2 -m comment --comment "crosscloud:r1:net-2" -j ACCEPT
-A FORWARD -i ccb3 -m comment --comment "crosscloud:r11:net" -j ACCEPT
-A FORWARD -i eth0 -j DROP
COMMIT
*nat
-A POSTROUTING -s 198.19.7.0/24 -m comment --comment crosscloud:r1:net -j MASQUERADE
COMMIT
"""


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was given to iptables-restore."""
    texts: list[str] = []

    def run(argv: list[str], text: str = "") -> str:
        if argv[0] == "iptables-restore":
            texts.append(text)
        return SAVED

    monkeypatch.setattr(firewall, "_run", run)
    return texts


def test_a_network_is_closed_without_touching_its_neighbours(restored: list[str]) -> None:
    firewall.close("r1", "net")
    assert [line for line in restored[0].splitlines() if line.startswith("-")] == [
        '-D FORWARD -i ccb1 -m comment --comment "crosscloud:r1:net" -j ACCEPT',
        "-D POSTROUTING -s 198.19.7.0/24 -m comment --comment crosscloud:r1:net -j MASQUERADE",
    ]


def test_a_run_is_closed_with_all_its_networks(restored: list[str]) -> None:
    firewall.close("r1")
    assert restored[0].count("-D ") == 3


def test_nothing_to_close_is_nothing_to_run(restored: list[str]) -> None:
    firewall.close("r9")
    assert restored == []


def test_rules_that_are_there_are_not_added_again(restored: list[str]) -> None:
    firewall.open_up(Network("198.19.7.0/24", "r1", "net"))
    assert restored == []
    firewall.open_up(Network("198.19.9.0/24", "r1", "new"))
    assert "-s 198.19.9.0/24 ! -d 198.18.0.0/15" in restored[0]


def test_a_failure_names_a_command_that_exists(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CrosscloudError) as error:
        firewall._run(["sh", "-c", "echo no such table >&2; exit 3"])
    assert error.value.message == "sh: no such table"
    command = re.search(r"crosscloud (\S+) (--\w+)=local", error.value.remedy)
    assert command
    with pytest.raises(SystemExit):
        cli.main([command[1], "--help"])
    assert command[2] in capsys.readouterr().out


def test_forwarding_is_put_back_only_if_it_was_changed(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.mkdir()
    setting = tmp_path / "ip_forward"
    monkeypatch.setattr(firewall, "_FORWARD", setting)
    for before in ("0\n", "1\n"):
        setting.write_text(before)
        firewall.forward()
        firewall.forward()
        assert setting.read_text().strip() == "1"
        firewall.restore_forwarding()
        assert setting.read_text() == before


def test_rules_alone_leave_no_record_on_the_host(
    restored: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The preflight check's are in a network namespace of its own, where forwarding may be off."""
    setting = tmp_path / "ip_forward"
    setting.write_text("0\n")
    monkeypatch.setattr(firewall, "_FORWARD", setting)
    firewall.open_up(Network("198.19.9.0/24", "r1", "new"))
    assert setting.read_text() == "0\n"
