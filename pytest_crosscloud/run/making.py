"""Makes one stage: from the first word in the store to its result, in as many attempts as it may have."""

from __future__ import annotations

import re
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

from .. import disk
from ..errors import StageError
from ..model import BuildTarget, Cell, ClusterTarget, Failure, StageName, StageResult, Status, Upgrade
from ..redact import redact
from ..stage import StageContext
from . import processes
from .attempts import Again, Attempts, gist
from .watchdog import watching

if TYPE_CHECKING:
    from .context import Run

Target = BuildTarget | ClusterTarget | Cell | Upgrade

#: The product of a stage as JSON, and the line that tells a person about it.
Outcome = tuple[dict[str, Any], str]
Make = Callable[[StageContext], Outcome]

#: Removes what a failed attempt left, where the next one would meet it.
Undo = Callable[[StageContext], None]

#: Seconds between two lines of progress that reach the store: each is a transaction.
_PROGRESS = 0.2

#: No StageErrors, and yet no defects: what was asked did not answer.
_NO_ANSWER = (ConnectionError, TimeoutError, URLError)


#: Seconds beyond a stage's own after which nobody waits any longer for the worker that makes it: it is stuck.
_STUCK = 600.0

#: Seconds until the system has freed the locks of a process that was seen to die.
_FREED = 2.0


@contextmanager
def held(run: Run, key: str, seconds: float) -> Iterator[None]:
    """Be the only one who makes the stage ``key``, or looks after it.

    The system frees the lock of a process that is killed, so a dead worker blocks nobody.

    :raises TimeoutError: another worker still has it after ``seconds`` seconds.
    """
    from filelock import FileLock

    locks = run.directory / "locks"
    locks.mkdir(exist_ok=True)
    with FileLock(locks / key.replace(" ", "-"), timeout=seconds):
        yield


def patience(run: Run, stage: str, target: Target) -> float:
    """Seconds that a worker may wait for another that makes this stage."""
    return run.config.timeout(stage, target) * (1 + run.settings.flaky_reruns) + _STUCK


def goes_on(run: Run, key: str) -> bool:
    """Whether the stage ``key`` is to be made again, for the worker that made it is dead.

    One that has no attempts left is a failure from now on.
    """
    try:
        with held(run, key, _FREED):
            stage, _, target = key.partition(" ")
            row = run.store.result(run.id, stage, target)
            if row is None or row.status != Status.RUNNING:
                return False
            if row.attempts < run.config.retries.attempts:
                return True
            seconds = time.time() - (row.started or time.time())
            failure = _failure(_died(), row.attempts)
            run.store.record(run.id, replace(row, status=Status.FAILED, seconds=seconds, failure=failure, flaky=False))
    except TimeoutError:  # it lives
        pass
    return False


