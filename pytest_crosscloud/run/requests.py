"""Names of what a run makes, and what its clouds are asked for: read back by whoever destroys it later."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CrosscloudError
from ..model import Cell, ClusterTarget, ProvisionRequest, Ref, Upgrade
from ..stage import StageContext

if TYPE_CHECKING:
    from ..plugins import Plugins
    from .context import Run

#: Characters that a machine's name may have, which begins with its cluster's: a DNS label (RFC 1123).
_MACHINE = 63

#: Seconds from a run's start after which nobody needs what it made, unless it is kept or pooled: for whoever finds it.
_LIFETIME = 24 * 3600.0


def namespace(run: str, cell: Cell) -> str:
    """The cell's own namespace; it carries the run's id, so that cells and runs never share one."""
    return _label(f"{cell.build.id}-{run}")


def release(cell: Cell) -> str:
    """The name of the cell's Helm release."""
    return _label(cell.build.id)


def upgrade_namespace(run: str, target: Upgrade) -> str:
    """The namespace of a release that is upgraded."""
    return _label(f"{target.id}-upgrade-{run}")


def upgrade_release(target: Upgrade) -> str:
    """The name of a Helm release that is upgraded."""
    return _label(f"{target.before.project}-upgrade")


def of_target(run: Run, target: ClusterTarget, stage: StageContext) -> ProvisionRequest:
    """What the cloud is given for this target."""
    cloud, settings = run.config.clouds[target.cloud], run.settings
    stays = max(settings.keep_failed or 0, settings.reuse or 0)
    name = _label(f"xc-{run.id}-{target.id}", _MACHINE - len("-control-plane"))
    directory = run.directory / "clusters" / target.id
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    variables = dict(run.config.variables(target.cloud))
    return ProvisionRequest(
        cloud=cloud,
        name=name,
        kubernetes=run.kubernetes[target.kubernetes],
        arch=target.arch,
        workers=int(variables.pop("workers", 0)),
        variables=variables,
        directory=directory,
        tags={
            "crosscloud-run": run.id,
            "crosscloud-cluster": name,
            "crosscloud-expires": str(int(run.started + _LIFETIME + stays)),
        },
        registries=_plain_http(settings.registry),
        stage=stage,
        state=run.config.state,
    )


def to_spec(request: ProvisionRequest, target: ClusterTarget) -> dict[str, Any]:
    """All of a ProvisionRequest that another process needs to destroy the cluster, as JSON."""
    return {
        "target": target.id,
        "cloud": request.cloud.name,
        "name": request.name,
        "kubernetes": request.kubernetes.to_json(),
        "arch": request.arch,
        "workers": request.workers,
        "variables": dict(request.variables),
        "directory": str(request.directory),
        "tags": dict(request.tags),
        "registries": list(request.registries),
        "state": request.state,
    }


def of_spec(spec: Mapping[str, Any], plugins: Plugins, stage: StageContext) -> ProvisionRequest:
    """Read back what ``to_spec`` wrote.

    :raises CrosscloudError: the plugin that declares the cloud is not there any more.
    """
    cloud = plugins.clouds.get(spec["cloud"])
    if cloud is None:
        raise CrosscloudError(
            f"cluster {spec['name']}: no plugin declares the cloud {spec['cloud']!r} any more",
            remedy="install the plugin again and run crosscloud clean",
        )
    return ProvisionRequest(
        cloud=cloud,
        name=spec["name"],
        kubernetes=Ref.from_json(spec["kubernetes"]),
        arch=spec["arch"],
        workers=spec["workers"],
        variables=spec["variables"],
        directory=Path(spec["directory"]),
        tags=spec["tags"],
        registries=tuple(spec["registries"]),
        stage=stage,
        state=spec.get("state", ""),
    )


def _plain_http(registry: str) -> tuple[str, ...]:
    """The run's registry, if the nodes must be told that it has no TLS."""
    from ..build.distribution import is_inside

    host = registry.removeprefix("http://")
    return (host,) if host and (host != registry or is_inside(host)) else ()


def _label(text: str, limit: int = 53) -> str:
    """A DNS label (RFC 1123) made of ``text``. Helm allows a release 53 characters; a longer text keeps its
    difference in a hash."""
    label = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if len(label) <= limit:
        return label
    return f"{label[: limit - 9].rstrip('-')}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"
