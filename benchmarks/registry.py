"""Every measure, in the order in which they are taken."""

from __future__ import annotations

from . import (
    builds,
    cell,
    cluster,
    controller_kill,
    first_run,
    import_time,
    kills,
    leases,
    makespan,
    matrix,
    resume,
    selection,
    sigterm,
    trivial,
    warm_demo,
)
from .measure import Measure

MEASURES: tuple[Measure, ...] = (
    import_time.MEASURE,
    selection.MEASURE,
    trivial.MEASURE,
    makespan.MEASURE,
    leases.MEASURE,
    sigterm.MEASURE,
    kills.MEASURE,
    controller_kill.MEASURE,
    resume.MEASURE,
    cluster.MEASURE,
    cell.MEASURE,
    builds.MEASURE,
    matrix.MEASURE,
    warm_demo.MEASURE,
    first_run.MEASURE,
)
