"""What carries a run's tag on the clouds: found and destroyed without anything that this computer has recorded."""

from __future__ import annotations

from collections.abc import Callable, Collection

from ..declared import describe
from ..model import Cloud
from ..redact import redact
from .store import Resource


def askable(clouds: Collection[Cloud]) -> tuple[list[Cloud], list[str]]:
    """The clouds that can be asked from here, and the names of those that cannot: their credentials are not set."""
    lacking = {cloud.name for cloud in clouds if cloud.unset()}
    return [cloud for cloud in clouds if cloud.name not in lacking], sorted(lacking)


def not_asked(names: Collection[str]) -> str:
    """What to say of those that cannot be asked; nothing, if there are none."""
    return f"not asked, for their credentials are not set here: {', '.join(names)}" if names else ""


def unable(names: Collection[str]) -> str:
    """What to say of those that have no way to list by tag; nothing, if there are none."""
    return f"not asked, for they have no way to list what carries a run's tag: {', '.join(names)}" if names else ""


def without_owned(clouds: Collection[Cloud]) -> list[str]:
    """Names of the clouds that cannot say what a run has there."""
    return sorted(cloud.name for cloud in clouds if cloud.provides_cluster and not cloud.lists_owned)


def without_runs(clouds: Collection[Cloud]) -> list[str]:
    """Names of the clouds that cannot say which runs have anything there.

    Where a cluster is somebody else's, a run has namespaces, which are recorded, and nothing that is a cloud's to list.
    """
    return sorted(cloud.name for cloud in clouds if cloud.provides_cluster and not cloud.lists_runs)


def find(clouds: Collection[Cloud], run: str) -> list[Resource]:
    """What there still is of the run, of clouds that can say so; ``kind`` is the cloud's name.

    A cloud that cannot be asked is in it with its error: nobody knows what it has.
    """
    found = []
    for cloud in clouds:
        try:
            found += [Resource(run, cloud.name, name, "live", {}) for name in cloud.owned(run)]
        except Exception as error:  # a plugin's mistake, or the cloud's
            found.append(_unknown(run, cloud, error))
    return found


def runs(clouds: Collection[Cloud], say: Callable[[str], None]) -> tuple[list[str], list[str]]:
    """Ids of the runs that have anything on clouds that can list them, and the clouds that did not answer."""
    found: set[str] = set()
    silent = []
    for cloud in clouds:
        try:
            found.update(cloud.runs())
        except Exception as error:
            silent.append(cloud.name)
            say(f"{cloud.name} could not be asked for its runs: {redact(describe(error))}")
    return sorted(found), silent


def destroy(clouds: Collection[Cloud], run: str, say: Callable[[str], None]) -> list[Resource]:
    """Destroy it. :returns: what is still there."""
    errors = []
    for cloud in clouds:
        try:
            if not (names := cloud.owned(run)):
                continue
            if type(cloud).sweep is Cloud.sweep:
                say(f"{cloud.name} has {', '.join(names)}: destroy them there, or where the run's state is")
                continue
            say(f"{cloud.name}: destroying {', '.join(names)}")
            cloud.sweep(run)
        except Exception as error:
            errors.append(_unknown(run, cloud, error))
    failed = {error.kind for error in errors}
    return errors + find([cloud for cloud in clouds if cloud.name not in failed], run)


def _unknown(run: str, cloud: Cloud, error: Exception) -> Resource:
    return Resource(run, cloud.name, "(all)", "unknown", {}, error=redact(describe(error)))
