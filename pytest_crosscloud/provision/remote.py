"""Clouds of machines elsewhere: where their nodes get Kubernetes, and how what a run owns there is listed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CrosscloudError
from ..redact import redact
from ..suggest import among
from .diagnoses import names_unknown
from .terraform import TerraformCloud

if TYPE_CHECKING:
    from ..errors import StageError
    from ..model import ProvisionRequest
    from ..toolchain.node import NodeBundle

#: Where the Kubernetes project publishes its programs, a sum beside each.
RELEASES = "https://dl.k8s.io/release"

#: What kubeadm of these versions asks for; containerd must name the same.
_PAUSE = "registry.k8s.io/pause:3.10.1"

#: Seconds for a cloud to list what is on it.
_LISTING = 120.0

#: A run's id where a cloud's program prints it: in a name that begins with a cluster's, as the tag's value, or alone.
_RUN = re.compile(
    r"""\bxc-([0-9a-f]{8})- | \bcrosscloud-run[=:]([0-9a-f]{8})\b | "([0-9a-f]{8})" | ^\s*([0-9a-f]{8})\s*$""",
    re.VERBOSE | re.MULTILINE,
)


@dataclass(frozen=True)
class Inventory:
    """The command of a cloud's own program that prints the names of what carries a tag, one to a line."""

    argv: Sequence[str]  #: ``{run}`` in an argument is the run's id
    program: str  #: what to install where ``argv[0]`` is not on PATH, and how
    also: Sequence[Sequence[str]] = ()  #: further commands of the program, for what one command does not list
    #: What the program calls the environment variables that the provider has another name for, by its own name.
    environment: Mapping[str, str] = field(default_factory=dict)
    #: Commands that print what any run has: names that begin with a cluster's, or values of the tag, in any form.
    of_all: Sequence[Sequence[str]] = ()

    def names(self, run: str) -> list[str]:
        """:raises CrosscloudError: the program is not there, or failed."""
        names: list[str] = []
        for command in (self.argv, *self.also):
            argv = [argument.replace("{run}", run) for argument in command]
            names += self.read(self.ask(argv))
        return names

    def runs(self) -> list[str]:
        """Ids of the runs that have anything.

        :raises CrosscloudError: as ``names``.
        """
        found = (match for argv in self.of_all for match in _RUN.finditer(self.ask(argv)))
        return sorted({match[match.lastindex or 0] for match in found})

    def ask(self, argv: Sequence[str]) -> str:
        """What a command prints."""
        return answer(argv, self.program, self.environment)

    def read(self, output: str) -> list[str]:
        """The names in what a command printed."""
        return [line.strip() for line in output.splitlines() if line.strip()]


def answer(
    argv: Sequence[str], program: str, environment: Mapping[str, str] | None = None, *, timeout: float = _LISTING
) -> str:
    """What a cloud's own program prints.

    :param program: what to install where ``argv[0]`` is not on PATH, and how.
    :param environment: as Inventory's.
    :param timeout: seconds to wait for it.
    :raises CrosscloudError: it is not there, failed, or does not answer in time.
    """
    if shutil.which(argv[0]) is None:
        raise CrosscloudError(f"{argv[0]} is not on PATH", remedy=program)
    renamed = {name: os.environ[known] for name, known in (environment or {}).items() if known in os.environ}
    return printed(argv, renamed, timeout=timeout)


def printed(argv: Sequence[str], variables: Mapping[str, str], *, timeout: float) -> str:
    """What a program that is there prints.

    :param variables: of its environment, over this one's.
    :param timeout: seconds to wait for it.
    :raises CrosscloudError: it failed, or does not answer in time.
    """
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **variables},
        )
    except subprocess.TimeoutExpired as error:
        raise CrosscloudError(f"{argv[0]} did not answer within {timeout:.0f} s") from error
    if done.returncode != 0:
        raise CrosscloudError(f"{argv[0]} exited with {done.returncode}: {redact(done.stderr.strip())}")
    return done.stdout


