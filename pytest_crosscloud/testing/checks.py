"""What is asked of every cloud, its module and what it renders: each check gives a line for each fault. No pytest."""

from __future__ import annotations

import gzip
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import yaml

from .. import paths
from ..declared import faults
from ..model import Cloud
from ..provision.hcl import Block
from ..provision.module import Module, Resource
from ..provision.remote import RemoteCloud
from ..provision.terraform import TerraformCloud
from ..redact import is_secret_name
from ..suggest import among

#: As terraform/README.md lists them.
VARIABLES = (
    *("name", "kubernetes_version", "bundle", "workers", "arch", "pod_cidr", "service_cidr", "tags"),
    *("bootstrap", "registries"),
)
OUTPUTS = ("endpoint", "nodes", "kubeconfig")

#: Bytes of user-data that the most frugal cloud takes, gzipped.
USER_DATA_LIMIT = 16 * 1024

#: What the framework takes out of a cloud's variables before it gives them to the module.
_OURS = ("workers", "bundle_url")

ARCHES = ("amd64", "arm64")

#: Resources that are on no cloud.
_NOWHERE = ("terraform_data", "null_resource", "random_", "time_", "tls_", "local_")


def declaration(cloud: Cloud) -> Iterator[str]:
    """What the plugin says of the cloud."""
    yield from faults(cloud)
    for arch in cloud.arch:
        if arch not in ARCHES:
            yield f"arch {arch!r} is not spelled as everywhere else{among(arch, ARCHES)}"
    for credential in cloud.credentials:
        # TF_VAR_ is Terraform's own, before a variable's name as it is.
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*|TF_VAR_\w+", credential.name):
            yield f"credential {credential.name!r} is no name of an environment variable"
        if not credential.help:
            yield f"credential {credential.name} does not say what it is and where to get it"


def interface(cloud: TerraformCloud, module: Module) -> Iterator[str]:
    """The common variables, of the same types everywhere, and exactly the common outputs."""
    reference = Module(paths.data("terraform", "modules", "interface")).variables
    for name in VARIABLES:
        if name not in module.variables:
            yield f"there is no variable {name!r}{among(name, module.variables)}"
        elif _type(module.variables[name]) != _type(reference[name]):
            yield f"variable {name} is {_type(module.variables[name])}, not {_type(reference[name])}"
    for name in OUTPUTS:
        if name not in module.outputs:
            yield f"there is no output {name!r}{among(name, module.outputs)}"
    for name in module.outputs:
        if name not in OUTPUTS:
            yield f"output {name!r} is read by nobody; known: {', '.join(OUTPUTS)}"
    for name in cloud.variables:
        if name not in module.variables and name not in _OURS:
            yield f"the plugin gives a variable {name!r}, which the module does not have{among(name, module.variables)}"
    if type(cloud).module_variables in (TerraformCloud.module_variables, RemoteCloud.module_variables):
        for name, attributes in module.variables.items():
            if name not in VARIABLES and "default" not in attributes and name not in cloud.variables:
                yield f"variable {name!r} has no default, and the plugin gives it no value"


def references(module: Module) -> Iterator[str]:
    """What a module refers to it has: what ``terraform validate`` would say first, without a provider."""
    declared = {resource.address for resource in module.resources}
    declared |= {f"data.{block.name}" for block in module.blocks("data")}
    declared |= {f"var.{name}" for name in module.variables} | {f"local.{name}" for name in module.locals}
    declared |= {f"module.{block.name}" for block in module.blocks("module")}
    types = {resource.type for resource in module.resources} | {block.labels[0] for block in module.blocks("data")}
    some = "|".join(["var", "local", "module", *(rf"(?:data\.)?{re.escape(name)}" for name in sorted(types))])
    reference = re.compile(rf"(?<![\w.\"/-])(?:{some})\.\w+")
    used = {found for expression in module.expressions() for found in reference.findall(expression)}
    yield from (
        f"refers to {name}, which it has not{among(name, sorted(declared))}" for name in sorted(used - declared)
    )


