"""What can go wrong, said to a person: what happened, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from .model import ErrorClass, Failure, Status
from .redact import redact


class CrosscloudError(Exception):
    """A failure with a remedy; shown without a traceback."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}" if self.remedy else self.message


class ConfigurationError(CrosscloudError):
    """The user's input is wrong: an option, a file, a plugin. Exit code 4, before anything is started."""


class StageError(CrosscloudError):
    """A stage failed. ``error_class`` says whose fault it is."""

    status: ClassVar[Status] = Status.FAILED  #: of the stage, when no attempt is left

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        error_class: ErrorClass = ErrorClass.INFRASTRUCTURE,
        data: Mapping[str, Any] | None = None,
        is_final: bool = False,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.error_class = error_class
        self.is_final = is_final  #: another attempt would fail in the same way
        self.data = data or {}  #: the stage's product as JSON, as far as there is one: the counts of a red e2e

    def failure(self) -> Failure:
        """What goes to the store, and from there to every report: without secrets."""
        return Failure(error_class=self.error_class.value, message=redact(self.message), remedy=redact(self.remedy))


class DeadlineExceeded(StageError):
    """A stage ran out of time; the message says what it was waiting for."""


class OutOfReach(StageError):
    """What a stage would take over from elsewhere cannot be had from here, so nothing was tried: it is n/a, not failed.

    A project's own registry, which this computer does not reach.
    """

    status = Status.NA
