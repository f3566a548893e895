"""The engine: takes a cell through its stages, each of them once per run however many workers there are.

What is done is decided by the store and a file lock per stage, not by pytest's fixtures: those run once per
worker. Whoever comes first makes the stage, the others wait for it and read what became of it.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..errors import CrosscloudError, StageError
from ..model import (
    UPGRADE,
    Artifacts,
    BuildRequest,
    BuildTarget,
    Cell,
    Cluster,
    ClusterTarget,
    DeployRequest,
    E2ERequest,
    E2EResult,
    ErrorClass,
    ProvisionRequest,
    Release,
    StageName,
    StageResult,
    Status,
    Upgrade,
    stage_key,
)
from ..stage import StageContext
from . import cluster_lease, making, pool, requests, slots
from .cluster_lease import Guard
from .leases import LeaseLost, Leases, open_leases
from .making import Make, Making, Outcome, Target, Undo, note
from .store import Resource
from .takeover import Inherited

if TYPE_CHECKING:
    from .context import Run

_Product = TypeVar("_Product", Release, E2EResult)

#: Seconds for the console output of a cluster that did not come up.
_CONSOLE = 30.0


#: What a result of the run that this one goes on with is worth here; None: nothing.
Inherit = Callable[[StageResult], StageResult | None]


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
        super().__init__(f"{key} is n/a: {_because(upstream)}: {message}", remedy=remedy)
        self.upstream = upstream

    @property
    def cause(self) -> StageResult:
        return self.upstream


class NothingToUpgrade(CrosscloudError):
    """What a release would be taken to is what it is."""


def _because(upstream: StageResult) -> str:
    """Why what needs ``upstream`` is n/a."""
    return f"{upstream.key} {'is n/a' if upstream.is_out_of_reach else 'failed'}"


def _leaving_a_bundle(stage: Callable[[Engine, Cell], _Product]) -> Callable[[Engine, Cell], _Product]:
    """A cell's stage which, when it fails or cannot begin, leaves a bundle to repeat the cell by."""

    @functools.wraps(stage)
    def wrapper(engine: Engine, cell: Cell) -> _Product:
        try:
            return stage(engine, cell)
        except (StageFailed, NotApplicable):
            engine.leave_bundle(cell)
            raise

    return wrapper


