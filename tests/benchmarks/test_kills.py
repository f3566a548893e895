"""A hundred SIGKILLs, on simulated clouds, leave nothing and touch nobody else's; the full thousand is a benchmark."""

from __future__ import annotations

from pathlib import Path

from benchmarks.kills import BOUND, figures
from benchmarks.kubetest2 import Killed
from benchmarks.simulated.reign import Reign, reign


def test_a_hundred_kills_leave_nothing(tmp_path: Path) -> None:
    found = reign(tmp_path, 100)

    assert found.kills >= 100
    assert (found.leaked, found.foreign, found.processes) == ([], [], [])
    assert len(found.gone) > 20, "of so many runs a cluster was there to be destroyed"


def test_the_peers_share_is_told_of_as_many_kills() -> None:
    found = Reign(kills=200, leaked=["one"], gone=[0.5] * 98 + [11.0, 12.0])

    taken = {figure.name: figure for figure in figures(found, Killed(kills=10, clusters=7, processes=5))}

    assert taken["kills-leaked"].ok is False and taken["kills-leaked"].peer == {"kubetest2": 140}
    assert taken["kills-processes"].ok and taken["kills-processes"].peer == {"kubetest2": 100}
    assert taken["kills-gone-p99"].value == 12.0 > BOUND
    assert taken["kills-gone"].value == 0.5
