"""A managed cloud's outputs, computed by Terraform of what its service says, without the provider."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pytest_crosscloud import paths
from pytest_crosscloud.testing.render import variables
from pytest_crosscloud.toolchain.tools import tool


def outputs(cloud: str, directory: Path, said: Mapping[str, Any], locals_: str = "", **given: Any) -> dict[str, Any]:
    """The module's outputs, ``kubeconfig`` read as YAML.

    :param said: what stands for each resource or data source that the outputs refer to, by its address.
    :param locals_: those of the module's local values that the outputs refer to, as ``main.tf`` has them.
    """
    module = paths.data("terraform", cloud)
    for name in ("interface.tf", "variables.tf"):
        shutil.copy(module / name, directory)
    (directory / "main.tf").write_text(_told(f"locals {{\n{locals_}\n}}", said))
    (directory / "outputs.tf").write_text(_told((module / "outputs.tf").read_text(), said))
    # What comes from a resource is known when all is made: given as values, not as expressions.
    (directory / "said.tf.json").write_text(json.dumps({"locals": {_name(key): value for key, value in said.items()}}))
    (directory / "terraform.tfvars.json").write_text(json.dumps({**variables(), **given}))
    for command in (["init"], ["apply", "-auto-approve"]):
        done = subprocess.run([tool("terraform"), *command], cwd=directory, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    state = json.loads((directory / "terraform.tfstate").read_text())
    found = {name: output["value"] for name, output in state["outputs"].items()}
    return {**found, "kubeconfig": yaml.safe_load(found["kubeconfig"])}


def local_values(cloud: str, first: str, last: str) -> str:
    """Of a module's ``main.tf``, the text from one local value up to where another text begins."""
    text = (paths.data("terraform", cloud) / "main.tf").read_text()
    return text[text.index(first) : text.index(last, text.index(first))]


def _name(address: str) -> str:
    return "said_" + address.replace(".", "_")


def _told(text: str, said: Mapping[str, Any]) -> str:
    for address in sorted(said, key=len, reverse=True):
        text = text.replace(address, f"local.{_name(address)}")
    return text
