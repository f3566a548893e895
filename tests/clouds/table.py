"""The table of docs/clouds.md, made of the plugins and of the tests there are: ``python -m tests.clouds.table``."""

from __future__ import annotations

import json
from pathlib import Path

from pytest_crosscloud import plugins
from pytest_crosscloud.model import Cloud
from pytest_crosscloud.provision.module import Module, Provider
from pytest_crosscloud.provision.terraform import TerraformCloud

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs/clouds.md"
BEGIN, END = "<!-- table: python -m tests.clouds.table -->", "<!-- end of the table -->"

HEADER = ("cloud", "nodes", "arch", "credentials", "by tag", "quota", "proven", "not proven")

#: Those that are no module of a provider's.
OTHERS = {
    "local": ("machines of this computer, kubeadm", "made, used and destroyed in every test run", ""),
    "kind": ("containers", "its commands, against a stand-in for kind", "kind itself: no Docker was at hand"),
    "existing": (
        "whatever is there",
        "whole runs on a cluster of `local`, which stays as it was: `tests/e2e/test_existing_cluster.py`",
        "",
    ),
}

#: What is asked of room for clusters where that is no quota of an account.
ROOM = {
    "local": "memory, disk, processes",
    "kind": "memory, disk, processes",
    "vsphere": "one cluster's addresses; memory and disk not asked",
}

#: What else is to be known of what is not proven.
CLOSED = {"packet": "; nobody can apply it any more, the service closed on 30 June 2026"}


def table() -> str:
    rows = [HEADER, ("---",) * len(HEADER), *map(row, sorted(clouds().values(), key=lambda cloud: cloud.order))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def clouds() -> dict[str, Cloud]:
    return dict(plugins.load(ROOT).clouds)


def row(cloud: Cloud) -> tuple[str, ...]:
    nodes, proven, unproven = OTHERS[cloud.name] if cloud.name in OTHERS else _of_module(cloud)
    credentials = ", ".join(
        f"`{credential.name}`" + ("" if credential.required else " (optional)") for credential in cloud.credentials
    )
    return (
        f"`{cloud.name}` {cloud.title}",
        nodes,
        ", ".join(cloud.arch),
        credentials or "none",
        *_asked(cloud),
        proven,
        unproven,
    )


def _asked(cloud: Cloud) -> tuple[str, str]:
    """What it is asked by tag, and before a run."""
    quota = ROOM.get(cloud.name, "asked") if cloud.knows_room else "not asked"
    if not cloud.provides_cluster:
        return "nothing there is a cloud's", "none"
    can = {"listed": cloud.lists_owned and cloud.lists_runs, "swept": type(cloud).sweep is not Cloud.sweep}
    return ", ".join(what for what, is_so in can.items() if is_so) or "no", quota


def _of_module(cloud: Cloud) -> tuple[str, str, str]:
    assert isinstance(cloud, TerraformCloud), f"{cloud.name}: OTHERS says nothing of it"
    module = Module(cloud.source)
    has_machines = module.uses_kubeadm
    proven = [_checked(provider) for provider in module.providers]
    if has_machines:
        proven.append("user-data **booted** by `test_user_data_boots`")
    twin = f"tests/twins/test_{cloud.name}.py"
    if (ROOT / twin).is_file():
        proven.insert(0, f"**applied** by `{twin}`")
        unproven = "the cloud itself"
    else:
        unproven = "applying it; the real provider validates it only where it can be had" + CLOSED.get(cloud.name, "")
    return "machines, kubeadm" if has_machines else "the cloud's own service", "; ".join(proven), unproven


def _checked(provider: Provider) -> str:
    name = provider.source.rpartition("/")[2]
    recorded = json.loads((ROOT / f"tests/provision/schemas/{name}.json").read_text())
    what = "documentation" if "documentation" in recorded["from"] else "published schema"
    return f"**checked** against the {what} of {recorded['source']} {recorded['version']}"


def main() -> None:
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
