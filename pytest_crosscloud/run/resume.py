"""``--resume``: which run to go on with, and what of it is finished."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from ..matrix import upgrades_of
from ..model import (
    BuildTarget,
    Cell,
    ClusterTarget,
    ErrorClass,
    Ref,
    StageResult,
    Status,
    TestOutcome,
    TestResult,
    Upgrade,
    stage_key,
)
from . import context
from .graph import Graph
from .plan import Plan, summarize
from .standing import is_killed, is_running
from .store import RunRecord, Store

if TYPE_CHECKING:
    import pytest


#: In the run's directory: node ids of tests that are finished, and of those that were left out for that.
_FINISHED, _LEFT_OUT = "finished.json", "left-out.json"


@dataclass(frozen=True)
class Old:
    """The run to go on with."""

    run: RunRecord
    is_complete: bool  #: there is nothing left to do in it


def find(store: Store, wanted: str, selection: Mapping[str, Any] | None, rootdir: Path) -> Old:
    """The run ``wanted``; without a name the newest that something is left to do in, of those with this selection.

    A run that a newer one with the same selection has come after is not looked at.

    :param selection: what the command line selects; None: nothing, any will do.
    :raises ConfigurationError: there is none, or it still runs.
    """
    if wanted:
        run = store.run(wanted)
        if run is None:
            raise _no_run(f"there is no run {wanted!r}")
        if (other := Path(run.record["settings"]["rootdir"])) != rootdir:
            raise ConfigurationError(f"run {wanted} is of the rootdir {other}", remedy=f"cd {other}")
        return Old(_ended(run), _is_complete(store, run) and selection in (None, _selection(run)))
    complete: RunRecord | None = None
    running: RunRecord | None = None
    seen: list[Mapping[str, Any]] = []
    for run in reversed(store.runs()):
        what = _selection(run)
        if what is None or run.record["settings"]["rootdir"] != str(rootdir) or what in seen:
            continue
        seen.append(what)
        if selection not in (None, what):
            continue
        if is_running(run):
            running = running or run
        elif _is_complete(store, run):
            complete = complete or run
        else:
            return Old(run, is_complete=False)
    if running:
        _ended(running)
    if complete:
        return Old(complete, is_complete=True)
    raise _no_run("there is no run to resume" + ("" if selection is None else " with this selection"))


def choose_alike(store: Store, run: RunRecord) -> None:
    """Set the environment variables that chose what was tested as they were: half of it would else be something else.

    :raises ConfigurationError: one of them is set to something else here.
    """
    for name, was in Plan.from_json(store.plan(run.id)).variables.items():
        is_now = os.environ.get(name, "")
        if is_now and is_now != was:
            said = f"with {name}={was}" if was else f"without {name}"
            raise ConfigurationError(
                f"run {run.id} was started {said}, and here it is {is_now}",
                remedy=f"unset {name}, or start another run",
            )
        if was:
            os.environ[name] = was


def _no_run(message: str) -> ConfigurationError:
    return ConfigurationError(message, remedy="crosscloud report --list shows the runs")


def _ended(run: RunRecord) -> RunRecord:
    """:raises ConfigurationError: it has not."""
    if is_running(run):
        raise ConfigurationError(f"run {run.id} is still running (process {run.pid})", remedy="wait for it, or end it")
    return run


def _selection(run: RunRecord) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = run.record["settings"].get("selection")
    return found


def _is_complete(store: Store, run: RunRecord) -> bool:
    """Whether its pytest has ended it, and neither a test nor a stage of it would be made again."""
    if "exit" not in run.record or "collected" not in run.record:
        return False
    results, tests = store.results(run.id), [test for test in store.tests(run.id) if not test.resumed_from]
    finished = _finished_tests(tests, results, _graph(run.id))
    return len(finished) >= run.record["collected"] and all(is_finished(item, results) for item in results.values())


# -- what is finished -------------------------------------------------------------------------------------------


def is_finished(result: StageResult, results: Mapping[str, StageResult]) -> bool:
    """Whether a stage need not be made again: it succeeded, or failed by what was tested or by how it was asked for."""
    if result.status == Status.FAILED:
        return result.failure is not None and result.failure.error_class != ErrorClass.INFRASTRUCTURE
    if result.status == Status.NA:
        upstream = results.get(result.upstream)
        return upstream is not None and is_finished(upstream, results)
    return result.status == Status.SUCCESS


def _finished_tests(tests: Iterable[TestResult], results: Mapping[str, StageResult], graph: Graph) -> list[str]:
    """Node ids of the tests that need not run again."""
    ended = {key: is_finished(result, results) for key, result in results.items()}
    bad = {key for key, is_ended in ended.items() if is_ended and results[key].status != Status.SUCCESS}

    def is_over(test: TestResult) -> bool:
        if test.outcome == TestOutcome.PASSED:
            return True
        touched = graph[test.nodeid].touched
        # An error is no verdict: what surrounds the test broke, unless that is a stage that will fail again.
        is_verdict = test.outcome != TestOutcome.ERROR or not bad.isdisjoint(touched)
        return is_verdict and all(ended.get(stage, True) for stage in touched)

    return [test.nodeid for test in tests if is_over(test)]


class Finished:
    """What a run has finished of another's plan: of a target that means something else now, nothing."""

    def __init__(self, store: Store, run: RunRecord, plan: Plan) -> None:
        old = summarize(store, run, killed=is_killed(run))
        self._old = old
        theirs, ours = _targets(old.cells), _targets(plan.cells)
        # By id, what it is here too.
        self._same = ours if theirs == ours else {id_: ours[id_] for id_ in theirs if theirs[id_] == ours.get(id_)}
        graph = _graph(run.id)
        self.stages = [
            key
            for key, result in old.results.items()
            if result.target in self._same and is_finished(result, old.results)
        ]
        self.tests = _finished_tests(old.tests, old.results, graph)
        if len(self._same) < len(theirs):
            self.tests = [
                nodeid
                for nodeid in self.tests
                if all(stage.partition(" ")[2] in self._same for stage in graph[nodeid].touched)
            ]

    def refs(self) -> dict[str, Ref]:
        """What refs were, by id of their target. One that could not be resolved is not among them."""
        return {
            target.id: self._old.refs[target.id]
            for target in self._same.values()
            if isinstance(target, BuildTarget) and self._is_resolved(target)
        }

    def _is_resolved(self, target: BuildTarget) -> bool:
        ref, build = self._old.refs.get(target.id), self._old.results.get(stage_key("build", target.id))
        return ref is not None and (build is None or bool(build.log) or is_finished(build, self._old.results))

    def kubernetes(self) -> dict[str, Ref]:
        """What Kubernetes versions were, by the name asked for."""
        return dict(self._old.kubernetes)


