"""kill -9 of the controller at random moments: nothing that it had shown is lost. The benchmark, in a short form."""

from __future__ import annotations

from pathlib import Path

from benchmarks import controller_kill
from benchmarks.measure import Bench


def test_nothing_shown_is_lost_and_each_report_is_valid(tmp_path: Path) -> None:
    figures = {
        figure.name: figure for figure in controller_kill.take(Bench("kill", 1, tmp_path), kills=6, peer_kills=1)
    }
    assert figures["controller-kill-lost"].value == 0
    assert figures["controller-kill-invalid"].value == 0
    assert figures["controller-kill-shown"].value > 10, "else the kills came too early to prove anything"


def test_what_a_terminal_says_has_ended(tmp_path: Path) -> None:
    terminal = tmp_path / "terminal"
    terminal.write_text(
        "run 7f3a  2 cells: one × sim0   5 stages\n"
        "  build      one-stable       success      0:00  one@sha256:00…\n"
        "  provision  sim0             running      0:31  waiting\n"
        "  e2e        two-stable-sim0  n/a                build two-stable failed; so are 3 more stages\n"
        "[gw0] [ 33%] PASSED test_build.py::test_build[one-stable] \n"
        "test_peer.py::test_cell[1] \n"
        "[gw1] [ 66%] FAILED test_build.py::test_build[two-stable] \n"
        "  deploy     one-stable-sim0  succ"
    )
    stages, tests = controller_kill.shown(terminal)
    assert stages == {"build one-stable": "success", "e2e two-stable-sim0": "n/a"}
    assert tests == {
        "test_build.py::test_build[one-stable]": "passed",
        "test_build.py::test_build[two-stable]": "failed",
    }
