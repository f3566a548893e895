"""Kubernetes' own description of its objects, as strict as an API server with ``fieldValidation=Strict`` is."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator

from pytest_crosscloud.toolchain import pins
from pytest_crosscloud.toolchain.tools import tool

#: What the API reads as text or as a number, where its description (Swagger 2.0) knows one type alone.
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"


def faults(objects: Iterable[Mapping[str, Any]]) -> list[str]:
    """What an API server would refuse in these objects: a line each, with the object and the place in it."""
    return [fault for each in objects for fault in _faults(each)]


def _faults(manifest: Mapping[str, Any]) -> Iterator[str]:
    kind = (manifest.get("apiVersion", ""), manifest.get("kind", ""))
    name = f"{kind[1]} {manifest.get('metadata', {}).get('name', '')}"
    validator = _validators().get(kind)
    if validator is None:
        yield f"{name}: Kubernetes has no {kind[1]} in {kind[0]}"
        return
    for error in validator.iter_errors(manifest):
        yield f"{name}: {error.json_path}: {error.message[:300]}"


@functools.cache
def _validators() -> dict[tuple[str, str], Any]:
    """A validator for each kind of object, by its apiVersion and kind."""
    definitions = {name: _strict(schema) for name, schema in _definitions().items()}
    definitions[_QUANTITY] = {"type": ["string", "number"]}
    whole = Draft4Validator({"definitions": definitions})
    return {
        (f"{gvk['group']}/{gvk['version']}".lstrip("/"), gvk["kind"]): whole.evolve(
            schema={"$ref": f"#/definitions/{name}", "definitions": definitions}
        )
        for name, schema in definitions.items()
        for gvk in schema.get("x-kubernetes-group-version-kind", ())
    }


def _definitions() -> dict[str, Any]:
    """The schemas of the Kubernetes that clusters get, from its Go module."""
    module = f"k8s.io/kubernetes@{pins.load()['kubernetes']['stable']}"
    command = [str(tool("go")), "mod", "download", "-json", module]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=300, check=True)
    path = Path(json.loads(done.stdout)["Dir"], "api", "openapi-spec", "swagger.json")
    definitions: dict[str, Any] = json.loads(path.read_text())["definitions"]
    return definitions


def _strict(schema: Any) -> Any:
    """The schema without room for fields that nobody knows."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "int-or-string":
        return {"type": ["string", "integer"]}
    strict = {key: _strict(value) for key, value in schema.items()}
    # By its value's type: a field may be called "properties", too.
    if schema.get("type") == "object" and "properties" in schema:
        strict.setdefault("additionalProperties", False)
    return strict
