"""What a test holds: its target of the matrix, with the stages to call and pytest's way to say how they ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import pytest

from ..errors import CrosscloudError
from ..model import Artifacts, BuildTarget, Cell, Cluster, ClusterTarget, E2EResult, Release, Upgrade
from .endings import NotApplicable, NothingToUpgrade, StageFailed
from .store import StoreFull

if TYPE_CHECKING:
    from collections.abc import Callable

    from .stages import Engine

_Target = TypeVar("_Target")
_Product = TypeVar("_Product")


class Pipeline:
    """One target's stages. A stage of the target that failed fails the test; one upstream makes it n/a, a skip.

    A skip is what a stage of its own is, too, if what that would take over from elsewhere is out of reach.
    """

    def __init__(self, engine: Engine, target: Cell | BuildTarget | ClusterTarget | Upgrade) -> None:
        self._engine = engine
        self.target = target

    def artifacts(self) -> Artifacts:
        target = self.target.build if isinstance(self.target, Cell) else self.target
        assert isinstance(target, BuildTarget)
        return self._call(self._engine.artifacts, target)

    def cluster(self) -> Cluster:
        target = self.target.cluster if isinstance(self.target, Cell) else self.target
        assert isinstance(target, ClusterTarget)
        return self._call(self._engine.cluster, target)

    def release(self) -> Release:
        assert isinstance(self.target, Cell)
        return self._call(self._engine.release, self.target)

    def e2e(self) -> E2EResult:
        assert isinstance(self.target, Cell)
        return self._call(self._engine.e2e, self.target)

    def upgrade(self) -> None:
        """Of a test over ``upgrades``: take a release from one ref to the other and back."""
        assert isinstance(self.target, Upgrade)
        try:
            self._call(self._engine.upgrade, self.target)
        except NothingToUpgrade as same:
            pytest.skip(f"n/a: {same}")

    def _call(self, stage: Callable[[_Target], _Product], target: _Target) -> _Product:
        error: CrosscloudError
        try:
            return stage(target)
        except (StageFailed, NotApplicable, StoreFull) as raised:
            error = raised
        # Out of the except block: a person is shown what went wrong, not two exceptions.
        if isinstance(error, NotApplicable):
            pytest.skip(str(error))
        if isinstance(error, StageFailed) and (error.result.is_out_of_reach or error.result.target != self.target.id):
            pytest.skip(f"n/a: {error}")
        pytest.fail(str(error), pytrace=False)
