"""``crosscloud doctor``: what is missing to use each cloud from here, and how to get it. Makes nothing."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from .. import matrix
from ..config import Config
from ..declared import describe
from ..errors import CrosscloudError, StageError
from ..model import Cloud
from ..provision import providers
from ..provision.module import Module, Provider
from ..provision.remote import RELEASES, RemoteCloud
from ..provision.terraform import TerraformCloud
from ..redact import redact
from ..run.preflight import why_no_own_registry
from ..toolchain import node
from ..toolchain.tools import Found, find
from . import loading, table

#: Seconds that all clouds together get to answer: a preflight may ask an API, and a network may drop packets.
DEADLINE = 30.0

READY, MISSING, OPTIONAL = "ready", "missing", "optional"

_HEADER = ("cloud", "needs", "is", "")
_STYLES = {READY: "green", MISSING: "red", OPTIONAL: "yellow"}


@dataclass(frozen=True)
class Check:
    """One thing that a cloud needs. ``state``: ready, missing, or optional: not there, and a run can do."""

    what: str
    state: str
    detail: str
    remedy: str = ""

    @property
    def text(self) -> str:
        return "; ".join(filter(None, (self.detail, self.remedy)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clouds", metavar="NAMES", help="comma list; default: all active")
    parser.add_argument("--json", action="store_true", help="for programs")
    loading.add_arguments(parser)
    parser.epilog = (
        "Columns are separated by tabs when the output is not a terminal: cloud, what it needs, ready, missing or\n"
        "optional (not there, and a run does without or gets it), and what there is or how to get it. Values of\n"
        "credentials are never shown. Nothing is made or downloaded; clouds and registries are asked for at most\n"
        f"{DEADLINE:.0f} seconds.\n"
        "exit codes: 0 all these clouds are ready, 1 something is missing, 4 no such cloud"
    )


def main(args: argparse.Namespace) -> int:
    config = loading.load(args)
    clouds = matrix.chosen_clouds(config, args.clouds)
    loading.show_problems(config)
    found = examine(config, clouds)
    ready = {name: all(check.state != MISSING for check in checks) for name, checks in found.items()}
    if args.json:
        answer = [
            {"name": name, "ready": ready[name], "checks": [asdict(check) for check in checks]}
            for name, checks in found.items()
        ]
        print(json.dumps({"clouds": answer, "problems": [asdict(problem) for problem in config.problems]}, indent=2))
        return int(not all(ready.values()))
    rows = [(name, check.what, check.state, check.text) for name, checks in found.items() for check in checks]
    table.show(_HEADER, rows, _STYLES)
    if sys.stdout.isatty():
        not_ready = [name for name, is_ready in ready.items() if not is_ready]
        print(f"\nnot ready: {', '.join(not_ready)}" if not_ready else f"\nready: {', '.join(ready)}")
    return int(not all(ready.values()))


def examine(config: Config, clouds: Iterable[Cloud]) -> dict[str, list[Check]]:
    """What each cloud needs, by its name; all are asked at once, and none is waited for beyond DEADLINE."""
    terraform = find("terraform")
    host = providers.default_host(terraform.path) if terraform else providers.TERRAFORM
    found: dict[str, list[Check]] = {}

    def ask(cloud: Cloud) -> None:
        checks: list[Check] = []
        found[cloud.name] = checks  # as far as they have come when time is over
        for check in _checks(config, cloud, terraform, host):
            checks.append(Check(check.what, check.state, redact(check.detail), redact(check.remedy)))

    # Daemons: nobody waits for one that is late.
    threads = {cloud.name: threading.Thread(target=ask, args=(cloud,), daemon=True) for cloud in clouds}
    for thread in threads.values():
        thread.start()
    limit = time.monotonic() + DEADLINE
    answer = {}
    for name, thread in threads.items():
        thread.join(max(0.0, limit - time.monotonic()))
        late = [Check("answer", MISSING, f"did not answer within {DEADLINE:.0f} s", "check the network and the proxy")]
        answer[name] = [*found.get(name, []), *(late if thread.is_alive() else [])]
    return answer


def _checks(config: Config, cloud: Cloud, terraform: Found | None, host: str) -> Iterator[Check]:
    yield from _credentials(cloud)
    if isinstance(cloud, TerraformCloud):
        yield from _of_module(config, cloud, terraform, host)
    if isinstance(cloud, RemoteCloud):
        yield from _inventory(cloud)
    if cloud.is_elsewhere:
        detail = f"runs need --registry=HOST, one that its nodes can pull from: {why_no_own_registry(cloud)}"
        yield Check("registry", OPTIONAL, detail)
    yield from _preflight(cloud)


def _credentials(cloud: Cloud) -> Iterator[Check]:
    missing = cloud.unset()
    for credential in cloud.credentials:
        if os.environ.get(credential.name):
            yield Check(credential.name, READY, "set")
        else:
            yield Check(credential.name, MISSING if credential in missing else OPTIONAL, "not set", credential.help)


def _preflight(cloud: Cloud) -> Iterator[Check]:
    """What the cloud itself says, without what has been said of its credentials."""
    try:
        lines = cloud.preflight()
    except Exception as error:  # a plugin's mistake
        yield Check("preflight", MISSING, f"its preflight raised {describe(error)}")
        return
    said = tuple(f"{credential.name} is not set" for credential in cloud.unset())
    for line in lines:
        if not line.startswith(said or ("\0",)):
            detail, _, remedy = line.partition("\n")
            yield Check("preflight", MISSING, detail, remedy.strip())
    if lines:
        return
    try:
        lacking = cloud.capacity(1)
    except Exception as error:
        lacking = [f"its capacity raised {describe(error)}"]
    yield from (Check("room", MISSING, f"no room for a cluster: {line}") for line in lacking)
    if not cloud.knows_room:
        yield Check("quota", OPTIONAL, "not asked: a run meets one that is too small when it makes its clusters")
    if not lacking:
        yield Check("preflight", READY, "nothing is in the way")


# -- clouds that are a Terraform module -----------------------------------------------------------------------


def _of_module(config: Config, cloud: TerraformCloud, terraform: Found | None, host: str) -> Iterator[Check]:
    if terraform:
        yield Check("terraform", READY, f"{terraform.version} from {terraform.origin}: {terraform.path}")
    else:
        remedy = "the first run gets it, or crosscloud setup --only=terraform"
        yield Check("terraform", OPTIONAL, "neither Terraform nor OpenTofu is there", remedy)
    try:
        module = Module(cloud.source)
    except CrosscloudError as error:
        yield Check("module", MISSING, error.message)
        return
    for provider in module.providers:
        yield _provider(provider, host)
    if module.uses_kubeadm:
        yield _node_bundle(config, cloud)


def _provider(provider: Provider, host: str) -> Check:
    what = f"provider {provider.source}"
    version = provider.version or "any version"
    if place := providers.here(provider, host):
        return Check(what, READY, f"{version}: {place}")
    try:
        registry = providers.address(provider, host).partition("/")[0]
        return Check(what, READY, f"{version}: {registry} has {providers.ask(provider, host)}")
    except providers.Unreachable as error:
        remedy = "check the network and the proxy, or put it into a mirror (provider_installation in ~/.terraformrc)"
        return Check(what, MISSING, f"{version} is not on this computer, and {error.message}", remedy)
    except CrosscloudError as error:
        return Check(what, MISSING, error.message, "the module's required_providers name it")


def _node_bundle(config: Config, cloud: TerraformCloud) -> Check:
    what = "node bundle"
    if isinstance(cloud, RemoteCloud) and not cloud.variables.get("bundle_url"):
        return Check(what, READY, f"nodes fetch the Kubernetes project's own from {RELEASES}")
    try:
        kubernetes = config.resolve_kubernetes(matrix.DEFAULT_KUBERNETES)
    except StageError as error:
        return Check(what, MISSING, error.message, error.remedy)
    bundle = node.cached_bundle(kubernetes, cloud.arch[0])
    if bundle is None:
        remedy = "crosscloud setup makes it, or the first run, which takes minutes longer"
        return Check(what, OPTIONAL, f"of {kubernetes.version} {cloud.arch[0]} is not made yet", remedy)
    return Check(what, READY, f"{bundle.version} {bundle.arch} {bundle.origin}: {bundle.directory}")


def _inventory(cloud: RemoteCloud) -> Iterator[Check]:
    if cloud.inventory is None:
        return
    program = cloud.inventory.argv[0]
    if place := shutil.which(program):
        yield Check(f"inventory {program}", READY, place)
    else:
        quota = ", and no quota is asked" if cloud.knows_room else ""
        remedy = f"{cloud.inventory.program}; without it crosscloud clean finds nothing by tag{quota}"
        yield Check(f"inventory {program}", OPTIONAL, "is not on PATH", remedy)
