"""The result store: every stage's state, every test's outcome and every owned resource, committed before it is shown.

What a store is; ``sqlite`` is the one there is: a database per user and host, shared by all runs and their workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import CrosscloudError
from ..model import StageResult, TestResult

if TYPE_CHECKING:
    from .leases import Leases


@dataclass(frozen=True)
class RunRecord:
    """A run as the store knows it. ``record`` is what another process needs to act for the run."""

    id: str
    started: float
    finished: float | None
    pid: int
    record: Mapping[str, Any]


@dataclass(frozen=True)
class Resource:
    """Something that costs money, and whose run must see it gone.

    ``state``: ``intended`` (recorded, maybe being made), ``live``, ``released`` (destroy it now), ``kept``
    (until ``expires``), ``returned`` (for the pool, if it is as good as new; else destroy it), ``pooled`` (until
    ``expires``, for whichever run wants it), ``destroyed``, ``failed`` (destroy failed; ``error`` says how) or ``lost``
    (another run has its lease; nothing of ours).
    """

    run: str
    kind: str  #: e.g. ``cluster``
    name: str
    state: str
    spec: Mapping[str, Any]  #: all that is needed to destroy it from another process
    expires: float | None = None
    error: str = ""


class StoreFull(CrosscloudError):
    """What happened cannot be recorded: the disk is full, and what was set aside for that is used up."""


class RunExists(CrosscloudError):
    """A run has that id already."""


class Store(Protocol):
    """What keeps runs, their stages, tests and resources. Any thread may use one; processes each open their own.

    Whatever has returned is kept, also through a power cut; only ``progress`` may get lost, and a power cut may take
    the last of ``record_test``. What writes raises ``StoreFull`` when there is no room.
    """

    @property
    def address(self) -> str:
        """What ``open_store`` opens it by, in another process."""

    def leases(self) -> Leases:
        """Who owns what, kept in the same place."""

    def exists(self) -> bool:
        """Whether it is still there: its file may be removed under a process that waits."""

    def close(self) -> None:
        """Give back what this thread holds of it; the instance can still be used."""

    def make_room(self) -> bool:
        """Give back the room that was set aside for a full disk. False: there is none any more."""

    def create_run(self, run: RunRecord, plan: Mapping[str, Any] | None = None) -> None:
        """Record a run and what it is to do: ``plan.Plan`` as JSON.

        :raises RunExists: the id is taken.
        """

    def plan(self, run: str) -> dict[str, Any]:
        """What the run is to do.

        :raises CrosscloudError: it was recorded without a plan: by an earlier version, or by none of pytest's.
        """

    def set_record(self, run: str, record: Mapping[str, Any]) -> None:
        """Replace what another process needs to act for the run."""

    def finish_run(self, run: str) -> None:
        """The run is over now."""

    def forget_run(self, run: str) -> None:
        """Remove the run with its stages, tests and resources."""

    def run(self, run: str) -> RunRecord | None:
        """The run of this id; None if there is none."""

    def runs(self) -> list[RunRecord]:
        """All runs, oldest first."""

    def record(self, run: str, result: StageResult) -> None:
        """Write a stage's state; the last one counts."""

    def progress(self, run: str, result: StageResult, detail: str) -> None:
        """Replace the detail of a running stage; an ended one is left alone.

        A store that is busy or full loses it: no stage may fail for want of a line to show.
        """

    def result(self, run: str, stage: str, target: str) -> StageResult | None:
        """A stage's state; None if it never began."""

    def results(self, run: str) -> dict[str, StageResult]:
        """By stage key, in the order of their last change."""

    def changes(self, run: str, after: int = 0) -> list[tuple[int, StageResult]]:
        """Stages that changed since the sequence number ``after``, each with its own number, in order."""

    def durations(self) -> Mapping[str, float]:
        """Seconds that stages took, by stage key, and users' tests beside them, by node id.

        Medians of the last few that succeeded, whatever the run; those of tests under a second are left out. What was
        cached says nothing about how long it takes.
        """

    def record_test(self, run: str, test: TestResult) -> None:
        """Write what became of a test; the last one counts."""

    def tests(self, run: str) -> list[TestResult]:
        """Of the run, in the order in which they were recorded."""

    def inherit(self, run: str, old: str, stages: Iterable[str], tests: Iterable[str]) -> int:
        """Copy results of the run ``old``, with the id of the run that made them.

        :param stages: their keys.
        :param tests: node ids.
        :returns: the sequence number of the last change of a stage.
        """

    def put_resource(self, resource: Resource) -> None:
        """Write a resource; to be called with state ``intended`` before anything is created."""

    def set_resource(
        self, run: str, kind: str, name: str, state: str, error: str = "", expires: float | None = None
    ) -> None:
        """Change a resource's state."""

    def exchange_resource(self, old: Resource, new: Resource) -> bool:
        """Put ``new`` in the place of ``old``, in one step, also under another run. Kind and name stay.

        False: ``old`` is not in the state that it says any more, or not its run's; nothing was changed.
        """

    def resources(self, run: str | None = None) -> list[Resource]:
        """Of one run, or of all, in the order in which they were recorded."""


def open_store(address: str | Path | None = None) -> Store:
    """Open the store at ``address``, a file's path; None: the user's own.

    :raises CrosscloudError: a newer version of this package has written it.
    """
    from .sqlite import SqliteStore

    return SqliteStore(Path(address) if address else None)