def naming(module: Module, exempt: Collection[str] = ()) -> Iterator[str]:
    """Names of resources begin with the cluster's, so that two clusters never share one.

    :param exempt: addresses or types of resources that are named within another one.
    """
    for resource in module.resources:
        if resource.address in exempt or resource.type in exempt or resource.type.startswith(_NOWHERE):
            continue
        for attribute, expression in resource.body.attributes.items():
            if _is_name(attribute, resource) and not _begins_with_name(module, expression, resource):
                yield f"{resource}: {attribute} does not begin with var.name: {expression}"
    yield from _unused("unnamed", exempt, module)


def tagging(module: Module, exempt: Collection[str] = ()) -> Iterator[str]:
    """Every resource carries the tags: by them what a run has left is found.

    :param exempt: addresses or types of resources that cannot carry any.
    """
    by_default = tuple(f"{block.name}_" for block in module.blocks("provider") if _tags_by_default(module, block))
    for resource in module.resources:
        if resource.address in exempt or resource.type in exempt or resource.type.startswith((*_NOWHERE, *by_default)):
            continue
        block = Block("resource", (resource.type, resource.name), resource.body, resource.line)
        if not any(module.mentions(expression, "var.tags", resource) for expression in block.expressions()):
            yield f"{resource} does not carry var.tags"
    yield from _unused("untagged", exempt, module)


def secrecy(module: Module) -> Iterator[str]:
    """What is a secret is called one, so that Terraform shows it nowhere."""
    for name, attributes in module.variables.items():
        if (name == "bootstrap" or is_secret_name(name)) and attributes.get("sensitive") != "true":
            yield f"variable {name} is not sensitive"
    if "kubeconfig" in module.outputs and module.outputs["kubeconfig"].get("sensitive") != "true":
        yield "output kubeconfig is not sensitive"


def user_data(text: str) -> Iterator[str]:
    """A node's user-data is cloud-init's, and small enough for every cloud."""
    if not text.startswith("#cloud-config\n"):
        yield f"does not begin with #cloud-config: {text[:40]!r}"
        return
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        yield f"is not YAML: {error}"
        return
    if not isinstance(config, dict):
        yield f"is {type(config).__name__}, not a mapping"
    size = len(gzip.compress(text.encode(), 9))
    if size > USER_DATA_LIMIT:
        yield f"takes {size} bytes gzipped; some clouds take {USER_DATA_LIMIT}"


def leaks(text: str, planted: Mapping[str, str]) -> Iterator[str]:
    """Planted values of credentials, by their variables' names, that are in a text."""
    return (f"the value of {name} is shown" for name, value in planted.items() if value in text)


def _type(attributes: Mapping[str, Any]) -> str:
    return re.sub(r"\s+", " ", attributes.get("type", "of no type"))


def _is_name(attribute: str, resource: Resource) -> bool:
    if attribute in ("name", "name_prefix", "display_name"):
        return True
    return attribute.endswith("_name") and resource.type.endswith(f"_{attribute.removesuffix('_name')}")


def _begins_with_name(module: Module, expression: str, resource: Resource) -> bool:
    if re.match(r'"(?!\$\{)', expression):
        return False
    if re.match(r"(data\.)?[a-z0-9]+_\w+\.\w+", expression):  # another resource's
        return True
    return module.mentions(expression, "var.name", resource)


def _tags_by_default(module: Module, provider: Block) -> bool:
    body = provider.body
    texts = [text for name, text in body.attributes.items() if name.startswith("default_")]
    texts += [text for block in body.blocks if block.kind.startswith("default_") for text in block.expressions()]
    return any(module.mentions(text, "var.tags") for text in texts)


def _unused(what: str, exempt: Collection[str], module: Module) -> Iterator[str]:
    known = {resource.type for resource in module.resources} | {resource.address for resource in module.resources}
    return (f"{what} names {name!r}, which the module has not" for name in exempt if name not in known)