def _targets(cells: Sequence[Cell]) -> dict[str, BuildTarget | ClusterTarget | Cell | Upgrade]:
    """All targets of a plan, by id."""
    targets: dict[str, BuildTarget | ClusterTarget | Cell | Upgrade] = {
        upgrade.id: upgrade for upgrade in upgrades_of(cells)
    }
    for cell in cells:
        targets[cell.build.id] = cell.build
        targets[cell.cluster.id] = cell.cluster
        targets[cell.id] = cell
    return targets


def _graph(run: str) -> Graph:
    try:
        return Graph.read(context.directory(run))
    except OSError:  # it was killed before it had collected, or its directory is gone
        return Graph({})


# -- tests that are not run again -------------------------------------------------------------------------------


def write_finished(directory: Path, tests: Iterable[str]) -> None:
    """Tell the run's processes which tests not to run."""
    (directory / _FINISHED).write_text(json.dumps(list(tests)))


def leave_out(items: list[pytest.Item], directory: Path) -> list[pytest.Item]:
    """Take those out of ``items``, and write down which these are. :returns: what was taken out."""
    path = directory / _FINISHED
    if not path.exists():
        return []
    finished = set(json.loads(path.read_text()))
    left_out = [item for item in items if item.nodeid in finished]
    if left_out:
        items[:] = [item for item in items if item.nodeid not in finished]
    temporary = directory / f"{_LEFT_OUT}.{os.getpid()}"  # every worker writes the same
    temporary.write_text(json.dumps([item.nodeid for item in left_out]))
    temporary.replace(directory / _LEFT_OUT)
    return left_out


def left_out(directory: Path) -> list[str]:
    """What ``leave_out`` has taken out, in this process or in another."""
    path = directory / _LEFT_OUT
    found: list[str] = json.loads(path.read_text()) if path.exists() else []
    return found


def tell(tests: Iterable[TestResult], old: str) -> list[str]:
    """What was taken over, for a person: how many tests, and each that is not green."""
    taken = [test for test in tests if test.resumed_from]
    if not taken:
        return []
    counts = {outcome: sum(test.outcome == outcome for test in taken) for outcome in TestOutcome}
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    red = [test for test in taken if test.outcome == TestOutcome.FAILED]
    return [
        f"resumed run {old}: {len(taken)} tests were finished there and did not run again: {said}",
        *(f"  failed in run {test.resumed_from}: {test.nodeid}: {test.message.partition(chr(10))[0]}" for test in red),
    ]
