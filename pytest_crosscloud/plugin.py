"""pytest's entry point: options, parametrization over the matrix, and the fixtures that are the pipeline.

Every pytest process on a machine where this is installed imports this module, so it imports nothing heavy;
what a run needs is imported when the command line selects one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from .run.pipeline import Pipeline
    from .run.session import Session

#: What tests may ask for; each is parametrized over the part of the matrix that it needs.
_CELL_FIXTURES = {"release", "e2e"}
_BUILD_FIXTURE = "artifacts"
_CLUSTER_FIXTURE = "cluster"
_TARGET = "crosscloud_target"

#: A duplicate of the standard output that pytest was started with.
_terminal = pytest.StashKey[int]()

_session = pytest.StashKey["Session"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("crosscloud", "crosscloud: projects × clouds × refs")
    names = "comma-separated names"
    group.addoption("--clouds", metavar="NAMES", help=f"{names} of clouds; crosscloud list shows them")
    group.addoption("--projects", metavar="NAMES", help=f"{names} of projects; default: all that are active")
    group.addoption("--refs", metavar="REFS", help="stable, head, or any tag, branch or sha (default: stable,head)")
    group.addoption("--kubernetes", metavar="REFS", help="Kubernetes versions of the clusters (default: stable)")
    group.addoption("--arch", metavar="NAMES", help="amd64, arm64 (default: the first of each cloud)")
    group.addoption("--crosscloud-config", metavar="FILE", help="default: cross-cloud.yml in pytest's rootdir")
    group.addoption(
        "--keep-failed",
        nargs="?",
        const="2h",
        metavar="TIME",
        help="keep clusters with a failed or cut-off cell for TIME (30m, 2h; default 2h) instead of destroying them",
    )
    group.addoption(
        "--flaky-reruns", default="0", metavar="N", help="run a red e2e again, up to N times; one that passes is flaky"
    )
    group.addoption(
        "--max-clusters",
        type=int,
        metavar="N",
        help="at most N clusters at a time; clouds.<id>.max_clusters in cross-cloud.yml says it for one cloud",
    )
    group.addoption(
        "--resume",
        nargs="?",
        const="",
        metavar="RUN",
        help="go on with a run that was cut off (default: the newest): what it has finished is taken over, on clusters "
        "that still live; without --clouds and --projects, with its selection",
    )
    group.addoption(
        "--upgrade",
        action="store_true",
        help="take a release of each project from its first ref to its last one and back, on each cluster, and ask it "
        "meanwhile; with -k upgrade, nothing else",
    )
    group.addoption("--crosscloud-out", metavar="DIR", help="where reports go (default: reports/out in the rootdir)")
    group.addoption("--bundle", metavar="FILE", help="repeat the failed cell of a bundle, as crosscloud repro does")
    group.addoption(
        "--rollback",
        metavar="RUN",
        help="build nothing: install what a green cell of an earlier run had, by digest, as crosscloud rollback does "
        "(last-success: of the newest run that has one); takes one of --projects on one of --clouds",
    )
    group.addoption(
        "--reuse-clusters",
        nargs="?",
        const="1h",
        metavar="TIME",
        help="take clusters that an earlier run has left in the pool, and leave them there for TIME (default 1h)",
    )
    group.addoption(
        "--leases",
        metavar="PLACE",
        help="where leases of clusters are kept: a directory that hosts share, or s3://bucket/prefix (default: here)",
    )
    group.addoption(
        "--registry",
        metavar="HOST",
        help="push images to this registry (default: one for the run, which clouds elsewhere do not reach; "
        "--registry=run takes it for them, too)",
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    # Before pytest's capture takes it: stages report while tests run, in this process too.
    if _selected(early_config):
        early_config.stash[_terminal] = os.dup(1)
    return (yield)


def _selected(config: pytest.Config) -> bool:
    """Whether the command line selects a matrix. Without it we only explain ourselves in skips."""
    options = config.known_args_namespace
    return any(getattr(options, name) is not None for name in ("clouds", "projects", "resume", "bundle"))


def _get_session(config: pytest.Config) -> Session:
    """This process's part of the run. Read once; the matrix is wanted before pytest is configured."""
    session = config.stash.get(_session, None)
    if session is None:
        from .errors import ConfigurationError
        from .run.session import Session

        try:
            session = config.stash[_session] = Session(config, config.stash.get(_terminal, 1))
        except ConfigurationError as error:
            raise pytest.UsageError(str(error)) from None
    return session


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """``-n auto``: as many workers as the matrix is wide, for waiting is most of the work."""
    if not _selected(config):
        return None
    from .run.scheduler import auto_num_workers

    session = _get_session(config)
    return auto_num_workers(session.matrix, session.limits)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "crosscloud(projects=…, clouds=…, over=…): narrow a test's part of the matrix; over='builds', "
        "'clusters', 'cells' or 'upgrades' says which part a test of the pipeline fixture runs over",
    )
    # Of pytest_crosscloud.testing, whose tests are collected in other people's packages.
    config.addinivalue_line("markers", "root: needs root: it starts machines of this computer")
    config.addinivalue_line("markers", "slow: takes minutes")
    if not _selected(config) or config.option.help:
        return
    session = _get_session(config)
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        # No path was given: the bundled suite is what runs the matrix.
        from . import suite

        config.args = [suite.__path__[0]]
    session.register()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Upgrades take as long as all the rest: the bundled suite has them for those who ask."""
    if collection_path.parent != Path(__file__).parent / "suite" or config.getoption("--upgrade"):
        return None
    from .suite import UPGRADES

    return True if collection_path.name == UPGRADES else None


# -- parametrization ----------------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if _TARGET not in metafunc.fixturenames:
        return
    if not _selected(metafunc.config):
        reason = "selects no matrix: give --clouds and/or --projects"
        metafunc.parametrize(_TARGET, [pytest.param(None, marks=pytest.mark.skip(reason))], ids=["none"])
        return
    matrix = _get_session(metafunc.config).matrix
    from .errors import ConfigurationError

    try:
        targets = matrix.narrow(**_marked(metafunc))
    except ConfigurationError as error:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: {error}") from None
    if not targets:
        reason = "its crosscloud mark leaves nothing of the matrix of this run"
        metafunc.parametrize(_TARGET, [pytest.param(None, marks=pytest.mark.skip(reason))], ids=["none"])
        return
    metafunc.parametrize(_TARGET, targets, ids=[target.id for target in targets], indirect=True, scope="session")


def _marked(metafunc: pytest.Metafunc) -> dict[str, Any]:
    """What the test's marks say, the closest first: a function's before its module's."""
    said: dict[str, Any] = {"over": None, "projects": None, "clouds": None}
    for mark in metafunc.definition.iter_markers("crosscloud"):
        if mark.args or not mark.kwargs.keys() <= said.keys():
            raise pytest.UsageError(
                f"{metafunc.definition.nodeid}: @pytest.mark.crosscloud takes {', '.join(f'{key}=' for key in said)}"
            )
        for key, value in mark.kwargs.items():
            said[key] = value if said[key] is None else said[key]
    return said | {"over": said["over"] or _over(metafunc.fixturenames)}


