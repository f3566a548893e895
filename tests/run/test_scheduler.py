"""The scheduler in real pytest-xdist runs: tests write down when they ran, and the order is checked afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_crosscloud import capacity
from pytest_crosscloud.matrix import Matrix
from pytest_crosscloud.model import BuildTarget, Cell, ClusterTarget
from pytest_crosscloud.run import scheduler
from pytest_crosscloud.run.limits import Limit

#: A stand-in for the plugin: marks say what a test needs and makes. Each test writes when it began and ended.
CONFTEST = """
import json, os, time
import pytest
from pytest_crosscloud.run import graph, scheduler, worker
from pathlib import Path

ROOT = Path(__file__).parent

def pytest_configure(config):
    config.addinivalue_line("markers", "stages(needs, makes)")
    side = worker.plugin(config)
    if side:
        config.pluginmanager.register(side)
    elif not hasattr(config, "workerinput"):
        config.pluginmanager.register(scheduler.ControllerPlugin(ROOT))

@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    for item in items:
        mark = item.get_closest_marker("stages")
        if mark:
            item.stash[graph.STAGES] = graph.Stages(**mark.kwargs)
    if not hasattr(config, "workerinput"):
        items[:] = scheduler.order(items)

def note(event, name):
    line = json.dumps([time.monotonic(), event, name, os.environ.get("PYTEST_XDIST_WORKER", "")]) + "\\n"
    with open(ROOT / "events", "a") as events:
        events.write(line)

@pytest.fixture(autouse=True)
def noted(request):
    note("start", request.node.name)
    yield
    note("end", request.node.name)
"""

HEAD = """
import os, time
from pathlib import Path
import pytest
ROOT = Path(__file__).parent

def stages(needs=(), makes=()):
    return pytest.mark.stages(needs=needs, makes=makes)

def wait_for(name):
    deadline = time.monotonic() + 20
    while not (ROOT / name).exists():
        assert time.monotonic() < deadline, f"nobody made {name}: a worker is held up"
        time.sleep(0.005)

"""

#: Two builds, two clusters, four cells, and tests that use neither; collected in a bad order.
MATRIX = (
    HEAD
    + """
@pytest.mark.parametrize("n", range(12))
def test_plain(n):
    pass

CELLS = [(b, c) for b in "xy" for c in "12"]

@pytest.mark.parametrize("cell", [
    pytest.param(cell, id="".join(cell), marks=stages(
        needs=(f"build {cell[0]}", f"provision {cell[1]}"),
        makes=(f"deploy {''.join(cell)}", f"e2e {''.join(cell)}"))) for cell in CELLS])
def test_e2e(cell):
    time.sleep(0.01)

@pytest.mark.parametrize("build", [pytest.param(b, marks=stages(makes=(f"build {b}",))) for b in "xy"])
def test_build(build):
    time.sleep(0.02)

@pytest.mark.parametrize("cluster", [pytest.param(c, marks=stages(makes=(f"provision {c}",))) for c in "12"])
def test_provision(cluster):
    time.sleep(0.03)
"""
)


@dataclass(frozen=True)
class Event:
    time: float
    what: str
    name: str
    worker: str


@dataclass(frozen=True)
class Outcome:
    result: pytest.RunResult
    events: list[Event]

    def times(self, what: str) -> dict[str, float]:
        return {event.name: event.time for event in self.events if event.what == what}

    @property
    def started(self) -> list[str]:
        return [event.name for event in self.events if event.what == "start"]


RunIt = Callable[..., Outcome]


@pytest.fixture
def run_it(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> RunIt:
    # Each worker would load every plugin that is installed.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(source: str, *args: str) -> Outcome:
        pytester.makeconftest(CONFTEST)
        pytester.makepyfile(test_it=source)
        result = pytester.runpytest_subprocess("-p", "xdist", "-p", "no:cacheprovider", *args, timeout=60)
        path = pytester.path / "events"
        lines = path.read_text().splitlines() if path.exists() else []
        return Outcome(result, sorted((Event(*json.loads(line)) for line in lines), key=lambda event: event.time))

    return run


def assert_pipeline_order(outcome: Outcome) -> None:
    started, ended = outcome.times("start"), outcome.times("end")
    for build in "xy":
        for cluster in "12":
            cell = f"test_e2e[{build}{cluster}]"
            assert started[cell] >= ended[f"test_build[{build}]"], f"{cell} began before its build had ended"
            assert started[cell] >= ended[f"test_provision[{cluster}]"], f"{cell} began before its cluster was there"


@pytest.mark.parametrize("workers", ["0", "1", "2", "4"])
def test_everything_runs_once_and_after_its_upstream(run_it: RunIt, workers: str) -> None:
    outcome = run_it(MATRIX, "-n", workers)
    outcome.result.assert_outcomes(passed=20)
    assert sorted(outcome.started) == sorted(set(outcome.started)) and len(outcome.started) == 20
    assert_pipeline_order(outcome)


def test_one_worker_runs_in_the_same_order_as_none(run_it: RunIt) -> None:
    alone = run_it(MATRIX, "-n0").started
    (Path.cwd() / "events").unlink()
    assert run_it(MATRIX, "-n1").started == alone
    assert alone[:4] == ["test_build[x]", "test_build[y]", "test_provision[1]", "test_provision[2]"]


def test_waiting_is_counted_and_reported_nowhere(run_it: RunIt) -> None:
    outcome = run_it(MATRIX, "-n2", "-v", "--junitxml=junit.xml")
    outcome.result.stdout.fnmatch_lines(["*GraphScheduler*", "*20 passed*"])
    outcome.result.stdout.no_fnmatch_line("*between-tests*")
    outcome.result.stdout.fnmatch_lines(["*[[]100%]*"])
    junit = Path("junit.xml").read_text()
    assert 'tests="20"' in junit and "between-tests" not in junit


def test_a_long_upstream_never_holds_up_what_could_run(run_it: RunIt) -> None:
    """The build ends only when every test that does not need it has ended; the other worker must run them all."""
    outcome = run_it(
        HEAD
        + """
