"""Rules of the packet filter are told apart by their comment."""

from __future__ import annotations

import pytest

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
    monkeypatch.setattr(firewall, "_forward", lambda: None)
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