def if_told(question: Callable[[], list[str]]) -> list[str]:
    """What a question about quotas says, for ``Cloud.capacity``; nothing where the cloud's program is not there, not
    logged in, or may not ask: a quota that nobody knows is not judged, and applying says what it lacks."""
    try:
        return question()
    except CrosscloudError:
        return []


def node_names(workers: int) -> list[str]:
    """What the modules call the nodes of a cluster, the control plane first."""
    return ["control-plane", *(f"worker-{index}" for index in range(1, 1 + workers))]


def short(what: str, needed: int, limit: int, used: int) -> list[str]:
    """What to say where a quota has no room, for ``Cloud.capacity``; nothing where it has."""
    left = max(0, limit - used)
    return [f"{what}: {needed} needed, {left} left of the quota of {limit}"] if left < needed else []


#: Names of variables that choose a machine's type, as clouds call it.
_SIZE = re.compile("size|type|flavor|shape|plan|profile")


@dataclass(frozen=True, kw_only=True)
class RemoteCloud(TerraformCloud):
    """A Terraform module of a cloud that is reached over its API.

    Beside the module's own there is the variable ``bundle_url``: an address at which nodes find ``node`` and
    ``images.tar`` of the node bundle that ``crosscloud setup`` makes (put into a bucket, or on a server that they
    reach). Without it they fetch the Kubernetes project's own programs and images.
    """

    is_elsewhere: bool = True
    regions: Sequence[str] = ()  #: some that have all that the module needs; ``variables`` has the default
    sizes: Sequence[str] = ()  #: types of machines that are enough, the default first
    inventory: Inventory | None = None  #: lists what a run owns; needs no state

    @property
    def takes_node_bundle(self) -> bool:
        return bool(self.variables.get("bundle_url"))

    def module_variables(self, request: ProvisionRequest) -> dict[str, Any]:
        variables = super().module_variables(request)
        url = str(variables.pop("bundle_url", ""))
        return {"bundle": _published(request, url) if url else released(request), **variables}

    def variables_to_destroy(self, request: ProvisionRequest) -> dict[str, Any]:
        variables = super().module_variables(request)
        variables.pop("bundle_url", None)
        return {"bundle": released(request), **variables}

    def advice(self, error: StageError, variables: Mapping[str, Any]) -> str:
        """A region or size that the cloud does not know, with the closest that it is known to have."""
        if not names_unknown(error):
            return ""
        for name, value in {**self.variables, **variables}.items():
            known = self.sizes if _SIZE.search(name) else self.regions
            if isinstance(value, str) and value and value in error.message and known and value not in known:
                return f"{name}: {value!r} is not among those that {self.title} is known to have{among(value, known)}"
        return ""

    def owned(self, run: str) -> list[str]:
        return self.inventory.names(run) if self.inventory else []

    @property
    def lists_owned(self) -> bool:
        return bool(self.inventory) or type(self).owned is not RemoteCloud.owned

    def runs(self) -> list[str]:
        return self.inventory.runs() if self.inventory else []

    @property
    def lists_runs(self) -> bool:
        return bool(self.inventory and self.inventory.of_all) or type(self).runs is not RemoteCloud.runs


def released(request: ProvisionRequest) -> dict[str, str]:
    """The Kubernetes project's own programs, and the images that kubeadm pulls."""
    url = f"{RELEASES}/{request.kubernetes.version}/bin/linux/{request.arch}/"
    return {"binary_url": url, "images_url": "", "pause_image": _PAUSE}


def _published(request: ProvisionRequest, url: str) -> dict[str, str]:
    """This computer's node bundle, as it was copied to ``url``: the sums are those of the files here."""
    from ..toolchain.node import node_bundle

    bundle = node_bundle(request.kubernetes, request.arch, request.stage)
    url = url.rstrip("/")
    return {
        "binary_url": f"{url}/{bundle.binary.name}",
        "binary_sha256": bundle.sha256,
        "images_url": f"{url}/{bundle.images.name}",
        "images_sha256": _sum(bundle.images),
        "pause_image": pause_image(bundle),
    }


def pause_image(bundle: NodeBundle) -> str:
    """The image of the pods' first process among a bundle's."""
    return next(name for name in bundle.image_names if "/pause:" in name)


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
