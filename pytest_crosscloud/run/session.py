"""This pytest process's part in a run: the controller makes the run, a worker opens the one it is told."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .. import config as configuration
from .. import matrix as matrices
from .. import plugins
from ..errors import ConfigurationError
from . import context, preflight, resume, selection
from .context import Run, Settings
from .limits import limits_of
from .stages import Engine
from .store import open_store

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from ..matrix import Matrix
    from ..repro.bundle import Bundle

#: The key under which xdist hands the run's id to a worker.
WORKER_INPUT = "crosscloud_run"

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Session:
    """What the command line selects, in this process.

    :param terminal: file descriptor of the standard output that pytest was started with.
    :raises ConfigurationError: an option, a file or a name is wrong.
    """

    def __init__(self, pytest_config: pytest.Config, terminal: int) -> None:
        self.pytest_config = pytest_config
        self.terminal = terminal
        option = pytest_config.getoption
        rootdir = pytest_config.rootpath
        self.old = self._select()
        conftests = [
            plugin
            for plugin in pytest_config.pluginmanager.get_plugins()
            if isinstance(plugin, ModuleType) and Path(plugin.__file__ or "").name == "conftest.py"
        ]
        self.plugins = plugins.load(rootdir, conftests)
        given = option("--crosscloud-config")
        self.config = configuration.load(Path(given) if given else None, self.plugins, rootdir)
        self.bundle: Bundle | None = None
        if option("--bundle"):
            self.matrix = self._repeated(option("--bundle"))
        elif option("--rollback"):
            self.matrix = self._rolled_back(option("--rollback"))
        else:
            self.matrix = self._asked_for()
        if option("--upgrade") and not self.matrix.upgrades:
            raise ConfigurationError("--upgrade goes from one ref to another", remedy="give two of them with --refs")
        keep = option("--keep-failed")
        self.registry: str = option("--registry") or ""
        self.settings = Settings(
            rootdir=str(rootdir),
            out=str(rootdir / (option("--crosscloud-out") or "reports/out")),
            registry="" if self.registry == preflight.OWN_REGISTRY else self.registry,
            repeat=tuple(
                f"{name}={value}"
                for name in ("--crosscloud-config", "--registry", "--rollback")
                if (value := option(name))
            ),
            reuse=seconds(reuse) if (reuse := option("--reuse-clusters")) else None,
            leases=option("--leases") or self.config.leases,
            keep_failed=seconds(keep) if keep else None,
            junit=str(pytest_config.invocation_params.dir / junit) if (junit := option("xmlpath", "")) else "",
            flaky_reruns=_count("--flaky-reruns", option("--flaky-reruns")),
            max_clusters=option("--max-clusters"),
            selection=selection.read(pytest_config),
            resumes=self.old.run.id if self.old else "",
            plugins=self.plugins.sources(),
        )
        #: How many clusters may be there at a time.
        self.limits = limits_of(self.config, self.matrix, self.settings.max_clusters)
        self.run: Run | None = None
        if self.bundle and self.bundle.path.resolve().is_relative_to(Path(self.settings.out).resolve()):
            raise ConfigurationError(
                f"the run would remove its bundle from {self.settings.out}",
                remedy="report elsewhere: --crosscloud-out=DIR",
            )

    def _asked_for(self) -> Matrix:
        option = self.pytest_config.getoption
        return matrices.select(
            self.config,
            clouds=option("--clouds"),
            projects=option("--projects"),
            refs=option("--refs"),
            kubernetes=option("--kubernetes"),
            arch=option("--arch"),
        )

    def _repeated(self, path: str) -> Matrix:
        """The cell of a bundle; its project comes into the configuration.

        :raises ConfigurationError: an option says what the bundle says, or the bundle cannot be repeated here.
        """
        from ..repro import bundle, repetition

        option = self.pytest_config.getoption
        said = ("--projects", "--refs", "--kubernetes", "--arch", "--resume")
        if given := [name for name in said if option(name) is not None]:
            raise ConfigurationError(f"the bundle says what to run: {', '.join(given)}", remedy="leave it out")
        self.bundle = bundle.read(Path(path))
        prepared = repetition.prepare(self.bundle, self.plugins, self.config, option("--clouds"))
        self.config = prepared.config
        return prepared.matrix

    def _rolled_back(self, wanted: str) -> Matrix:
        """The cell that installs what was green; its project's Build takes that cell's images.

        :raises ConfigurationError: nothing was green, or an option says something else.
        """
        from ..repro.repetition import Unchanged
        from . import rollback

        option = self.pytest_config.getoption
        if option("--refs") not in (None, rollback.REF) or option("--arch") is not None:
            raise ConfigurationError("--rollback says what to install: --refs, --arch", remedy="leave them out")
        named = self.config.projects.get(option("--projects") or "")
        if named and named.is_kubernetes:
            raise ConfigurationError(
                f"project {named.name} is what clusters are made of: there is no release of it to go back",
                remedy=f"test an earlier version: pytest --projects={named.name} --refs=VERSION --kubernetes=VERSION",
            )
        asked = matrices.select(
            self.config, clouds=option("--clouds"), projects=option("--projects"), refs=rollback.REF
        )
        if len(asked.cells) != 1:
            raise ConfigurationError(
                "--rollback is of one project on one cloud", remedy="name one with --projects, and one with --clouds"
            )
        cell = asked.cells[0]
        store = open_store()
        try:
            green = rollback.find(store, wanted, cell.build.project, cell.cluster.cloud)
        finally:
            store.close()
        # What xdist tells its workers: to them it must be the same, whatever becomes green meanwhile.
        self.pytest_config.option.rollback = green.name
        self.plugins.manager.register(Unchanged(), "crosscloud-rollback")
        self.config, matrix = rollback.prepare(green, self.config, option("--kubernetes"))
        return matrix

    def _select(self) -> resume.Old | None:
        """With ``--resume``: the run to go on with, in the controller, and its selection, unless there is one."""
        config = self.pytest_config
        wanted = config.getoption("--resume")
        if wanted is None:
            return None
        store = open_store()
        try:
            if (workerinput := getattr(config, "workerinput", None)) is not None:
                run = store.run(workerinput.get(WORKER_INPUT, ""))
                selection.apply(config, run.record["settings"]["selection"] if run else {})
                return None
            given = selection.is_given(config)
            old = resume.find(store, wanted, selection.read(config) if given else None, config.rootpath)
            if not given:
                selection.apply(config, old.run.record["settings"]["selection"])
            resume.choose_alike(store, old.run)  # before plugins look
            return old
        finally:
            store.close()

    def register(self) -> None:
        """Take part: as a worker of the run that the controller made, or as its controller."""
        workerinput: dict[str, Any] | None = getattr(self.pytest_config, "workerinput", None)
        if workerinput is not None:
            if WORKER_INPUT in workerinput:
                self.open(workerinput[WORKER_INPUT])
            from . import worker

            self.pytest_config.pluginmanager.register(worker.plugin(self.pytest_config), "crosscloud-worker")
        else:
            from .controller import Controller

            self.pytest_config.pluginmanager.register(Controller(self), "crosscloud-controller")

    def durations(self) -> Mapping[str, float]:
        """What stages and tests took so far, in seconds.

        Nothing on a worker: its order must be that of all workers, whatever is recorded meanwhile.
        """
        return self.run.store.durations() if self.run and not hasattr(self.pytest_config, "workerinput") else {}

    def open(self, run: str) -> Run:
        """Open the run ``run`` in this process."""
        self.run = context.open_run(open_store(), run, self.plugins, self.config, self.matrix)
        return self.run

    def leave_out(self, items: list[pytest.Item]) -> list[pytest.Item]:
        """Take out of ``items`` what the run need not run again; return that."""
        return resume.leave_out(items, self.run.directory) if self.run and self.run.settings.resumes else []

    @cached_property
    def engine(self) -> Engine:
        assert self.run, "the run is opened before any test runs"
        return Engine(self.run)


def _count(option: str, text: str) -> int:
    """:raises ConfigurationError: it is no number of times."""
    if not text.isdecimal():
        raise ConfigurationError(f"{option}={text} is not a number of times", remedy=f"write it like {option}=2")
    return int(text)


def seconds(text: str) -> float:
    """Read a duration such as ``90s``, ``30m``, ``2h`` or ``1d``; a bare number is seconds.

    :raises ConfigurationError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if not match:
        raise ConfigurationError(f"{text!r} is not a duration", remedy="write it like 30m, 2h or 1d")
    return float(match[1]) * _UNITS[match[2] or "s"]
