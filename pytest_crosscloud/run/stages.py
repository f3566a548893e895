"""The engine: takes a cell through its stages; what each one makes, and what is to be there before."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

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
    ProvisionRequest,
    Release,
    StageName,
    StageResult,
    Upgrade,
    stage_key,
)
from ..stage import StageContext
from . import bundles, cluster_lease, pool, requests, slots
from .cluster_lease import Guard
from .endings import NotApplicable, NothingToUpgrade, StageFailed, e2e_detail, e2e_failure
from .leases import LeaseLost, Leases, open_leases
from .making import Outcome, note
from .once import Once
from .store import Resource
from .takeover import Inherited

if TYPE_CHECKING:
    from .context import Run

_Product = TypeVar("_Product", Release, E2EResult)

#: Seconds for the console output of a cluster that did not come up.
_CONSOLE = 30.0


def _leaving_a_bundle(stage: Callable[[Engine, Cell], _Product]) -> Callable[[Engine, Cell], _Product]:
    """A cell's stage which, when it fails or cannot begin, leaves a bundle to repeat the cell by."""

    @functools.wraps(stage)
    def wrapper(engine: Engine, cell: Cell) -> _Product:
        try:
            return stage(engine, cell)
        except (StageFailed, NotApplicable):
            bundles.leave(engine.run, cell)
            raise

    return wrapper


class Engine:
    """The pipelines of one run, in this process."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._once = Once(run)
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
        result = self._once.make(StageName.BUILD, target, f"builds/{target.id}", make, inherit=inherit)
        return Artifacts.from_json(result.data)

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
        result = self._once.make(StageName.PROVISION, target, f"clusters/{target.id}", make, undo, inherit)
        return Cluster.from_json(result.data)

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

        return Release.from_json(
            self._once.make(StageName.DEPLOY, cell, f"cells/{cell.id}", make, inherit=inherit).data
        )

    @_leaving_a_bundle
    def e2e(self, cell: Cell) -> E2EResult:
        """Run the project's e2e container on the cell's release, or say how it ended in this run.

        :raises StageFailed: it failed, or the deploy did.
        :raises NotApplicable: build or provision failed.
        """
        try:
            release = self.release(cell)
        except StageFailed as failed:
            self._once.not_applicable(StageName.E2E, cell.id, failed.result)
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
            return result.to_json(), e2e_detail(result)

        return E2EResult.from_json(self._once.make(StageName.E2E, cell, f"cells/{cell.id}", make).data)

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
            self._once.not_applicable(UPGRADE, target.id, failed.cause)
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

        self._once.make(UPGRADE, target, f"upgrades/{target.id}", make)

    # -- upstream ---------------------------------------------------------------------------------------------

    def _upstream(self, cell: Cell) -> tuple[Artifacts, Cluster]:
        """What the cell's deploy needs. A failure makes deploy and e2e n/a, at once and for good."""
        try:
            return self.artifacts(cell.build), self.cluster(cell.cluster)
        except (StageFailed, NotApplicable) as failed:
            for stage in (StageName.DEPLOY, StageName.E2E):
                self._once.not_applicable(stage, cell.id, failed.cause)
            raise NotApplicable(stage_key(StageName.DEPLOY, cell.id), failed.cause) from None

    def _kubernetes_of(self, cluster: ClusterTarget) -> None:
        """Wait for the build that a cluster is made of, if it is one of this run."""
        build = next((build for build in self.run.matrix.builds if build.id == cluster.made_of), None)
        try:
            if build:
                self.artifacts(build)
        except StageFailed as failed:
            self._once.not_applicable(StageName.PROVISION, cluster.id, failed.result)
            raise NotApplicable(stage_key(StageName.PROVISION, cluster.id), failed.result) from None

    def _intend_release(self, cell: Cell, cluster: Cluster, namespace: str, release: str) -> None:
        """Where the cluster stays, what we put into it must go by itself."""
        if not self.run.config.clouds[cell.cluster.cloud].provides_cluster:
            spec = {
                "cluster": cluster.name,
                "kubeconfig": cluster.kubeconfig,
                "namespace": namespace,
                "release": release,
            }
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
