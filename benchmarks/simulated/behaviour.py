"""How a simulated cloud behaves: what takes how long, and what goes wrong."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

#: A number of seconds, or the least and the most of a random one.
Seconds = float | Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """One cloud's. Creates are counted from 1, per cloud, in the order in which they arrive."""

    accept: Seconds = 0.0  #: from a create's arrival until there is a cluster; before that, nobody sees one
    create: Seconds = 0.0  #: from then until it is ready
    destroy: Seconds = 0.0  #: from a delete until it is gone
    answer: Seconds = 0.0  #: before each answer, on top
    quota: int | None = None  #: clusters at a time; one more is refused
    refuse: Sequence[int] = ()  #: these creates are refused, and create nothing
    fail: Sequence[int] = ()  #: these clusters are there and never become ready
    lose: Sequence[int] = ()  #: these creates create, and their answer is lost
    spot: Sequence[int] = ()  #: these clusters are taken away …
    spot_after: Seconds = 0.0  #: … so long after they are ready
    destroy_fails: int = 0  #: so many deletes of each cluster are refused before one is accepted
    error_rate: float = 0.0  #: share of requests that are refused before anything happens, 0 to 1

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """:raises ValueError: a key is none."""
        known = {field.name for field in fields(cls)}
        if unknown := data.keys() - known:
            raise ValueError(f"there is no {', '.join(sorted(unknown))}: there are {', '.join(sorted(known))}")
        return cls(**data)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def draw(seconds: Seconds, source: random.Random) -> float:
    return float(seconds) if isinstance(seconds, int | float) else source.uniform(seconds[0], seconds[1])
