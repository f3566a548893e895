"""The workload of the makespan benchmark, and what becomes of its samples."""

from __future__ import annotations

import pytest

from benchmarks.makespan import PEERS, Taken, _figures
from benchmarks.simulated.workload import LOWER_BOUND, WORKERS, workload


def test_the_workload_is_that_of_the_peers() -> None:
    work = workload()

    assert (len(work.clusters), len(work.cells), WORKERS) == (12, 80, 4)
    assert work.lower_bound == pytest.approx(LOWER_BOUND)
    assert len(set(work.cells.values())) == 80
    assert work == workload() != workload(1)
    total = sum(work.clusters.values()) + sum(work.stages.values())
    assert total == pytest.approx(LOWER_BOUND * WORKERS)  # so no chain is longer: it is the workers that count


def test_ours_are_counted_from_start_to_end_like_the_peers() -> None:
    others = zip(PEERS, (20.0, 30.0, 16.0), (30, 44, 16), strict=True)
    peers = {name: Taken(seconds, provisions, 1.0, 15.0) for name, seconds, provisions in others}
    ours = [Taken(seconds, 12, 2.0, 9.0) for seconds in (11.0, 8.0)]
    rounds = [{"first": Taken(12.0, 12, 2.0, 9.5), "ours": one, **peers} for one in ours]

    figures = {figure.name: figure for figure in _figures(rounds, 10.0)}

    assert figures["provisions"].ok and figures["provisions"].peer == {"load": 30, "loadgroup": 44, "worksteal": 16}
    assert figures["makespan"].samples == (1.1, 0.8)
    assert figures["makespan"].peer == {"load": 2.0, "loadgroup": 3.0, "worksteal": 1.6}
    assert figures["makespan-first"].value == 1.2 and not figures["makespan-first"].ok
    assert figures["makespan-ahead"].samples == (11 / 16, 0.5), "against the best of them"
    assert figures["makespan-work"].value == 9.0
