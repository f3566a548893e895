"""A run of the framework on the local cloud, without pytest: the same engine, reaper and registry, and CoreDNS built.

What a measure starts belongs to the run, so that nothing of it is left however the measure ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from pytest_crosscloud import config, matrix, paths, plugins
from pytest_crosscloud.build import registry
from pytest_crosscloud.model import Cell, Cluster, ClusterTarget, StageName, StageResult
from pytest_crosscloud.run import clusters, context, reaper
from pytest_crosscloud.run.context import Run, Settings
from pytest_crosscloud.run.graph import Graph
from pytest_crosscloud.run.plan import Plan
from pytest_crosscloud.run.stages import Engine
from pytest_crosscloud.run.store import Resource, open_store

from .measure import Bench, NotMeasured

CLOUD, PROJECT, REF = "local", "coredns", "stable"

#: Seconds until a cluster that is not needed any more is gone.
_DESTROYED = 120.0


@dataclass(frozen=True)
class LocalRun:
    """An open run with one cell, CoreDNS on a local cluster, whose images are pushed."""

    run: Run
    engine: Engine
    bench: Bench

    @property
    def cell(self) -> Cell:
        return self.run.matrix.cells[0]

    def cluster(self, name: str) -> tuple[ClusterTarget, Cluster]:
        """Provision a cluster of its own for ``name``.

        :raises StageFailed: it does not come up.
        """
        target = replace(self.cell.cluster, id=name)
        return target, self.engine.cluster(target)

    def result(self, stage: StageName, target: str) -> StageResult:
        """What the store says about a stage that has ended."""
        result = self.run.store.result(self.run.id, stage, target)
        assert result, f"{stage} {target} has not run"
        return result

    def destroy(self, target: ClusterTarget) -> None:
        """Give a cluster back, and wait until it is gone: the next sample must have the computer to itself."""
        clusters.give_back(self.run, target.id, Graph({}))
        name = next(item.name for item in self._resources() if item.spec["target"] == target.id)

        def gone() -> bool:
            states = {item.name: item.state for item in self._resources()}
            if states[name] == "failed":
                raise NotMeasured(f"cluster {name} could not be destroyed")
            return states[name] == "destroyed"

        self.bench.stage(f"destroy {target.id}", _DESTROYED).wait_until(gone, f"cluster {name} to be destroyed")

    def _resources(self) -> list[Resource]:
        return [item for item in self.run.store.resources(self.run.id) if item.kind == "cluster"]


@contextmanager
def local_run(bench: Bench, variables: Mapping[str, Any] | None = None) -> Iterator[LocalRun]:
    """Open a run, build what it deploys, and end it: with the block, all that the run owns is destroyed.

    :param variables: of the cloud, over the configured ones.
    :raises CrosscloudError: the local cloud cannot be used here, or CoreDNS cannot be built.
    """
    root = paths.data()
    declared = plugins.load(root)
    configured = config.load(None, declared, root)
    cloud = configured.clouds[CLOUD]
    cloud = replace(cloud, variables={**cloud.variables, **(variables or {})})
    configured = replace(configured, clouds={**configured.clouds, CLOUD: cloud})
    chosen = matrix.select(configured, clouds=CLOUD, projects=PROJECT, refs=REF)
    if missing := configured.clouds[CLOUD].preflight():
        raise NotMeasured("the local cloud cannot be used here:\n  " + "\n  ".join(missing))
    (build,), (cell,) = chosen.builds, chosen.cells
    project = configured.projects[PROJECT]
    kubernetes = cell.cluster.kubernetes
    settings = Settings(rootdir=str(root), out=str(bench.directory), plugins=declared.sources())
    store = open_store()
    refs = {build.id: project.build.resolve(project, build.ref)}
    versions = {kubernetes: configured.resolve_kubernetes(kubernetes)}
    name = context.create(store, settings, Plan.of(configured, chosen), refs, versions)
    run = context.open_run(store, name, declared, configured, chosen)
    owner = reaper.start(store, name)
    try:

        def intend(spec: dict[str, Any]) -> None:
            store.put_resource(Resource(name, "registry", "registry", "live", spec))

        run.set_registry(registry.start(name, run.directory, intend).host)
        engine = Engine(run)
        with bench.item() as item:
            item.progress(f"building {PROJECT} {REF}, or finding it built")
            engine.artifacts(build)
            item.end("done", f"{PROJECT} {refs[build.id].version} is built")
        yield LocalRun(run, engine, bench)
    finally:
        problems = owner.finish(lambda line: None)
        store.finish_run(name)
        store.close()
        for problem in problems:
            print(f"{bench.name}: {problem}", flush=True)
