"""Whether a stage that failed is tried again, and when: infrastructure with back-off, a red e2e on request."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import StageError
from ..model import ErrorClass

if TYPE_CHECKING:
    from ..config import Retries

#: Pauses differ by a quarter either way: what was refused together must not come back together.
_JITTER = 0.25

#: Characters of an attempt's failure that are repeated in the next one's progress, and in the result.
_REASON = 160


@dataclass(frozen=True)
class Again:
    """The next attempt."""

    pause: float  #: seconds until then
    total: int  #: attempts that there may be, if all fail as this one did
    is_rerun: bool = False  #: ``--flaky-reruns`` asked for it: it has the whole time of the stage


class Attempts:
    """The attempts at one stage.

    :param reruns: how often a failure of the product is tried again.
    :param number: of the attempt that is made now; more than 1 if another worker died over it.
    :param is_flaky: one before it failed by the product's fault.
    """

    def __init__(
        self,
        retries: Retries,
        reruns: int = 0,
        *,
        number: int = 1,
        is_flaky: bool = False,
        spread: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.number = number
        self.is_flaky = is_flaky  #: whether success would be a flaky one
        self.reason = ""  #: why the attempt before this one failed, in a line
        self._retries = max(0, retries.attempts - number)
        self._reruns = reruns
        self._pause = retries.backoff * 2 ** (number - 1)
        self._spread = spread

    def after(self, error: StageError, left: float) -> Again | None:
        """What comes after this attempt's failure; None: the failure stands.

        :param left: seconds until the stage's deadline. A pause that would not end before is not begun.
        """
        if error.error_class == ErrorClass.INFRASTRUCTURE and self._retries and not error.is_final:
            pause = self._pause * self._spread(1 - _JITTER, 1 + _JITTER)
            return Again(pause, self.number + self._retries) if pause < left else None
        if error.error_class == ErrorClass.PRODUCT and self._reruns:
            return Again(0.0, self.number + self._reruns, is_rerun=True)
        return None

    def take(self, again: Again, error: StageError) -> None:
        """Begin the next attempt."""
        self.number += 1
        self.reason = gist(error)
        if again.is_rerun:
            self._reruns -= 1
            self.is_flaky = True
        else:
            self._retries -= 1
            self._pause *= 2


def gist(error: StageError) -> str:
    """The first line of an error's message, cut to a length that fits into another line."""
    line = error.message.partition("\n")[0].strip()
    return line if len(line) <= _REASON else f"{line[: _REASON - 1]}…"
