"""SIGKILLs at random moments, on simulated clouds: what is left of the runs, and how long the rest takes to go."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from . import kubetest2
from .measure import Bench, Figure, Measure, NotMeasured
from .simulated.reign import Reign, reign

#: Kills for each run that is asked for.
KILLS = 200

#: Kills of kubetest2 for each run that is asked for: each of them leaves something.
PEER_KILLS = 4

#: Seconds, for 99 of 100 runs that were killed, until nothing is left of them.
BOUND = 10.0


def take(bench: Bench) -> Iterator[Figure]:
    with bench.item() as item:
        found = reign(bench.directory / "reign", KILLS * bench.runs, say=item.progress)
        item.end("done", f"{found.kills} kills of {found.runs} runs")
    for left in (*found.leaked, *found.foreign, *found.processes):
        print(f"kills: {left}", flush=True)
    peer = kubetest2.killed(bench, PEER_KILLS * bench.runs)
    yield from figures(found, peer)


def figures(found: Reign, peer: kubetest2.Killed) -> Iterator[Figure]:
    """Shares of the peer's are scaled to our number of kills."""
    if not found.gone:
        raise NotMeasured("no run that was killed had a cluster")
    scale = found.kills / peer.kills
    yield Figure("kills", found.kills, "kills")
    yield Figure("kills-leaked", len(found.leaked), "clusters", 0, {"kubetest2": peer.clusters * scale})
    yield Figure("kills-processes", len(found.processes), "processes", 0, {"kubetest2": peer.processes * scale})
    yield Figure("kills-foreign", len(found.foreign), "clusters", 0)
    gone = sorted(found.gone)
    yield Figure("kills-gone-p99", gone[min(int(len(gone) * 0.99), len(gone) - 1)], "s", BOUND)
    yield Figure("kills-gone", statistics.median(gone), "s", samples=tuple(gone))


MEASURE = Measure("kills", "SIGKILLs at random moments: what is left of the runs, and for how long", take)
