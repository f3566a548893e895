"""Which test may run next, and which of those should. It neither runs nor waits for anything."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

from ..model import StageName
from .graph import Stages

#: Seconds that a stage takes, for want of recorded durations. Only their proportions matter.
GUESS: Mapping[str, float] = {
    StageName.BUILD: 180.0,
    StageName.PROVISION: 60.0,
    StageName.DEPLOY: 20.0,
    StageName.E2E: 40.0,
}


class Queue:
    """Hands out tests by index: ``take`` one, ``end`` it when it is over, however it went.

    A test waits for a stage that it needs as long as another test is there to make it. A stage that nobody
    makes is made by whichever test touches it first; the others are held back meanwhile, unless nothing
    else could use the worker. Of those that may run, the one with the longest way to the end of the run goes
    first. Plain tests go last, in their own order.
    """

    def __init__(self, tests: Sequence[Stages]) -> None:
        self._touched = [test.touched for test in tests]
        self._makers: dict[str, set[int]] = defaultdict(set)
        self._needers: dict[str, set[int]] = defaultdict(set)
        for index, test in enumerate(tests):
            for stage in test.makes:
                self._makers[stage].add(index)
            for stage in test.needs:
                self._needers[stage].add(index)
        self._rank = [(-path, index) for index, path in enumerate(self._paths(tests))]
        self._waits = [
            sum(self._waits_for(index, stage) for stage in set(test.needs)) for index, test in enumerate(tests)
        ]
        self._ended: set[str] = set()
        self._making: dict[str, int] = {}  # stages that a running test touches first
        self._left = set(range(len(tests)))
        self._running: set[int] = set()
        self._plain = deque(index for index, touched in enumerate(self._touched) if not touched)
        self._ready = [rank for rank in self._rank if self._touched[rank[1]] and not self._waits[rank[1]]]
        heapq.heapify(self._ready)
        self._held: dict[str, list[tuple[float, int]]] = defaultdict(list)  # ready but for a stage being made

    @property
    def left(self) -> int:
        """How many tests were not taken yet."""
        return len(self._left)

    def is_plain(self, index: int) -> bool:
        return not self._touched[index]

    def take(self) -> int | None:
        """The test to run next; None if all that are left must wait for one that runs."""
        while self._ready:
            rank = heapq.heappop(self._ready)
            being_made = next((stage for stage in self._touched[rank[1]] if stage in self._making), None)
            if being_made is None:
                return self._start(rank[1])
            self._held[being_made].append(rank)
        if self._plain:
            return self._start(self._plain.popleft())
        held = [rank for ranks in self._held.values() for rank in ranks]
        if held:
            best = min(held)
            for ranks in self._held.values():
                if best in ranks:
                    ranks.remove(best)
            return self._start(best[1])
        if self._left and not self._running:  # a circle: no order is right, but nobody may wait for ever
            return self._start(min(self._rank[index] for index in self._left)[1])
        return None

    def take_plain(self, most: int) -> list[int]:
        """Up to ``most`` plain tests, and none if one that touches a stage could run instead."""
        count = 0 if self._ready else min(most, len(self._plain))
        return [self._start(self._plain.popleft()) for _ in range(count)]

    def end(self, index: int) -> None:
        """A test is over, and with it all the stages that it touched."""
        self._running.discard(index)
        for stage in self._touched[index] - self._ended:
            self._ended.add(stage)
            self._let_go(stage)
            for needer in self._needers[stage]:
                if self._waits_for(needer, stage):
                    self._waits[needer] -= 1
                    if not self._waits[needer] and needer in self._left:
                        heapq.heappush(self._ready, self._rank[needer])

    def give_back(self, index: int) -> None:
        """A test that was taken has not run: it is to be taken again."""
        self._running.discard(index)
        self._left.add(index)
        for stage in [stage for stage, maker in self._making.items() if maker == index]:
            self._let_go(stage)
        if self.is_plain(index):
            self._plain.appendleft(index)
        else:
            heapq.heappush(self._ready, self._rank[index])

    def _waits_for(self, index: int, stage: str) -> bool:
        return bool(self._makers[stage] - {index})

    def _start(self, index: int) -> int:
        self._left.discard(index)
        self._running.add(index)
        for stage in self._touched[index] - self._ended:
            self._making.setdefault(stage, index)
        return index

    def _let_go(self, stage: str) -> None:
        self._making.pop(stage, None)
        for rank in self._held.pop(stage, ()):
            heapq.heappush(self._ready, rank)

    def _paths(self, tests: Sequence[Stages]) -> list[float]:
        """Of each test: seconds from its start to the end of the last one that waits for it, if none had to queue."""
        own = [
            sum(_guess(stage) for stage in test.touched if stage in test.makes or not self._makers[stage])
            for test in tests
        ]
        after: dict[str, float] = {}  # by stage: the longest path of those that need it

        def path(index: int) -> float:
            return own[index] + max((path_after(stage, index) for stage in tests[index].makes), default=0.0)

        def path_after(stage: str, maker: int) -> float:
            if stage not in after:
                after[stage] = 0.0  # also ends a circle
                after[stage] = max((path(index) for index in self._needers[stage] if index != maker), default=0.0)
            return after[stage]

        return [path(index) for index in range(len(tests))]


def order(tests: Sequence[Stages]) -> list[int]:
    """The order for one process: what the queue gives a single worker."""
    queue = Queue(tests)
    ordered = []
    while (index := queue.take()) is not None:
        ordered.append(index)
        queue.end(index)
    return ordered


def _guess(stage: str) -> float:
    return GUESS.get(stage.split(" ", 1)[0], 0.0)