@stages(makes=("build x",))
def test_build():
    wait_for("late_plain_done")

@pytest.mark.parametrize("n", range(3))
@stages(needs=("build x",))
def test_needs_build(n):
    pass

@stages(needs=("provision 1",))
def test_cell():
    (ROOT / "cell_done").touch()

@stages(makes=("provision 1",))
def test_provision():
    pass

@pytest.mark.parametrize("n", range(8))
def test_plain(n):
    wait_for("cell_done")
    if n == 7:
        (ROOT / "late_plain_done").touch()
""",
        "-n2",
    )
    outcome.result.assert_outcomes(passed=14)


def test_a_stage_that_no_test_makes_is_left_to_one_test(run_it: RunIt) -> None:
    """Three cells share a build that no test makes: one makes it, and the other worker is free for plain tests."""
    outcome = run_it(
        HEAD
        + """
@pytest.mark.parametrize("n", range(3))
@stages(needs=("build x",))
def test_cell(n):
    if not (ROOT / "made").exists():
        wait_for("plain_done")
        (ROOT / "made").touch()

@pytest.mark.parametrize("n", range(4))
def test_plain(n):
    if n == 3:
        (ROOT / "plain_done").touch()
""",
        "-n2",
    )
    outcome.result.assert_outcomes(passed=7)


def test_what_failed_upstream_lets_its_dependants_go(run_it: RunIt) -> None:
    outcome = run_it(
        HEAD
        + """
@stages(makes=("build x",))
def test_build():
    raise RuntimeError("does not compile")

@stages(needs=("build x",))
def test_cell():
    pytest.skip("n/a")
""",
        "-n2",
    )
    outcome.result.assert_outcomes(failed=1, skipped=1)


def test_tests_that_need_each_other_do_not_wait_for_ever(run_it: RunIt) -> None:
    outcome = run_it(
        HEAD
        + """
@stages(needs=("deploy b",), makes=("deploy a",))
def test_a(): pass

@stages(needs=("deploy a",), makes=("deploy b",))
def test_b(): pass
""",
        "-n2",
    )
    outcome.result.assert_outcomes(passed=2)


def test_a_crashed_worker_loses_only_the_test_it_crashed_in(run_it: RunIt) -> None:
    outcome = run_it(
        MATRIX
        + """
@stages(needs=("build x",), makes=("e2e crash",))
def test_crash():
    os._exit(3)

@stages(needs=("e2e crash",))
def test_after_crash():
    pass
""",
        "-n2",
    )
    outcome.result.assert_outcomes(passed=21, failed=1)
    outcome.result.stdout.fnmatch_lines(["*crashed while running*test_crash*"])
    assert sorted(outcome.started) == sorted(set(outcome.started))


@pytest.mark.parametrize("workers", ["1", "3"])
def test_maxfail_stops_dispatching(run_it: RunIt, workers: str) -> None:
    outcome = run_it(
        HEAD
        + """
@stages(makes=("build x",))
def test_build():
    assert False

@pytest.mark.parametrize("n", range(30))
@stages(needs=("build x",))
def test_cell(n):
    time.sleep(0.05)
