"""``crosscloud plan``: the graph of a run, what is there already and what would be made. Makes nothing."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Set
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

from .. import matrix as matrices
from .. import paths
from ..build import cache
from ..build.go import GoBuild, GoProgram
from ..build.gotests import GoTests
from ..build.kubernetes import KubernetesBuild
from ..build.parts import Parts
from ..build.resolve import SERVED_TIMEOUT
from ..config import Config
from ..declared import describe
from ..errors import ConfigurationError, CrosscloudError, OutOfReach, StageError
from ..matrix import Matrix
from ..model import NO_E2E, UPGRADE, BuildTarget, ClusterTarget, Project, Ref, StageName, Status, stage_key
from ..report.terminal import moment
from ..run import pool, preflight
from ..run.limits import Limit, limits_of
from ..run.store import Resource, open_store
from ..run.summary import alike
from ..toolchain.tools import find
from . import loading, table

#: Seconds that all refs together get to be resolved: git gives up on an unreachable host after 10.
RESOLVE_TIMEOUT = 15.0

CACHED, BUILD, CREATE, REUSE, USE = "cached", "build", "create", "reuse", "use"
AFTER, UNKNOWN, FAIL = "after", "unknown", "fail"
NA = Status.NA.value  #: out of reach from here

_HEADER = ("stage", "target", "action", "detail")
_STYLES = {
    **dict.fromkeys((CACHED, REUSE, USE), "green"),
    **dict.fromkeys((BUILD, CREATE), "yellow"),
    **dict.fromkeys((AFTER, UNKNOWN, NA), "dim"),
    FAIL: "red",
}


@dataclass(frozen=True)
class Step:
    """One stage of the plan.

    ``action``: cached, build, create, reuse (an earlier run's), use (as it is), after (others), n/a, unknown or fail.
    """

    stage: str
    target: str
    action: str
    detail: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clouds", metavar="NAMES", help="comma list; default: all active; one with --projects")
    parser.add_argument("--projects", metavar="NAMES", help="comma list; default: all active")
    parser.add_argument("--refs", metavar="REFS", help="stable, head, or any tag, branch or sha (default: stable,head)")
    parser.add_argument("--kubernetes", metavar="REFS", help="Kubernetes versions of the clusters (default: stable)")
    parser.add_argument("--arch", metavar="NAMES", help="e.g. amd64,arm64; default: the first of each cloud")
    parser.add_argument(
        "--max-clusters", metavar="N", type=int, help="clusters at a time; default: as many as there are"
    )
    parser.add_argument("--reuse-clusters", action="store_true", help="as pytest with it: look into the pool")
    parser.add_argument(
        "--upgrade", action="store_true", help="as pytest with it: from the first ref to the last and back"
    )
    parser.add_argument("--json", action="store_true", help="for programs: the stages, and problems too")
    loading.add_arguments(parser)
    parser.epilog = (
        "Takes pytest's selection, and says of each stage what a run would do:\n"
        "  build      cached, build, or n/a where the project's registry is out of reach\n"
        "  provision  create a cluster, reuse one of the pool, or use one that is there; and how many at a time\n"
        "  deploy     after its build and its cluster; n/a where one of them is known to fail\n"
        "  e2e        after its deploy\n"
        "  upgrade    after both builds and the cluster\n"
        "Makes and destroys nothing. Where git is out of reach, go may fetch modules into its own cache, to tell the\n"
        f"newest version of which all is served; for at most {SERVED_TIMEOUT:.0f} s, also after the plan was shown.\n"
        "Exits with 1 if a stage is known to fail: no such ref, or a cloud that cannot be used from here or has\n"
        "no room for the clusters; and if every build is n/a."
    )


def main(args: argparse.Namespace) -> int:
    config = loading.load(args)
    matrix = matrices.select(
        config,
        clouds=args.clouds,
        projects=args.projects,
        refs=args.refs,
        kubernetes=args.kubernetes,
        arch=args.arch,
    )
    loading.show_problems(config)
    if args.upgrade and not matrix.upgrades:
        raise ConfigurationError("--upgrade goes from one ref to another", remedy="give two of them with --refs")
    steps = steps_of(config, matrix, limits_of(config, matrix, args.max_clusters), reuse=args.reuse_clusters)
    steps += _upgrades(matrix, _lost(steps)) if args.upgrade else ()
    notes = list(alike(_kubernetes(config, matrix)))
    if args.json:
        problems = [asdict(found) for found in config.problems]
        print(json.dumps({"stages": [asdict(step) for step in steps], "problems": problems, "notes": notes}, indent=2))
        return _exit_code(steps)
    table.show(_HEADER, [(step.stage, step.target, step.action, step.detail) for step in steps], _STYLES)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if sys.stdout.isatty():
        cached = sum(step.action == CACHED for step in steps)
        print(
            f"\n{len(matrix.cells)} cells: {len(matrix.builds)} builds ({cached} cached),"
            f" {len(matrix.clusters)} clusters. Nothing was made; pytest with the same options does it."
        )
    return _exit_code(steps)


def _kubernetes(config: Config, matrix: Matrix) -> dict[str, Ref]:
    """The versions of the clusters that would be made, by name; without those that are not known."""
    made = [cluster.kubernetes for cluster in matrix.clusters if config.clouds[cluster.cloud].provides_cluster]
    names = dict.fromkeys(made)
    versions = {}
    for name in names if len(names) > 1 else ():
        with suppress(StageError):  # its stage says so
            versions[name] = config.resolve_kubernetes(name)
    return versions


def _exit_code(steps: Iterable[Step]) -> int:
    builds = {step.action for step in steps if step.stage == StageName.BUILD}
    return int(builds == {NA} or any(step.action == FAIL for step in steps))


def steps_of(config: Config, matrix: Matrix, limits: Iterable[Limit] = (), *, reuse: bool = False) -> list[Step]:
    """What a run of the matrix would do, in the order of its stages. ``reuse``: with clusters of the pool."""
    steps = list(_builds(config, matrix.builds))
    limits = tuple(limits)
    lacking = preflight.lacking(config, matrix, limits)
    for cluster in matrix.clusters:
        step = _provision(config, cluster, lacking[cluster.cloud], reuse=reuse)
        of_it = [f", {limit}" for limit in limits if cluster.id in limit.clusters and step.action == CREATE]
        steps.append(replace(step, detail=step.detail + "".join(of_it)))
    lost = _lost(steps)
    needs = {
        cell.id: (stage_key(StageName.BUILD, cell.build.id), stage_key(StageName.PROVISION, cell.cluster.id))
        for cell in matrix.cells
    }
    actions = {id_: AFTER if lost.isdisjoint(keys) else NA for id_, keys in needs.items()}
    steps += [Step(StageName.DEPLOY, id_, actions[id_], ", ".join(keys)) for id_, keys in needs.items()]
    for cell in matrix.cells:
        note = "" if config.projects[cell.build.project].e2e else f" ({NO_E2E})"
        steps.append(Step(StageName.E2E, cell.id, actions[cell.id], stage_key(StageName.DEPLOY, cell.id) + note))
    return steps


def _lost(steps: Iterable[Step]) -> set[str]:
    """Keys of the stages that are known to give nothing to those that need them."""
    return {stage_key(step.stage, step.target) for step in steps if step.action in (NA, FAIL)}


def _upgrades(matrix: Matrix, lost: Set[str]) -> Iterator[Step]:
    for target in matrix.upgrades:
        needs = [stage_key(StageName.BUILD, build.id) for build in (target.before, target.after)]
        needs.append(stage_key(StageName.PROVISION, target.cluster.id))
        yield Step(UPGRADE, target.id, AFTER if lost.isdisjoint(needs) else NA, ", ".join(needs))


def _builds(config: Config, targets: Iterable[BuildTarget]) -> Iterator[Step]:
    """Ask all strategies at once, and do not wait for those that are slow: a network that drops packets."""
    steps: dict[str, Step] = {}

    has_go = find("go") is not None

    def ask(target: BuildTarget) -> None:
        if not has_go and _needs_go(config.projects[target.project]):  # asking would install it
            no_go = "Go is not there yet (crosscloud setup gets it)"
            steps[target.id] = Step(StageName.BUILD, target.id, UNKNOWN, no_go)
        else:
            steps[target.id] = _build(config, target)

    # Daemons: nobody waits for one that is late.
    threads = {target: threading.Thread(target=ask, args=(target,), daemon=True) for target in targets}
    for thread in threads.values():
        thread.start()
    limit = time.monotonic() + RESOLVE_TIMEOUT
    for target, thread in threads.items():
        thread.join(max(0.0, limit - time.monotonic()))
        late = f"{target.ref} could not be resolved within {RESOLVE_TIMEOUT:.0f} s"
        yield steps.get(target.id) or Step(StageName.BUILD, target.id, UNKNOWN, late)


def _build(config: Config, target: BuildTarget) -> Step:
    project = config.projects[target.project]
    try:
        is_kubernetes = project.is_kubernetes
        ref = config.resolve_kubernetes(target.ref) if is_kubernetes else project.build.resolve(project, target.ref)
        there = all(cache.is_kept(key) for key in _fingerprints(project, ref, target.arch))
    except OutOfReach as error:
        return Step(StageName.BUILD, target.id, NA, _said(error))
    except CrosscloudError as error:
        return Step(StageName.BUILD, target.id, FAIL, _said(error))
    except Exception as error:  # a plugin's mistake is a failure of its stage, here as in a run
        return Step(StageName.BUILD, target.id, FAIL, describe(error))
    detail = f"{ref.version} ({ref.remark})" if ref.remark else ref.version
    return Step(StageName.BUILD, target.id, CACHED if there else BUILD, detail)


def _said(error: CrosscloudError) -> str:
    return f"{error.message}; {error.remedy}" if error.remedy else error.message


def _needs_go(project: Project) -> bool:
    strategies = [project.build, *([project.e2e.build] if project.e2e else [])]
    if isinstance(project.build, Parts):
        strategies += [part.build for part in project.build.parts.values()]
    return any(isinstance(strategy, GoBuild | GoProgram | GoTests | KubernetesBuild) for strategy in strategies)


def _fingerprints(project: Project, ref: Ref, arch: str) -> Iterator[str]:
    for strategy in (project.build, *([project.e2e.build] if project.e2e else [])):
        if isinstance(strategy, Parts):  # each is kept by itself
            yield from strategy.fingerprints(project, ref, arch)
        else:
            yield strategy.fingerprint(project, ref, arch)


def _provision(config: Config, target: ClusterTarget, missing: list[str], *, reuse: bool) -> Step:
    cloud = config.clouds[target.cloud]
    if missing:
        return Step(StageName.PROVISION, target.id, FAIL, "; ".join(missing))
    try:
        kubernetes = config.resolve_kubernetes(target.kubernetes)
    except StageError as error:
        return Step(StageName.PROVISION, target.id, FAIL, _said(error))
    if not cloud.provides_cluster:
        return Step(StageName.PROVISION, target.id, USE, "a cluster that is there, with the Kubernetes that it has")
    variables = dict(config.variables(target.cloud))
    workers = int(variables.pop("workers", 0))
    nodes = f"{1 + workers} node{'s' * (workers > 0)}"
    wanted = pool.fingerprint(target.cloud, kubernetes, target.arch, workers, variables)
    if reuse and (found := _pooled(wanted)):
        detail = f"reused, if it answers: {found.name}, {nodes}, until {moment(found.expires or 0)}"
        return Step(StageName.PROVISION, target.id, REUSE, detail)
    detail = f"kubernetes {kubernetes.version} {target.arch}, {nodes}"
    if target.made_of:
        detail += f", after {stage_key(StageName.BUILD, target.made_of)}"
    if not cloud.knows_room:
        detail += ", quota: not asked"
    return Step(StageName.PROVISION, target.id, CREATE, detail)


def _pooled(wanted: str) -> Resource | None:
    """The cluster of the pool that a run would take."""
    if not paths.state("crosscloud.db").exists():  # to open the store is to make it
        return None
    store = open_store()
    try:
        return next(iter(pool.waiting(store, wanted)), None)
    finally:
        store.close()
