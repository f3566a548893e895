"""How long stages and tests will take, from what earlier ones took."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping

from ..model import UPGRADE, StageName

#: Seconds that a stage takes, for want of recorded durations. Only their proportions matter.
GUESS: Mapping[str, float] = {
    StageName.BUILD: 180.0,
    StageName.PROVISION: 60.0,
    StageName.DEPLOY: 20.0,
    StageName.E2E: 40.0,
    UPGRADE: 180.0,
}


class Estimate:
    """:param durations: seconds by stage key, and by node id those of tests, as ``Store.durations`` has them."""

    def __init__(self, durations: Mapping[str, float]) -> None:
        self._durations = durations
        stages: defaultdict[str, list[float]] = defaultdict(list)
        for key, seconds in durations.items():
            name = key.partition(" ")[0]
            if name in GUESS:
                stages[name].append(seconds)
        self._means = {**GUESS, **{name: statistics.fmean(seconds) for name, seconds in stages.items()}}

    def stage(self, key: str) -> float:
        """Seconds of a stage; of one that is not known, the mean of its like."""
        return self._durations.get(key) or self._means.get(key.partition(" ")[0], 0.0)

    def test(self, nodeid: str) -> float:
        """Seconds of a test beside its stages; 0 if it is not known."""
        return self._durations.get(nodeid, 0.0)