def _over(fixtures: list[str]) -> str:
    """Which part of the matrix the fixtures need: a test of ``cluster`` alone runs once per cluster."""
    if _CELL_FIXTURES & set(fixtures) or {_BUILD_FIXTURE, _CLUSTER_FIXTURE} <= set(fixtures):
        return "cells"
    if _BUILD_FIXTURE in fixtures:
        return "builds"
    return "clusters" if _CLUSTER_FIXTURE in fixtures else "cells"


# -- fixtures -----------------------------------------------------------------------------------------------
#
# They do not own what they give: it belongs to the run, is made once for all workers, and outlives them.


@pytest.fixture(scope="session")
def crosscloud_target(request: pytest.FixtureRequest) -> Any:
    """The point of the matrix that the test runs on: a Cell, a BuildTarget or a ClusterTarget."""
    return request.param


@pytest.fixture(scope="session")
def pipeline(crosscloud_target: Any, pytestconfig: pytest.Config) -> Pipeline:
    """The test's target with the stages to call: ``artifacts()``, ``cluster()``, ``release()``, ``e2e()``."""
    from .run.pipeline import Pipeline

    return Pipeline(_get_session(pytestconfig).engine, crosscloud_target)


@pytest.fixture(scope="session")
def artifacts(pipeline: Pipeline) -> Any:
    """Build: the pins of the project at the ref, as ``model.Artifacts``."""
    return pipeline.artifacts()


@pytest.fixture(scope="session")
def cluster(pipeline: Pipeline) -> Any:
    """Provision: the cluster with its kubeconfig, as ``model.Cluster``."""
    return pipeline.cluster()


@pytest.fixture(scope="session")
def release(artifacts: Any, cluster: Any, pipeline: Pipeline) -> Any:
    """Deploy: the project's Helm release on the cluster, as ``model.Release``."""
    return pipeline.release()


@pytest.fixture(scope="session")
def e2e(release: Any, pipeline: Pipeline) -> Any:
    """The runner of the project's e2e container: call it for a ``model.E2EResult``."""
    return pipeline.e2e


# -- order --------------------------------------------------------------------------------------------------


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tell the graph what each test needs and makes, and put the tests into its order."""
    if not _selected(config):
        return
    from .run.scheduler import order
    from .run.targets import place
    from .run.worker import is_sent_in_order

    session = _get_session(config)
    if left_out := session.leave_out(items):
        config.hook.pytest_deselected(items=left_out)
    for item in items:
        place(item, _TARGET)
    if not is_sent_in_order(config):
        items[:] = order(items, session.limits, session.durations())
