"""What a test holds: its target of the matrix, with the stages to call and pytest's way to say how they ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest

from ..model import Artifacts, BuildTarget, Cell, Cluster, ClusterTarget, E2EResult, Release
from .stages import NotApplicable, StageFailed

if TYPE_CHECKING:
    from .stages import Engine


class Pipeline:
    """One target's stages. A stage that failed fails the test; what depends on it is skipped as n/a."""

    def __init__(self, engine: Engine, target: Cell | BuildTarget | ClusterTarget) -> None:
        self._engine = engine
        self.target = target

    def artifacts(self) -> Artifacts:
        target = self.target.build if isinstance(self.target, Cell) else self.target
        assert isinstance(target, BuildTarget)
        try:
            return self._engine.artifacts(target)
        except StageFailed as failed:
            self._end(failed)

    def cluster(self) -> Cluster:
        target = self.target.cluster if isinstance(self.target, Cell) else self.target
        assert isinstance(target, ClusterTarget)
        try:
            return self._engine.cluster(target)
        except StageFailed as failed:
            self._end(failed)

    def release(self) -> Release:
        assert isinstance(self.target, Cell)
        try:
            return self._engine.release(self.target)
        except (StageFailed, NotApplicable) as error:
            self._end(error)

    def e2e(self) -> E2EResult:
        assert isinstance(self.target, Cell)
        try:
            return self._engine.e2e(self.target)
        except (StageFailed, NotApplicable) as error:
            self._end(error)

    def _end(self, error: StageFailed | NotApplicable) -> NoReturn:
        """A stage that this test is about fails it; one that it only depends on makes it n/a."""
        if isinstance(error, NotApplicable) or not self._is_own(error):
            pytest.skip(str(error) if isinstance(error, NotApplicable) else f"n/a: {error}")
        pytest.fail(str(error), pytrace=False)

    def _is_own(self, failed: StageFailed) -> bool:
        return failed.result.target == self.target.id
