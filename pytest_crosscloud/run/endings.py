"""How stages end: what is raised in place of a product, and what is said of an e2e."""

from __future__ import annotations

from ..errors import CrosscloudError, StageError
from ..model import E2EResult, ErrorClass, StageResult


class StageFailed(CrosscloudError):
    """A stage of this run failed or is n/a, now or earlier; ``result`` is what the store holds."""

    def __init__(self, result: StageResult) -> None:
        failure = result.failure
        super().__init__(
            f"{result.key}: {failure.message if failure else result.status}", remedy=failure.remedy if failure else ""
        )
        self.result = result

    @property
    def cause(self) -> StageResult:
        """The stage that what needs this one is n/a for."""
        return self.result


class NotApplicable(CrosscloudError):
    """A stage never ran because ``upstream`` failed, or is n/a itself."""

    def __init__(self, key: str, upstream: StageResult) -> None:
        remedy = f"log: {upstream.log}" if upstream.log else upstream.failure.remedy if upstream.failure else ""
        message = upstream.failure.message.splitlines()[0] if upstream.failure else upstream.status
        super().__init__(f"{key} is n/a: {because(upstream)}: {message}", remedy=remedy)
        self.upstream = upstream

    @property
    def cause(self) -> StageResult:
        return self.upstream


class NothingToUpgrade(CrosscloudError):
    """What a release would be taken to is what it is."""


def because(upstream: StageResult) -> str:
    """Why what needs ``upstream`` is n/a."""
    return f"{upstream.key} {'is n/a' if upstream.is_out_of_reach else 'failed'}"


def e2e_detail(result: E2EResult) -> str:
    """How an e2e that succeeded ended, in one line."""
    if not result.counts:
        return result.detail or "exit code 0"
    skipped = f", {result.counts.skipped} skipped" if result.counts.skipped else ""
    return f"{result.counts.passed} checks passed{skipped}"


def e2e_failure(result: E2EResult) -> StageError:
    """What a stage fails with whose e2e is red."""
    if result.counts:
        total = result.counts.passed + result.counts.failed
        message = f"{result.counts.failed} of {total} checks failed: " + "; ".join(result.failures[:3])
    else:
        message = f"the e2e container exited with {result.exit_code} and wrote no JUnit file"
        message += "".join(f"; {failure}" for failure in result.failures[:3])
    return StageError(message, remedy=f"its log: {result.log}", error_class=ErrorClass.PRODUCT, data=result.to_json())