class Engine:
    """The pipelines of one run, in this process."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._hook = run.plugins.hook
        self._inherited = Inherited(run)

    @cached_property
    def _leases(self) -> Leases:
        return open_leases(self.run.settings.leases, self.run.store)

    # -- the four stages --------------------------------------------------------------------------------------

    def artifacts(self, target: BuildTarget) -> Artifacts:
        """Build, or what was built already in this run.

        :raises StageFailed: it did not build.
        """

        def make(stage: StageContext) -> Outcome:
            request = BuildRequest(
                project=self.run.config.projects[target.project],
                ref=self.run.refs[target.id],
                arch=target.arch,
                registry=self.run.settings.registry,
                stage=stage,
            )
            artifacts: Artifacts = self._hook.crosscloud_build(request=request)
            (stage.directory / "release.env").write_text(artifacts.release_env())
            return artifacts.to_json(), ", ".join(
                f"{pin.image.split('/')[-1]}@{pin.digest[:15]}…" for pin in artifacts.pins
            )

        inherit = self._inherited.build
        return Artifacts.from_json(
            self._once(StageName.BUILD, target, f"builds/{target.id}", make, inherit=inherit).data
        )

    def cluster(self, target: ClusterTarget) -> Cluster:
        """Provision, or the cluster that this run has provisioned already.

        :raises StageFailed: there is no cluster.
        :raises NotApplicable: its Kubernetes could not be built.
        """
        self._kubernetes_of(target)

        def make(stage: StageContext) -> Outcome:
            request = requests.of_target(self.run, target, stage)
            lease = cluster_lease.take(self._leases, self.run.id, cluster_lease.of_cluster(request.name))
            request = replace(request, tags={**request.tags, cluster_lease.TAG: str(lease.token)})
            # Intent before anything is created: from here on the reaper destroys it, whatever happens to us.
            spec = {**requests.to_spec(request, target), "lease": cluster_lease.to_spec(lease)}
            intent = Resource(self.run.id, "cluster", request.name, "intended", spec)
            with _guarded(stage, Guard(self._leases, lease)):
                reused = slots.take(self.run, intent, stage, lambda: self._reuse(request, target))
                if reused is None:
                    try:
                        cluster: Cluster = self._hook.crosscloud_provision(request=request)
                    except Exception:
                        self._console(request)
                        raise
            if reused:
                self._leases.release(lease)
                return reused
            # As it is now another run may take it over.
            there = {**spec, "cluster": cluster.to_json(), "fingerprint": pool.of_request(request)}
            self.run.store.exchange_resource(intent, replace(intent, state="live", spec=there))
            nodes = len(cluster.nodes) or 1
            return cluster.to_json(), f"{nodes} node{'s' * (nodes != 1)}  KUBECONFIG={cluster.kubeconfig}"

        def undo(stage: StageContext) -> None:
            request = requests.of_target(self.run, target, stage)
            known = (item for item in self.run.store.resources(self.run.id) if item.kind == "cluster")
            intent = next((item for item in known if item.name == request.name), None)
            if intent is None or request.cloud.converges(request):
                return
            stage.progress("removing what is half made")
            with cluster_lease.owning(self._leases, intent, stage):
                self._hook.crosscloud_destroy(request=request)
                if request.cloud.settles:
                    # What was asked for, and nobody heard the answer, may come only now.
                    stage.wait(request.cloud.settles)
                    self._hook.crosscloud_destroy(request=request)

        inherit = self._inherited.cluster
        return Cluster.from_json(
            self._once(StageName.PROVISION, target, f"clusters/{target.id}", make, undo, inherit=inherit).data
        )

    @_leaving_a_bundle
    def release(self, cell: Cell) -> Release:
        """Deploy, or the release that this run has deployed already.

        :raises StageFailed: the chart did not become ready.
        :raises NotApplicable: a build or provision failed.
        """
        artifacts, cluster = self._upstream(cell)

        def make(stage: StageContext) -> Outcome:
            request = DeployRequest(
                project=self.run.config.projects[cell.build.project],
                artifacts=artifacts,
                cluster=cluster,
                namespace=requests.namespace(self.run.id, cell),
                release=requests.release(cell),
                stage=stage,
                rootdir=Path(self.run.settings.rootdir),
            )
            self._intend_release(cell, cluster, request.namespace, request.release)
            with self._owned(stage, cluster), _evidence(cluster, request.namespace, request.release, stage):
                if self.run.settings.resumes:
                    namespace = requests.namespace(self.run.settings.resumes, cell)
                    self._inherited.clear(cell, cluster, namespace, request.release, stage)
                release: Release = self._hook.crosscloud_deploy(request=request)
            return release.to_json(), f"{release.name} in {release.namespace}, chart {release.chart}"

        def inherit(result: StageResult) -> StageResult | None:
            return self._inherited.release(result, cell)

        return Release.from_json(self._once(StageName.DEPLOY, cell, f"cells/{cell.id}", make, inherit=inherit).data)

    @_leaving_a_bundle
    def e2e(self, cell: Cell) -> E2EResult:
        """Run the project's e2e container on the cell's release, or say how it ended in this run.

        :raises StageFailed: it failed, or the deploy did.
        :raises NotApplicable: build or provision failed.
        """
        try:
            release = self.release(cell)
        except StageFailed as failed:
            self._not_applicable(StageName.E2E, cell.id, failed.result)
            raise
        artifacts, cluster = self._upstream(cell)

        def make(stage: StageContext) -> Outcome:
            project = self.run.config.projects[cell.build.project]
            request = E2ERequest(
                project=project,
                artifacts=artifacts,
                cluster=cluster,
                release=release,
                registry=self.run.settings.registry,
                stage=stage,
            )
            with self._owned(stage, cluster), _evidence(cluster, release.namespace, release.name, stage):
                result: E2EResult = self._hook.crosscloud_e2e(request=request)
                if result.exit_code != 0:
                    raise e2e_failure(result)
            return result.to_json(), _e2e_detail(result)

        return E2EResult.from_json(self._once(StageName.E2E, cell, f"cells/{cell.id}", make).data)

    def upgrade(self, target: Upgrade) -> None:
        """Take a release from one build to another and back, or say how that ended in this run.

        :raises StageFailed: a step of it failed.
        :raises NotApplicable: a build or the provision failed.
        :raises NothingToUpgrade: both builds are the same images.
        """
        try:
            before, after = self.artifacts(target.before), self.artifacts(target.after)
            if [pin.digest for pin in before.pins] == [pin.digest for pin in after.pins]:
                # Green would be a lie: nothing would have been changed.
                raise NothingToUpgrade(
                    f"{stage_key(UPGRADE, target.id)}: {before.ref.version} is both: the same images"
                )
            cluster = self.cluster(target.cluster)
        except (StageFailed, NotApplicable) as failed:
            self._not_applicable(UPGRADE, target.id, failed.cause)
            raise NotApplicable(stage_key(UPGRADE, target.id), failed.cause) from None

        def make(stage: StageContext) -> Outcome:
            from .upgrade import Journey

            config = self.run.config
            cell = Cell(target.before, target.cluster, target.id)
            journey = Journey(
                plugins=self.run.plugins,
                project=config.projects[target.before.project],
                before=before,
                after=after,
                cluster=cluster,
                namespace=requests.upgrade_namespace(self.run.id, target),
                release=requests.upgrade_release(target),
                registry=self.run.settings.registry,
                rootdir=Path(self.run.settings.rootdir),
                deploy_timeout=config.timeout(StageName.DEPLOY, cell),
                e2e_timeout=config.timeout(StageName.E2E, cell),
                stage=stage,
            )
            self._intend_release(cell, cluster, journey.namespace, journey.release)
            with self._owned(stage, cluster), _evidence(cluster, journey.namespace, journey.release, stage):
                if self.run.settings.resumes:
                    namespace = requests.upgrade_namespace(self.run.settings.resumes, target)
                    self._inherited.clear(cell, cluster, namespace, journey.release, stage)
                return journey.make()

        self._once(UPGRADE, target, f"upgrades/{target.id}", make)

    # -- once per run -----------------------------------------------------------------------------------------

    def _once(
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
        result = self.run.store.result(self.run.id, stage, target.id)
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
        key, store = stage_key(stage, target.id), self.run.store
        with ExitStack() as lock:
            try:
                lock.enter_context(making.held(self.run, key, making.patience(self.run, stage, target)))
            except TimeoutError:
                stuck = store.result(self.run.id, stage, target.id) or StageResult(stage, target.id, Status.RUNNING)
                said = f", and said at last: {stuck.detail}" if stuck.detail else ""
                error = StageError(f"the worker that makes it is stuck{said}", remedy=f"log: {stuck.log}")
                raise StageFailed(replace(stuck, status=Status.FAILED, failure=error.failure())) from None
            result = store.result(self.run.id, stage, target.id)
            if result and result.resumed_from and result.status == Status.SUCCESS:
                result = inherit(result)
            if result is None or result.status == Status.RUNNING:
                # Running, and the lock is free: the worker that made it died.
                result = Making(self.run, stage, target, folder, result).make(make, undo)
        return result

    def leave_bundle(self, cell: Cell) -> None:
        """Pack what failed, once: while the run's registry is there, and before anything of it is destroyed."""
        from filelock import FileLock

        from ..repro import pack

        targets = (cell.build.id, cell.cluster.id, cell.id, cell.id)
        found = {
            name: result
            for name, target in zip(StageName, targets, strict=True)
            if (result := self.run.store.result(self.run.id, name, target))
        }
        if not any(result.status == Status.FAILED for result in found.values()):  # it was cancelled
            return
        lock = self.run.directory / "locks" / f"bundle-{cell.id}"
        packed = lock.with_name(
            f"{lock.name}.packed"
        )  # beside the lock: a run that this one goes on with may have left a bundle
        with suppress(OSError), FileLock(lock):  # a full disk must not hide what failed
            if not packed.exists():
                pack.pack(self.run, cell, found, requests.release(cell))
                packed.touch()

    # -- upstream ---------------------------------------------------------------------------------------------

    def _upstream(self, cell: Cell) -> tuple[Artifacts, Cluster]:
        """What the cell's deploy needs. A failure makes deploy and e2e n/a, at once and for good."""
        try:
            return self.artifacts(cell.build), self.cluster(cell.cluster)
        except (StageFailed, NotApplicable) as failed:
            for stage in (StageName.DEPLOY, StageName.E2E):
                self._not_applicable(stage, cell.id, failed.cause)
            raise NotApplicable(stage_key(StageName.DEPLOY, cell.id), failed.cause) from None

    def _kubernetes_of(self, cluster: ClusterTarget) -> None:
        """Wait for the build that a cluster is made of, if it is one of this run."""
        build = next((build for build in self.run.matrix.builds if build.id == cluster.made_of), None)
        try:
            if build:
                self.artifacts(build)
        except StageFailed as failed:
            self._not_applicable(StageName.PROVISION, cluster.id, failed.result)
            raise NotApplicable(stage_key(StageName.PROVISION, cluster.id), failed.result) from None

    def _intend_release(self, cell: Cell, cluster: Cluster, namespace: str, release: str) -> None:
        """Where the cluster stays, what we put into it must go by itself."""
        if not self.run.config.clouds[cell.cluster.cloud].provides_cluster:
            spec = {"kubeconfig": cluster.kubeconfig, "namespace": namespace, "release": release}
            self.run.store.put_resource(Resource(self.run.id, "release", namespace, "intended", spec))

    def _reuse(self, request: ProvisionRequest, target: ClusterTarget) -> Outcome | None:
        """A cluster of the pool, if the run is to take one and there is one."""
        if self.run.settings.reuse is None or not request.cloud.provides_cluster:
            return None
        found = pool.reuse(self.run.store, self._leases, request, target.id)
        if found is None:
            return None
        cluster, resource = found
        made_by = resource.spec["tags"]["crosscloud-run"]
        return cluster.to_json(), f"reused: made by run {made_by}  KUBECONFIG={cluster.kubeconfig}"

    @contextmanager
    def _owned(self, stage: StageContext, cluster: Cluster) -> Iterator[None]:
        """Work on a cluster as long as it is this run's."""
        resources = self.run.store.resources(self.run.id)
        resource = next((found for found in resources if (found.kind, found.name) == ("cluster", cluster.name)), None)
        lease = cluster_lease.recorded(resource) if resource else None
        if lease is None:
            raise LeaseLost(f"cluster {cluster.name} is not this run's any more")
        with _guarded(stage, Guard(self._leases, lease)):
            yield

    def _console(self, request: ProvisionRequest) -> None:
        """Collect the nodes' console output. The stage's own time may be over, and this must not hide its failure."""
        late = replace(request, stage=replace(request.stage, deadline=time.monotonic() + _CONSOLE))
        try:
            request.cloud.console(late, request.stage.directory)
        except Exception as error:
            request.stage.write(f"the console output could not be collected: {type(error).__name__}: {error}")

    def _not_applicable(self, stage: str, target: str, upstream: StageResult) -> None:
        if self.run.store.result(self.run.id, stage, target) is None:
            detail = _because(upstream)
            result = StageResult(stage, target, Status.NA, detail=detail, upstream=upstream.key, log=upstream.log)
            self.run.store.record(self.run.id, result)


@contextmanager
def _guarded(stage: StageContext, guard: Guard) -> Iterator[None]:
    with guard:
        stage.guard = guard.check
        yield
        guard.check()


@contextmanager
def _evidence(cluster: Cluster, namespace: str, release: str, stage: StageContext) -> Iterator[None]:
    """Collect evidence when the block fails, before anything is deleted."""
    try:
        yield
    except LeaseLost:
        raise
    except Exception:
        from ..deploy import evidence

        stage.progress("collecting evidence")
        try:
            evidence.collect(cluster, namespace, release, stage.directory / "evidence", run=stage.run)
        except OSError as error:  # a full disk must not hide what failed
            note(stage, f"evidence could not be written: {error}")
        raise


def _e2e_detail(result: E2EResult) -> str:
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
