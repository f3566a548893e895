"""The upgrade of a live release: from one build to another and back, tested at each stop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import StageError
from ..model import (
    Artifacts,
    Cluster,
    DeployRequest,
    E2ERequest,
    E2EResult,
    Project,
    Release,
    Upgraded,
    UpgradeRequest,
)
from .endings import e2e_failure
from .making import Outcome

if TYPE_CHECKING:
    from ..plugins import Plugins
    from ..stage import StageContext

#: What tells an e2e container where on the way it is: it may write something at the first stop, and look for it later.
VARIABLE = "CROSSCLOUD_UPGRADE"
BEFORE, AFTER, BACK = "before", "after", "back"


@dataclass(frozen=True)
class Journey:
    """A release, and where it is taken."""

    plugins: Plugins
    project: Project
    before: Artifacts
    after: Artifacts
    cluster: Cluster
    namespace: str
    release: str  #: its name
    registry: str
    rootdir: Path
    deploy_timeout: float  #: seconds of each change
    e2e_timeout: float  #: seconds of each e2e
    stage: StageContext

    def make(self) -> Outcome:
        """Install the one, change to the other and back.

        :raises StageError: a step failed; it says which.
        """
        with _named(f"at {self.before.ref.version}"):
            release = self._install()
            results = [self._e2e("1-install", self.before, release, BEFORE)]
        availability = []
        for name, artifacts, where in (("2-upgrade", self.after, AFTER), ("3-return", self.before, BACK)):
            version = artifacts.ref.version
            with _named(f"upgrade to {version}" if where == AFTER else f"back to {version}"):
                upgraded = self._change(name, artifacts, release)
                release = upgraded.release
                availability.append(f"to {version}: {upgraded.availability}")
                results.append(self._e2e(name, artifacts, release, where))
        data = {
            "release": release.to_json(),
            "availability": availability,
            "e2e": [result.to_json() for result in results],
        }
        counts = [str(result.counts.passed) for result in results if result.counts]
        return data, "; ".join([*([f"{'+'.join(counts)} checks passed"] if counts else []), *availability])

    def _install(self) -> Release:
        release: Release = self.plugins.hook.crosscloud_deploy(request=self._request("1-install", self.before))
        return release

    def _change(self, name: str, artifacts: Artifacts, release: Release) -> Upgraded:
        request = self._request(name, artifacts)
        values = {key: getattr(request, key) for key in request.__dataclass_fields__}
        upgraded: Upgraded = self.plugins.hook.crosscloud_upgrade(
            request=UpgradeRequest(**values, replaces=release, registry=self.registry)
        )
        return upgraded

    def _request(self, name: str, artifacts: Artifacts) -> DeployRequest:
        return DeployRequest(
            project=self.project,
            artifacts=artifacts,
            cluster=self.cluster,
            namespace=self.namespace,
            release=self.release,
            stage=self._step(f"{name}: deploy", name, self.deploy_timeout),
            rootdir=self.rootdir,
        )

    def _e2e(self, name: str, artifacts: Artifacts, release: Release, where: str) -> E2EResult:
        request = E2ERequest(
            project=self.project,
            artifacts=artifacts,
            cluster=self.cluster,
            release=release,
            registry=self.registry,
            stage=self._step(f"{name}: e2e", name, self.e2e_timeout),
            env={VARIABLE: where},
        )
        result: E2EResult = self.plugins.hook.crosscloud_e2e(request=request)
        if result.exit_code != 0:
            raise e2e_failure(result)
        return result

    def _step(self, says: str, folder: str, seconds: float) -> StageContext:
        """The stage as a step sees it: with a folder and a time of its own. The key stays: programs are found by it."""
        whole = self.stage
        whole.write(f"== {says}")
        return replace(
            whole,
            directory=whole.directory / folder,
            deadline=min(whole.deadline, time.monotonic() + seconds),
            on_progress=lambda text: whole.progress(f"{says}: {text}"),
        )


@contextmanager
def _named(step: str) -> Iterator[None]:
    """Name the step in what it fails with."""
    try:
        yield
    except StageError as error:
        error.message = f"{step}: {error.message}"
        raise
