"""Which test may run next, and which of those should. It neither runs nor waits for anything."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from .estimate import Estimate
from .graph import Stages
from .limits import Limit, Open

#: Seconds from which a plain test is known to be long: it does not stay in its place at the end.
LONG = 5.0

_Rank = tuple[float, int]


class Queue:
    """Hands out tests by index: ``take`` one, ``end`` it when it is over, however it went.

    A test waits for a stage that it needs as long as another test is there to make it. A stage that nobody
    makes is made by whichever test touches it first; the others are held back meanwhile, unless nothing
    else could use the worker. A test that would open a cluster above a limit waits until another cluster's last
    test is over. Of those that may run, the one with the longest way to the end of the run goes first. Plain tests
    go last, in their own order, but for those that are known to be long.

    :param limits: are kept, and nobody waits for ever, as long as no test touches a second cluster or waits for a test
        of one: none of a matrix does. In another graph a limit gives way.
    :param durations: seconds, by stage key and by node id.
    :param nodeids: of the tests, where durations are given.
    """

    def __init__(
        self,
        tests: Sequence[Stages],
        limits: Iterable[Limit] = (),
        durations: Mapping[str, float] | None = None,
        nodeids: Sequence[str] = (),
    ) -> None:
        self._touched = [test.touched for test in tests]
        self._makers: defaultdict[str, set[int]] = defaultdict(set)
        self._needers: defaultdict[str, set[int]] = defaultdict(set)
        for index, test in enumerate(tests):
            for stage in test.makes:
                self._makers[stage].add(index)
            for stage in test.needs:
                self._needers[stage].add(index)
        estimate = Estimate(durations or {})
        extra = [estimate.test(nodeid) for nodeid in nodeids] or [0.0] * len(tests)
        paths = self._paths(tests, estimate, extra)
        self._rank: list[_Rank] = [(-path, index) for index, path in enumerate(paths)]
        self._waits = [
            sum(self._waits_for(index, stage) for stage in set(test.needs)) for index, test in enumerate(tests)
        ]
        self._ended: set[str] = set()
        self._making: dict[str, int] = {}  # stages that a running test touches first
        self._left = set(range(len(tests)))
        self._running: set[int] = set()
        self._in_order = {index for index, touched in enumerate(self._touched) if not touched and extra[index] < LONG}
        self._plain = deque(sorted(self._in_order))
        self._ready = [rank for rank in self._rank if rank[1] not in self._in_order and not self._waits[rank[1]]]
        heapq.heapify(self._ready)
        self._held: defaultdict[str, list[_Rank]] = defaultdict(list)  # ready but for a stage being made
        self._open = Open(limits)
        self._shut: defaultdict[str, list[_Rank]] = defaultdict(list)  # ready but for a cluster above a limit
        self._uses = Counter(stage for touched in self._touched for stage in touched)

    @property
    def left(self) -> int:
        """How many tests were not taken yet."""
        return len(self._left)

    def is_plain(self, index: int) -> bool:
        return not self._touched[index]

    def take(self) -> int | None:
        """The test to run next; None if all that are left must wait for one that runs."""
        if (index := self._pop()) is not None:
            return self._start(index)
        if self._plain:
            return self._start(self._plain.popleft())
        held = [rank for ranks in self._held.values() for rank in ranks if not self._is_shut(rank[1])]
        if held:
            best = min(held)
            for ranks in self._held.values():
                if best in ranks:
                    ranks.remove(best)
            return self._start(best[1])
        if self._left and not self._running:  # a circle: no order is right, but nobody may wait for ever
            return self._start(min(self._left, key=lambda index: (self._is_shut(index), self._rank[index])))
        return None

    def take_more(self, most: int, goes_along: Callable[[int], bool]) -> list[int]:
        """Up to ``most`` further tests, as ``take`` would give them out, up to the first that does not go along."""
        taken: list[int] = []
        while len(taken) < most:
            if (index := self._pop()) is not None:
                if not goes_along(index):
                    heapq.heappush(self._ready, self._rank[index])
                    break
            elif self._plain and goes_along(self._plain[0]):
                index = self._plain.popleft()
            else:
                break
            taken.append(self._start(index))
        return taken

    def end(self, index: int) -> None:
        """A test is over, and with it all the stages that it touched."""
        self._running.discard(index)
        touched = self._touched[index]
        for stage in touched - self._ended:
            self._ended.add(stage)
            self._let_go(stage)
            for needer in self._needers[stage]:
                if self._waits_for(needer, stage):
                    self._waits[needer] -= 1
                    if not self._waits[needer] and needer in self._left:
                        heapq.heappush(self._ready, self._rank[needer])
        self._uses.subtract(touched)
        self._close(frozenset(stage for stage in touched if not self._uses[stage]))

    def give_back(self, index: int) -> None:
        """A test that was taken has not run: it is to be taken again."""
        self._running.discard(index)
        self._left.add(index)
        for stage in [stage for stage, maker in self._making.items() if maker == index]:
            self._let_go(stage)
        if index in self._in_order:
            self._plain.appendleft(index)
        else:
            heapq.heappush(self._ready, self._rank[index])

    def _pop(self) -> int | None:
        """The best of those that may run now; those found in its way are put where they are found again."""
        while self._ready:
            rank = heapq.heappop(self._ready)
            touched = self._touched[rank[1]]
            if rank[1] not in self._left:
                continue  # to break a circle, it was started out of turn
            if (being_made := next((stage for stage in touched if stage in self._making), None)) is not None:
                self._held[being_made].append(rank)
            elif self._is_shut(rank[1]):
                heapq.heappush(self._shut[min(self._open.would_open(touched))], rank)
            else:
                return rank[1]
        return None

    def _is_shut(self, index: int) -> bool:
        return self._open.is_full(self._open.would_open(self._touched[index]))

    def _waits_for(self, index: int, stage: str) -> bool:
        return bool(self._makers[stage] - {index})

    def _start(self, index: int) -> int:
        self._left.discard(index)
        self._running.add(index)
        for stage in self._touched[index] - self._ended:
            self._making.setdefault(stage, index)
        opened = self._open.would_open(self._touched[index])
        self._open.add(opened)
        for cluster in opened:
            for rank in self._shut.pop(cluster, ()):
                heapq.heappush(self._ready, rank)
        return index

    def _close(self, stages: frozenset[str]) -> None:
        """Clusters that had their last test make room: the best test of each that is shut may try again."""
        if self._open.remove(stages):
            for ranks in self._shut.values():
                if ranks:
                    heapq.heappush(self._ready, heapq.heappop(ranks))

    def _let_go(self, stage: str) -> None:
        self._making.pop(stage, None)
        for rank in self._held.pop(stage, ()):
            heapq.heappush(self._ready, rank)

    def _paths(self, tests: Sequence[Stages], estimate: Estimate, extra: Sequence[float]) -> list[float]:
        """Of each test: seconds from its start to the end of the last one that waits for it, if none had to queue."""
        own = [
            more
            + sum(estimate.stage(stage) for stage in test.touched if stage in test.makes or not self._makers[stage])
            for test, more in zip(tests, extra, strict=True)
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


def order(
    tests: Sequence[Stages],
    limits: Iterable[Limit] = (),
    durations: Mapping[str, float] | None = None,
    nodeids: Sequence[str] = (),
) -> list[int]:
    """The order for one process: what the queue gives a single worker."""
    queue = Queue(tests, limits, durations, nodeids)
    ordered = []
    while (index := queue.take()) is not None:
        ordered.append(index)
        queue.end(index)
    return ordered