class Making:
    """One stage of one target, made in this process.

    :param folder: the stage's, below reports/out/.
    :param earlier: what the store has of it, if a worker died while it made this stage.
    """

    def __init__(self, run: Run, stage: str, target: Target, folder: str, earlier: StageResult | None = None) -> None:
        self._store = run.store
        self._is_taken_over = earlier is not None
        self._seconds = run.config.timeout(stage, target)
        row = earlier or StageResult(stage, target.id, Status.RUNNING, started=time.time())
        self._attempts = Attempts(
            run.config.retries,
            run.settings.flaky_reruns if stage == StageName.E2E else 0,
            number=row.attempts,
            is_flaky=row.flaky,
        )
        self._started = row.started or time.time()
        self._context = StageContext(
            key=row.key,
            run=run.id,
            directory=run.out / folder,
            deadline=time.monotonic() + self._seconds - (time.time() - self._started),
            on_progress=_Throttle(lambda text: run.store.progress(run.id, row, text)),
        )
        self._out = run.out
        self._row = replace(row, log=str(self._context.log.relative_to(run.out)))
        self._before: set[Path] = set()  # what lay in the stage's folder when the attempt began

    def make(self, make: Make, undo: Undo) -> StageResult:
        """Make the stage, and return what the store holds of it then."""
        try:
            outcome = self._take_over() if self._is_taken_over else self._try(make)
            while isinstance(outcome, StageError):
                if not self._goes_on(outcome, undo):
                    return self._failed(outcome)
                outcome = self._try(make)
            return self._succeeded(*outcome)
        except (KeyboardInterrupt, SystemExit):
            self._record(status=Status.CANCELLED, seconds=self._took())
            raise

    def _try(self, make: Make) -> Outcome | StageError:
        """One attempt: its outcome, or why it failed."""
        self._record(detail="")
        stage = self._context
        stage.is_over = False
        try:
            stage.directory.mkdir(parents=True, exist_ok=True)
            self._before = set(stage.directory.iterdir())
            with watching(stage):
                return make(stage)
        except StageError as error:
            note(stage, str(error))
            return error
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # pytest.skip in a hook is not even an Exception
            # A defect of a plugin or of ours: the traceback goes to the stage's log, the person gets the gist.
            note(stage, traceback.format_exc())
            if isinstance(error, OSError) and disk.is_full(error):
                self._store.make_room()  # for the reports
                return disk.failure(error, disk.folders(self._out))
            return StageError(
                f"{type(error).__name__}: {error}",
                remedy=f"traceback in {self._row.log}",
                is_final=not isinstance(error, _NO_ANSWER),
            )

    def _take_over(self) -> StageError:
        """The failure of the attempt over which another worker died."""
        # What that worker started may still run, and would meet what the next attempt starts.
        processes.end_all(lambda: processes.of_stage(self._context.run, self._context.key))
        return _died()

    # -- between two attempts ---------------------------------------------------------------------------------

    def _goes_on(self, error: StageError, undo: Undo) -> bool:
        """Whether there is another attempt; then all is ready for it."""
        stage, attempts = self._context, self._attempts
        again = attempts.after(error, stage.deadline - time.monotonic())
        if again is None:
            return False
        if again.is_rerun:
            stage.deadline = time.monotonic() + self._seconds
        try:
            self._set_aside()
            undo(stage)
            self._wait(again, error)
        except Exception as trouble:
            note(stage, f"no further attempt: {trouble}")
            return False
        attempts.take(again, error)
        return True

    def _wait(self, again: Again, error: StageError) -> None:
        number = self._attempts.number + 1
        when = f" in {again.pause:.0f} s" if again.pause else ""
        text = f"attempt {number} of {again.total}{when}: {gist(error)}"
        note(self._context, f"== {text}")
        self._record(attempts=number, detail=redact(text))
        self._context.wait(again.pause)

    def _set_aside(self) -> None:
        """Keep the attempt's evidence: the next one writes under the same names."""
        directory = self._context.directory
        new = {path for path in directory.iterdir() if path != self._context.log} - self._before
        if new and not self._is_taken_over:
            kept = directory / f"{self._row.stage}-attempt-{self._attempts.number}"
            kept.mkdir(exist_ok=True)
            for path in new:
                shutil.move(path, kept / path.name)

    # -- the store --------------------------------------------------------------------------------------------

    def _succeeded(self, data: dict[str, Any], detail: str) -> StageResult:
        attempts = self._attempts
        if attempts.number > 1:
            how = "flaky" if attempts.is_flaky else "passed"
            detail += f" ({how} at attempt {attempts.number}; before: {attempts.reason})"
        cached = bool(data.get("cached"))
        return self._end(status=Status.SUCCESS, detail=redact(detail), cached=cached, data=data)

    def _failed(self, error: StageError) -> StageResult:
        failure = _failure(error, self._attempts.number)
        return self._end(status=error.status, failure=failure, data=error.data, flaky=False)

    def _end(self, **changes: Any) -> StageResult:
        return self._record(seconds=self._took(), **changes)

    def _record(self, **changes: Any) -> StageResult:
        """Write the stage's row: as it is by now, with what is different this time."""
        now = {"attempts": self._attempts.number, "flaky": self._attempts.is_flaky}
        row = replace(self._row, **{**now, **changes})
        self._store.record(self._context.run, row)
        return row

    def _took(self) -> float:
        return time.time() - self._started


def _died() -> StageError:
    return StageError("the worker that ran this stage died", remedy="see the end of pytest's output")


def _failure(error: StageError, attempts: int) -> Failure:
    failure = error.failure()
    return replace(failure, message=f"after {attempts} attempts: {failure.message}") if attempts > 1 else failure


def note(stage: StageContext, text: str) -> None:
    """Write into the stage's log, if that can be written: it is told with the failure as well."""
    with suppress(OSError):
        stage.write(text)


class _Throttle:
    """Passes on what is said. What differs from the last by its numbers only is passed on now and then."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._next = 0.0
        self._shape = ""

    def __call__(self, text: str) -> None:
        now, shape = time.monotonic(), re.sub(r"\d+", "0", text)
        if shape != self._shape or now >= self._next:
            self._shape, self._next = shape, now + _PROGRESS
            self._say(text)
