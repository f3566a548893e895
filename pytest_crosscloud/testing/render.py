"""Renders the user-data of a cloud's module without its provider: no account, no network."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from .. import paths
from ..errors import CrosscloudError
from ..provision.bootstrap import Bootstrap
from ..provision.terraform import STATE_FILE, VARIABLES_FILE
from ..toolchain.tools import tool

#: Of a module, all that the user-data is made of: ``nodes.tf`` refers to nothing of a provider's. A module may have the
#: common variables in ``interface.tf`` or among its own.
PURE = ("interface.tf", "variables.tf", "nodes.tf")

#: An address for documentation (RFC 5737).
ENDPOINT = "203.0.113.1"

#: Seconds for one command of Terraform's, which fetches nothing.
_COMMAND = 120.0


def variables(bootstrap: Bootstrap | None = None, **others: Any) -> dict[str, Any]:
    """Values for what every module takes: one control plane, one worker; ``others`` go over them."""
    return {
        "name": "xc-0123abcd-test",
        "kubernetes_version": "v1.36.3",
        "bundle": {
            "binary_url": "https://dl.example/v1.36.3/bin/",
            "images_url": "",
            "pause_image": "registry.k8s.io/pause:3.10.1",
        },
        "workers": 1,
        "arch": "amd64",
        "tags": {
            "crosscloud-run": "0123abcd",
            "crosscloud-cluster": "xc-0123abcd-test",
            "crosscloud-expires": "1800000000",
        },
        "bootstrap": (bootstrap or Bootstrap.create()).for_nodes(),
        "registries": [],
        **others,
    }


def render(
    module: Path, variables: Mapping[str, Any], *, endpoint: str = ENDPOINT, cloud_conf: str = ""
) -> dict[str, str]:
    """The user-data of each node by name, the control plane first, as the module's variables and ``nodes.tf`` make it.

    :param module: a root module's folder, e.g. ``terraform/aws``.
    :param variables: its variables by name; those that it does not have are left out.
    :param endpoint: what ``main.tf`` would get from the cloud as ``local.endpoint``.
    :param cloud_conf: what ``main.tf`` would make of its resources as ``local.cloud_conf``.
    :raises CrosscloudError: Terraform refuses it; as it does when ``nodes.tf`` refers to a resource.
    """
    with tempfile.TemporaryDirectory(prefix="crosscloud-render-") as parent:
        root = Path(parent) / module.name
        root.mkdir(mode=0o700)  # the state has the cluster's keys in it
        shutil.copytree(paths.data("terraform", "modules"), root.with_name("modules"))
        known = ""
        for file in (module / name for name in PURE):
            if file.exists():
                shutil.copy(file, root)
                known += file.read_text()
        (root / "given.tf.json").write_text(
            json.dumps(
                {
                    "locals": {"endpoint": endpoint, "cloud_conf": cloud_conf},
                    "output": {"user_data": {"value": "${module.kubeadm.user_data}", "sensitive": True}},
                }
            )
        )
        given = {name: value for name, value in variables.items() if f'variable "{name}"' in known}
        (root / VARIABLES_FILE).write_text(json.dumps(given))
        for command in (["init", "-input=false"], ["apply", "-input=false", "-auto-approve"]):
            _terraform(root, command)
        state = json.loads((root / STATE_FILE).read_text())
    rendered: dict[str, str] = state["outputs"]["user_data"]["value"]
    return dict(sorted(rendered.items(), key=lambda node: (not is_control_plane(node[1]), node[0])))


def files(user_data: str) -> dict[str, str]:
    """The content of the files that user-data writes, by path."""
    return {file["path"]: file["content"] for file in yaml.safe_load(user_data)["write_files"]}


def settings(user_data: str) -> dict[str, str]:
    """What ``node.sh`` is told: ``NODE_NAME``, ``NODE_ADDRESS``, ``NODE_POD_CIDR`` and so on."""
    lines = files(user_data)["/etc/crosscloud/node.env"].splitlines()
    return {name: value.strip("'") for name, _, value in (line.partition("=") for line in lines)}


def is_control_plane(user_data: str) -> bool:
    """Whether it makes a control plane of its machine."""
    return "/etc/crosscloud/kubeadm-init.yaml" in files(user_data)


def _terraform(root: Path, command: list[str]) -> None:
    argv = [str(tool("terraform")), *command, "-no-color"]
    try:
        done = subprocess.run(argv, cwd=root, capture_output=True, text=True, timeout=_COMMAND, check=False)
    except subprocess.TimeoutExpired:
        raise CrosscloudError(f"terraform {command[0]} did not end within {_COMMAND:.0f} s") from None
    if done.returncode != 0:
        raise CrosscloudError(
            f"terraform {command[0]} of {root.name}'s {' and '.join(PURE)} failed:\n{done.stderr.strip()}",
            remedy="nodes.tf may refer to variables, to its own locals, and to local.endpoint and local.cloud_conf",
        )
