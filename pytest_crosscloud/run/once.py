"""Each stage once per run, however many workers there are: whoever comes first makes it, the others wait for it.

What is done is decided by the store and a file lock per stage, not by pytest's fixtures: those run once per worker.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import StageError
from ..model import StageResult, Status, stage_key
from . import making
from .endings import StageFailed, because
from .making import Make, Making, Target, Undo

if TYPE_CHECKING:
    from .context import Run

#: What a result of the run that this one goes on with is worth here; None: nothing.
Inherit = Callable[[StageResult], StageResult | None]


class Once:
    """The stages of a run, as this process has part in them."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def make(
        self,
        stage: str,
        target: Target,
        folder: str,
        make: Make,
        undo: Undo = lambda stage: None,
        inherit: Inherit = lambda result: result,
    ) -> StageResult:
        """The stage's result: made here if nobody has, otherwise awaited.

        :param inherit: what a success of the run that this one goes on with is here; None: it is to be made again.
        :raises StageFailed: it failed, here or elsewhere; or the worker that makes it is stuck.
        """
        result = self._run.store.result(self._run.id, stage, target.id)
        # What has ended here has ended for good: nobody need queue to read it.
        if result is None or result.status == Status.RUNNING or result.resumed_from:
            result = self._in_turn(stage, target, folder, make, undo, inherit)
        if result.status != Status.SUCCESS:
            raise StageFailed(result)
        return result

    def _in_turn(
        self, stage: str, target: Target, folder: str, make: Make, undo: Undo, inherit: Inherit
    ) -> StageResult:
        """The stage's result, made here if it is this worker's turn and nobody has."""
        key, store = stage_key(stage, target.id), self._run.store
        with ExitStack() as lock:
            try:
                lock.enter_context(making.held(self._run, key, making.patience(self._run, stage, target)))
            except TimeoutError:
                stuck = store.result(self._run.id, stage, target.id) or StageResult(stage, target.id, Status.RUNNING)
                said = f", and said at last: {stuck.detail}" if stuck.detail else ""
                error = StageError(f"the worker that makes it is stuck{said}", remedy=f"log: {stuck.log}")
                raise StageFailed(replace(stuck, status=Status.FAILED, failure=error.failure())) from None
            result = store.result(self._run.id, stage, target.id)
            if result and result.resumed_from and result.status == Status.SUCCESS:
                result = inherit(result)
            if result is None or result.status == Status.RUNNING:
                # Running, and the lock is free: the worker that made it died.
                result = Making(self._run, stage, target, folder, result).make(make, undo)
        return result

    def not_applicable(self, stage: str, target: str, upstream: StageResult) -> None:
        """Nobody makes the stage, for ``upstream`` failed or is n/a itself. At once and for good."""
        if self._run.store.result(self._run.id, stage, target) is None:
            detail = because(upstream)
            result = StageResult(stage, target, Status.NA, detail=detail, upstream=upstream.key, log=upstream.log)
            self._run.store.record(self._run.id, result)
