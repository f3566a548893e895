"""A run as one process sees it: the store, the plugins, the configuration and the matrix of the same run.

The controller creates a run; its workers, its reaper and ``crosscloud clean`` open it by its id, from what the
store holds about it.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .. import paths
from ..errors import ConfigurationError
from ..model import Ref
from .limits import Limit, limits_of
from .plan import Plan, summarize
from .store import RunExists, RunRecord, Store
from .summary import assigned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..config import Config
    from ..matrix import Matrix
    from ..plugins import Plugins
    from .summary import RunSummary


@dataclass(frozen=True)
class Settings:
    """What the command line said that another process of the run must know."""

    rootdir: str
    out: str  #: reports/out of this run
    registry: str = ""  #: host[:port] that images go to
    reuse: float | None = None  #: seconds that clusters wait in the pool for another run; None: there is no pool
    leases: str = ""  #: where clusters have their leases: leases.open_leases; empty: in the store
    keep_failed: float | None = None  #: seconds that clusters with a failed cell are kept
    junit: str = ""  #: where ``--junitxml`` goes: if pytest is killed, the reaper writes it
    selection: Mapping[str, object] = field(default_factory=dict)  #: ``selection.read``: for a run that goes on with it
    resumes: str = ""  #: id of the run that this one goes on with
    flaky_reruns: int = 0  #: how often a red e2e is run again
    max_clusters: int | None = None  #: how many clusters of the run may be there at a time
    plugins: Mapping[str, object] = field(default_factory=dict)  #: what plugins.load needs to find the same ones
    repeat: Sequence[str] = ()  #: options that a repetition of a cell needs beside the cell's own names


@dataclass
class Run:
    """One run, opened. ``refs`` are by BuildTarget id, ``kubernetes`` by the name asked for."""

    id: str
    started: float  #: seconds since the epoch
    store: Store
    settings: Settings
    plugins: Plugins
    config: Config
    matrix: Matrix
    refs: Mapping[str, Ref] = field(default_factory=dict)
    kubernetes: Mapping[str, Ref] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        return Path(self.settings.out)

    @property
    def limits(self) -> tuple[Limit, ...]:
        """How many of its clusters may be there at a time."""
        return limits_of(self.config, self.matrix, self.settings.max_clusters)

    @property
    def directory(self) -> Path:
        """The run's state, outside of the checkout: clusters, locks; what destroying needs."""
        return directory(self.id)

    @cached_property
    def plan(self) -> Plan:
        return Plan.of(self.config, self.matrix)

    def summary(self) -> RunSummary:
        """All that is known of the run now."""
        record = self.store.run(self.id)
        assert record, f"run {self.id} is not in the store"
        return summarize(self.store, record, self.plan)

    def set_registry(self, host: str) -> None:
        """The run's registry answers at ``host``: the workers, started later, must know."""
        self.settings = replace(self.settings, registry=host)
        self.note(settings=asdict(self.settings))

    def note(self, **values: object) -> None:
        """Add to what is recorded of the run. For the controller, which alone writes it."""
        record = self.store.run(self.id)
        assert record
        self.store.set_record(self.id, {**record.record, **values})


def directory(run: str) -> Path:
    """Where the state of a run lies; private to the user."""
    return paths.state("runs", run)


def create(store: Store, settings: Settings, plan: Plan, refs: Mapping[str, Ref], kubernetes: Mapping[str, Ref]) -> str:
    """Record a new run and return its id: eight hex digits, unique on this host and very likely anywhere."""
    record = {
        "command": assigned(plan.variables) + " ".join(["pytest", *sys.argv[1:]]),
        "settings": asdict(settings),
        "refs": {name: ref.to_json() for name, ref in refs.items()},
        "kubernetes": {name: ref.to_json() for name, ref in kubernetes.items()},
    }
    while True:
        run = secrets.token_hex(4)
        try:
            store.create_run(RunRecord(run, time.time(), None, os.getpid(), record), plan.to_json())
        except RunExists:
            continue
        directory(run).mkdir(parents=True, mode=0o700)
        return run


def open_run(store: Store, run: str, plugins: Plugins, config: Config, matrix: Matrix) -> Run:
    """Open a run that ``create`` recorded.

    :raises ConfigurationError: the store knows no such run.
    """
    record = store.run(run)
    if record is None:
        raise ConfigurationError(f"there is no run {run!r}", remedy="crosscloud clean --dry-run lists the runs")
    return Run(
        id=run,
        started=record.started,
        store=store,
        settings=Settings(**record.record["settings"]),
        plugins=plugins,
        config=config,
        matrix=matrix,
        refs={name: Ref.from_json(ref) for name, ref in record.record["refs"].items()},
        kubernetes={name: Ref.from_json(ref) for name, ref in record.record["kubernetes"].items()},
    )
