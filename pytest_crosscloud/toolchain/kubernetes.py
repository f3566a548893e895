"""What a Kubernetes ref means: which version's node bundle a cluster is made from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from ..errors import StageError
from ..model import AUTO, ErrorClass, Ref
from ..suggest import among
from . import node
from .gobuild import go
from .nodebuild import KUBERNETES
from .pins import host_arch
from .tools import setup_stage

STABLE, HEAD = "stable", "head"

_TAGS = "https://github.com/kubernetes/kubernetes/tree/"


def resolve_kubernetes(name: str, names: Mapping[str, str]) -> Ref:
    """The version that a Kubernetes ref means.

    ``stable`` and the other ``names`` are what they stand for, ``head`` is the newest tag that the Go module proxy
    serves, pre-releases included; anything else is a version itself, with or without its ``v``. A name that stands
    for AUTO is the newest release of the minor before the newest.

    The network is asked about ``head``, about AUTO, and about versions of which there is no bundle in the cache.

    :raises StageError: (class configuration) no such version; (class infrastructure) the proxy cannot be asked.
    """
    if name == HEAD and HEAD not in names:
        return _ref(name, _versions()[-1], "newest tag that the module proxy serves")
    version = names.get(name, name)
    if version == AUTO and name in names:
        return _ref(name, _of_minor_before(_versions()), "newest release of the minor before the newest")
    if re.fullmatch(r"\d+\.\d+\.\d+\S*", version):
        version = f"v{version}"
    ref = _ref(name, version)
    if name not in names and not node.cached_bundle(ref, host_arch()):
        known = _versions()
        if version not in known:
            raise StageError(
                f"no such Kubernetes version: {name}{among(name, dict.fromkeys((*names, HEAD)))}",
                remedy=f"or any released version, such as {', '.join(_newest_of_each_minor(known)[-4:])}",
                error_class=ErrorClass.CONFIGURATION,
            )
    return ref


def _ref(name: str, version: str, note: str = "") -> Ref:
    return Ref(name, version, url=_TAGS + version, note=note)


def _versions() -> list[str]:
    """All versions that the proxy serves, in semantic order."""
    stage = setup_stage("kubernetes")
    stage.directory.mkdir(parents=True, exist_ok=True)
    listed = go(stage, stage.directory, "list", "-m", "-json", "-versions", KUBERNETES)
    versions: list[str] = json.loads(listed.output)["Versions"]
    return versions


def _of_minor_before(versions: list[str]) -> str:
    releases = _newest_of_each_minor(versions)
    if not releases:
        raise StageError("the module proxy serves no release of Kubernetes", error_class=ErrorClass.CONFIGURATION)
    return releases[-2:][0]  # of a proxy that serves one minor: that


def _newest_of_each_minor(versions: list[str]) -> list[str]:
    return list({version.rpartition(".")[0]: version for version in versions if "-" not in version}.values())