""",
        "-n",
        workers,
        "-x",
    )
    assert outcome.result.ret == pytest.ExitCode.INTERRUPTED
    assert len(outcome.started) < 20


@pytest.mark.parametrize("dist", ["worksteal", "load"])
def test_the_users_own_policy_is_respected(run_it: RunIt, dist: str) -> None:
    outcome = run_it(HEAD + "def test_one(): pass\ndef test_two(): pass\n", "-n2", "-v", f"--dist={dist}")
    outcome.result.assert_outcomes(passed=2)
    outcome.result.stdout.no_fnmatch_line("*GraphScheduler*")


@pytest.mark.parametrize(
    ("builds", "clusters", "cells", "gigabytes", "expected"),
    [(2, 1, 2, 64, 3), (2, 3, 6, 64, 6), (2, 3, 6, 4, 4), (1, 1, 1, 0, 1), (0, 0, 0, 64, 1)],
)
def test_as_many_workers_as_the_matrix_is_wide_within_memory(
    builds: int, clusters: int, cells: int, gigabytes: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_AUTO_NUM_WORKERS", raising=False)
    monkeypatch.setattr(capacity, "memory", lambda: gigabytes * 2**30)
    build, cluster = BuildTarget("p", "stable", "amd64", "b"), ClusterTarget("c", "stable", "amd64", "c")
    matrix = Matrix((Cell(build, cluster, "b-c"),) * cells, (build,) * builds, (cluster,) * clusters)
    assert scheduler.auto_num_workers(matrix) == expected
    monkeypatch.setenv("PYTEST_XDIST_AUTO_NUM_WORKERS", "7")
    assert scheduler.auto_num_workers(matrix) is None


def test_no_more_workers_than_the_limits_leave_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two builds and five clusters: one with three cells, four with one each."""
    monkeypatch.delenv("PYTEST_XDIST_AUTO_NUM_WORKERS", raising=False)
    monkeypatch.setattr(capacity, "memory", lambda: 2**40)
    builds = tuple(BuildTarget("p", str(number), "amd64", f"b{number}") for number in range(2))
    clusters = tuple(ClusterTarget("c", str(number), "amd64", f"c{number}") for number in range(5))
    cells = tuple(Cell(builds[0], cluster, "") for cluster in (*clusters, clusters[4], clusters[4]))
    matrix = Matrix(cells, builds, clusters)

    def workers(*limits: tuple[int, str]) -> int | None:
        return scheduler.auto_num_workers(
            matrix, [Limit(most, "", frozenset(f"c{digit}" for digit in names)) for most, names in limits]
        )

    assert workers() == 7
    assert workers((1, "01234")) == 3  # the cells of the cluster that has three; or builds and a cluster
    assert workers((2, "01234")) == 4
    assert workers((1, "0123")) == 4
    assert workers((2, "01234"), (1, "4")) == 4


def test_a_batch_that_turns_out_long_is_shared(run_it: RunIt) -> None:
    """Quick tests make the others of their function look quick, and one of a batch waits for a later one of it."""
    outcome = run_it(
        HEAD
        + """
@pytest.mark.parametrize("n", range(60))
@stages(needs=("build x",))
def test_cell(n):
    (ROOT / f"begun-{n}").touch()
    if n == 20:
        wait_for("begun-30")
""",
        "-n2",
    )
    outcome.result.assert_outcomes(passed=60)
    assert len(outcome.started) == 60


def test_nothing_collected(run_it: RunIt) -> None:
    assert run_it("", "-n2").result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_fixtures_live_as_long_as_without_idle(run_it: RunIt) -> None:
    """A module's fixture is set up once for the module's tests, and gone before the next module's begin."""
    Path("test_two.py").write_text("""
from pathlib import Path
def test_other():
    assert Path("torn_down").exists()
""")
    outcome = run_it(
        HEAD
        + """
@pytest.fixture(scope="module")
def once():
    assert not Path("once").exists(), "set up a second time"
    Path("once").touch()
    yield
    Path("torn_down").touch()

@pytest.mark.parametrize("n", range(4))
@stages(needs=("build x",))
def test_cell(once, n):
    assert not Path("torn_down").exists()
""",
        "-n1",
    )
    outcome.result.assert_outcomes(passed=5)


def test_a_fixture_that_fails_to_go_is_reported(run_it: RunIt) -> None:
    outcome = run_it(
        HEAD
        + """
@pytest.fixture(scope="module")
def bad():
    yield
    raise RuntimeError("cannot go")

@stages(needs=("build x",))
def test_cell(bad):
    pass
""",
        "-n1",
    )
    outcome.result.assert_outcomes(passed=1, errors=1)
    outcome.result.stdout.fnmatch_lines(["*RuntimeError: cannot go*"])
