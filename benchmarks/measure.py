"""What a measure is: its name, the figures that it yields, and what it is given to take them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.toolchain.console import Item


class NotMeasured(CrosscloudError):
    """A figure could not be taken. One that was taken and is bad is a figure."""


@dataclass(frozen=True)
class Figure:
    """One number, smaller is better. ``bound`` is the most that it may be, ``peer`` what others need, in its unit."""

    name: str
    value: float
    unit: str
    bound: float | None = None
    peer: Mapping[str, float] | None = None
    samples: tuple[float, ...] = ()  #: what ``value`` is the median of, in the order in which they were taken

    @property
    def ok(self) -> bool | None:
        """Whether the bound is kept; None: there is none."""
        return None if self.bound is None else self.value <= self.bound


def median(
    name: str,
    samples: Sequence[float],
    unit: str,
    *,
    bound: float | None = None,
    peer: Mapping[str, float] | None = None,
) -> Figure:
    """The figure that is the median of ``samples``."""
    return Figure(name, statistics.median(samples), unit, bound, peer, tuple(samples))


@dataclass(frozen=True)
class Bench:
    """What a measure is given."""

    name: str  #: of the measure
    runs: int  #: samples to take of what is sampled
    directory: Path  #: its own, for logs; empty

    def item(self) -> Item:
        """A line that shows the progress of one sample, and then how it ended."""
        return Item(self.name)

    def stage(self, key: str, seconds: float, item: Item | None = None, *, run: str = "bench") -> StageContext:
        """What runs programs for at most ``seconds`` seconds, with a log of their output.

        :param run: the run that owns what the programs start.
        """
        stage = StageContext(key, run, self.directory, time.monotonic() + seconds)
        if item:
            stage.on_progress = item.progress
        return stage


@dataclass(frozen=True)
class Measure:
    """One thing to measure. ``take`` yields each figure as soon as it is known.

    :raises CrosscloudError: (from ``take``) it could not be measured.
    """

    name: str
    summary: str
    take: Callable[[Bench], Iterator[Figure]]
